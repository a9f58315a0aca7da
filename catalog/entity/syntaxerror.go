package entity

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"

	yaml "go.yaml.in/yaml/v3"
)

var errEOF = io.EOF

// decodeNode reads the next document. The YAML library reports some states it did not
// expect by a panic, which must not take the process along.
func decodeNode(dec *yaml.Decoder, node *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: %v", r)
		}
	}()
	return dec.Decode(node)
}

var yamlMessage = regexp.MustCompile(`(?s)^yaml: (?:line (\d+): )?(.*)$`)

// syntaxError places an error of the YAML library. The library knows the line at best,
// and often only that of the enclosing block, so the line is found by trying: it is
// the one behind the longest beginning of the document that can be read.
func (c chunk) syntaxError(err error, search *int) error {
	line, text := 1, err.Error()
	if m := yamlMessage.FindStringSubmatch(text); m != nil {
		text = m[2]
		if n, convErr := strconv.Atoi(m[1]); convErr == nil {
			line = n
		}
	}
	lines := bytes.SplitAfter(c.text, []byte("\n"))
	if n, ok := readableLines(lines, search); ok {
		line = n + 1
		// What cannot be read is not an empty line or comment.
		for line < len(lines) && isBlank(lines[line-1]) {
			line++
		}
	}
	line = max(1, min(line, len(lines)))
	bad := bytes.TrimRight(lines[line-1], " \t\r\n")
	column := 1 + len(bad) - len(bytes.TrimLeft(bad, " \t"))
	return &positionError{Position{c.line + line, column}, errors.New(text)}
}

func isBlank(line []byte) bool {
	line = bytes.TrimSpace(line)
	return len(line) == 0 || line[0] == '#'
}

// readableLines counts the lines of the longest readable beginning. Inside a text or
// flow collection that spans lines, no beginning is readable, so a binary search is
// followed by a look at some lines behind what it found. budget is the number of bytes
// that may be parsed for it; ok is false when it is used up.
func readableLines(lines [][]byte, budget *int) (n int, ok bool) {
	offsets := make([]int, len(lines)+1)
	for i, line := range lines {
		offsets[i+1] = offsets[i] + len(line)
	}
	whole := bytes.Join(lines, nil)
	readable := func(n int) bool {
		*budget -= offsets[n]
		var node yaml.Node
		err := decodeNode(yaml.NewDecoder(bytes.NewReader(whole[:offsets[n]])), &node)
		return err == nil || errors.Is(err, io.EOF)
	}
	low, high := 0, len(lines)
	for high-low > 1 && *budget > 0 {
		if mid := (low + high) / 2; readable(mid) {
			low = mid
		} else {
			high = mid
		}
	}
	for next := low + 1; next < min(low+50, len(lines)) && *budget > 0; next++ {
		if readable(next) {
			low = next
		}
	}
	return low, *budget > 0
}
