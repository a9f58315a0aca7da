package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
)

// counts is what the last line of a run says.
type counts struct{ Passed, Failed, Skipped int }

func (c counts) plus(d counts) counts {
	return counts{c.Passed + d.Passed, c.Failed + d.Failed, c.Skipped + d.Skipped}
}

func (c counts) String() string {
	s := fmt.Sprintf("%d passed, %d failed", c.Passed, c.Failed)
	if c.Skipped > 0 {
		s += fmt.Sprintf(", %d skipped", c.Skipped)
	}
	return s
}

// An event is one line of go test -json; see go doc test2json.
type event struct {
	Action     string
	Package    string
	Test       string
	Elapsed    float64
	Output     string
	ImportPath string // of build-output
}

// A counter reads the output of go test -json and prints what a person wants to see:
// one line per package, the whole output of tests that failed, and the names of those
// that were skipped. Lines that are not JSON are passed through: go itself speaks
// plainly when it cannot start a test.
type counter struct {
	out    io.Writer
	line   []byte
	n      counts
	output map[testID]*bytes.Buffer
	failed map[string]int // failed tests by package
	// unfinished are the tests that were started and have not ended: after a crash of
	// the test binary they are what it was doing.
	unfinished map[testID]bool
}

type testID struct{ pkg, test string }

func newCounter(out io.Writer) *counter {
	return &counter{
		out:        out,
		output:     map[testID]*bytes.Buffer{},
		failed:     map[string]int{},
		unfinished: map[testID]bool{},
	}
}

// Write takes any piece of the stream; lines may be cut anywhere.
func (c *counter) Write(p []byte) (int, error) {
	c.line = append(c.line, p...)
	for {
		i := bytes.IndexByte(c.line, '\n')
		if i < 0 {
			return len(p), nil
		}
		c.take(c.line[:i])
		c.line = c.line[i+1:]
	}
}

// finish takes what is left without a newline and returns the counts.
func (c *counter) finish() counts {
	if len(c.line) > 0 {
		c.take(c.line)
		c.line = nil
	}
	return c.n
}

func (c *counter) take(line []byte) {
	var e event
	if len(line) == 0 {
		return
	}
	if line[0] != '{' || json.Unmarshal(line, &e) != nil {
		fmt.Fprintf(c.out, "%s\n", line)
		return
	}
	id := testID{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(c.out, e.Output)
	case "run":
		c.unfinished[id] = true
	case "output":
		if c.output[id] == nil {
			c.output[id] = &bytes.Buffer{}
		}
		c.output[id].WriteString(e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			c.endPackage(e)
		} else {
			c.endTest(e)
		}
		delete(c.output, id)
	}
}

func (c *counter) endTest(e event) {
	id := testID{e.Package, e.Test}
	delete(c.unfinished, id)
	switch e.Action {
	case "pass":
		c.n.Passed++
	case "skip":
		c.n.Skipped++
		fmt.Fprintf(c.out, "skip  %s %s\n", e.Package, e.Test)
	case "fail":
		c.n.Failed++
		c.failed[e.Package]++
		fmt.Fprintf(c.out, "FAIL  %s %s\n", e.Package, e.Test)
		c.print(id)
	}
}

// endPackage prints the package's line. A package can fail without a failed test: it
// does not compile, its TestMain gave up, or its process died.
func (c *counter) endPackage(e event) {
	switch e.Action {
	case "skip": // no test files
	case "pass":
		fmt.Fprintf(c.out, "ok    %s %.1fs\n", e.Package, e.Elapsed)
	case "fail":
		fmt.Fprintf(c.out, "FAIL  %s %.1fs\n", e.Package, e.Elapsed)
		if c.failed[e.Package] > 0 {
			return
		}
		c.n.Failed++
		c.print(testID{pkg: e.Package})
		for _, id := range slices.SortedFunc(maps.Keys(c.unfinished), compareTests) {
			if id.pkg == e.Package {
				fmt.Fprintf(c.out, "did not end: %s\n", id.test)
				c.print(id)
			}
		}
	}
}

func (c *counter) print(id testID) {
	if buf := c.output[id]; buf != nil {
		c.out.Write(buf.Bytes())
	}
}

func compareTests(a, b testID) int {
	if a.pkg != b.pkg {
		if a.pkg < b.pkg {
			return -1
		}
		return 1
	}
	return bytes.Compare([]byte(a.test), []byte(b.test))
}
