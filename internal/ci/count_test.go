package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestCounting(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, stream string
		want         counts
		shows, hides []string
	}{
		{
			name: "tests and subtests count once each, and passing tests are silent",
			stream: `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"chatter\n"}
{"Action":"run","Package":"p","Test":"TestA/one"}
{"Action":"pass","Package":"p","Test":"TestA/one","Elapsed":0}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0}
{"Action":"pass","Package":"p","Elapsed":0.25}
`,
			want: counts{Passed: 2}, shows: []string{"ok    p 0.2s\n"}, hides: []string{"chatter"},
		},
		{
			name: "a failed test shows its output",
			stream: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: got 1, want 2\n"}
{"Action":"fail","Package":"p","Test":"TestA","Elapsed":0}
{"Action":"fail","Package":"p","Elapsed":0.1}
`,
			want: counts{Failed: 1}, shows: []string{"FAIL  p TestA\n", "got 1, want 2"},
		},
		{
			name: "a skipped test is named",
			stream: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"skip","Package":"p","Test":"TestA","Elapsed":0}
{"Action":"pass","Package":"p","Elapsed":0.1}
`,
			want: counts{Skipped: 1}, shows: []string{"skip  p TestA\n"},
		},
		{
			name: "a package that does not compile is one failure",
			stream: `{"ImportPath":"p","Action":"build-output","Output":"p/a.go:3:1: syntax error\n"}
{"ImportPath":"p","Action":"build-fail"}
{"Action":"start","Package":"p"}
{"Action":"output","Package":"p","Output":"FAIL\tp [build failed]\n"}
{"Action":"fail","Package":"p","Elapsed":0,"FailedBuild":"p"}
`,
			want: counts{Failed: 1}, shows: []string{"syntax error", "build failed"},
		},
		{
			name: "a test binary that dies names the test that it was in",
			stream: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"fatal error: all goroutines are asleep\n"}
{"Action":"run","Package":"other","Test":"TestB"}
{"Action":"fail","Package":"p","Elapsed":0.1}
`,
			want: counts{Failed: 1}, shows: []string{"did not end: TestA\n", "all goroutines are asleep"}, hides: []string{"TestB"},
		},
		{
			name:   "what is not JSON is passed through",
			stream: "go: cannot find main module\n{ not json\n",
			shows:  []string{"cannot find main module", "{ not json"},
		},
		{
			name:   "the last line needs no newline",
			stream: `{"Action":"pass","Package":"p","Test":"TestA"}`,
			want:   counts{Passed: 1},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			c := newCounter(&out)
			// A pipe cuts where it likes.
			for piece := range strings.SplitAfterSeq(tt.stream, `"`) {
				if _, err := io.WriteString(c, piece); err != nil {
					t.Fatal(err)
				}
			}
			if got := c.finish(); got != tt.want {
				t.Errorf("counted %+v, want %+v", got, tt.want)
			}
			for _, s := range tt.shows {
				if !strings.Contains(out.String(), s) {
					t.Errorf("the output lacks %q:\n%s", s, out.String())
				}
			}
			for _, s := range tt.hides {
				if strings.Contains(out.String(), s) {
					t.Errorf("the output has %q:\n%s", s, out.String())
				}
			}
		})
	}
}

func TestTheLastLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		c    counts
		want string
	}{
		{counts{Passed: 3}, "3 passed, 0 failed"},
		{counts{Passed: 3, Failed: 1}, "3 passed, 1 failed"},
		{counts{Passed: 3, Skipped: 2}, "3 passed, 0 failed, 2 skipped"},
	} {
		if got := tt.c.String(); got != tt.want {
			t.Errorf("%+v prints %q, want %q", tt.c, got, tt.want)
		}
	}
}

func TestAFailedStepDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	var ran []string
	fake := func(name string, n counts, err error) step {
		return step{name, "a check", func(context.Context, io.Writer) (counts, error) {
			ran = append(ran, name)
			return n, err
		}}
	}
	var out bytes.Buffer
	got := run(t.Context(), &out, []step{
		fake("breaks", counts{}, errors.New("it broke")),
		fake("holds", counts{}, nil),
		fake("tests", counts{Passed: 40, Failed: 2}, errors.New("exit status 1")),
	})
	if want := (counts{Passed: 41, Failed: 3}); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
	if strings.Join(ran, " ") != "breaks holds tests" {
		t.Errorf("ran %q", ran)
	}
	if !strings.Contains(out.String(), "breaks: FAILED: it broke") || !strings.Contains(out.String(), "failed: breaks, tests\n") {
		t.Errorf("the output does not say what failed:\n%s", out.String())
	}
}

func TestChoosingSteps(t *testing.T) {
	t.Parallel()
	all := []step{{name: "a"}, {name: "b"}, {name: "c"}}
	got, err := choose(all, []string{"c", "a"})
	if err != nil || len(got) != 2 || got[0].name != "a" || got[1].name != "c" {
		t.Errorf("chose %v, %v; want a and c in the order of the table", got, err)
	}
	if got, _ := choose(all, nil); len(got) != 3 {
		t.Errorf("no names choose %v, want all", got)
	}
	if _, err := choose(all, []string{"lint"}); err == nil || err.Error() != `there is no step "lint", use some of a, b, c` {
		t.Errorf("an unknown step is reported as %v", err)
	}
}

func TestTheEnvironmentOfTheTests(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		env  map[string]string
		want string
	}{
		{"by hand", nil, "CALLBOARD_TEST_POSTGRES_VERSIONS=15,16"},
		{"in CI a missing server is a failure", map[string]string{"CI": "true"}, "CALLBOARD_TEST_POSTGRES_VERSIONS=15,16 CALLBOARD_REQUIRE_TESTBED=1"},
		{"the caller's choice of versions stands", map[string]string{"CALLBOARD_TEST_POSTGRES_VERSIONS": "16"}, ""},
	} {
		if got := strings.Join(testEnv(func(k string) string { return tt.env[k] }), " "); got != tt.want {
			t.Errorf("%s: the tests get %q, want %q", tt.name, got, tt.want)
		}
	}
}
