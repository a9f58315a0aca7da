package docscheck

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the table of docs/security.md")

const securityPage = "docs/security.md"

var (
	securityRow  = regexp.MustCompile("^\\| (SEC-\\d+) \\| `(\\w+)` \\| `([\\w./-]+)` \\|$")
	securityTest = regexp.MustCompile(`(?m)^func (TestSEC(\d+)\w*)\(t \*testing\.T\)`)
)

// docs/security.md and the tests named TestSEC... say the same.
func TestSecurityTestsAreListedAndExist(t *testing.T) {
	exists := map[string]string{} // package/test: id
	for _, name := range files(t) {
		if strings.HasSuffix(name, "_test.go") && path.Dir(name) != "internal/docscheck" {
			for _, m := range securityTest.FindAllStringSubmatch(read(t, name), -1) {
				exists[path.Dir(name)+"/"+m[1]] = "SEC-" + m[2]
			}
		}
	}
	if *update {
		text := withRows(read(t, securityPage), exists)
		if err := os.WriteFile(filepath.Join(root, securityPage), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	listed, problems := securityRows(read(t, securityPage))
	for _, p := range problems {
		t.Error(p)
	}
	for test, id := range listed {
		if exists[test] != id {
			t.Errorf("docs/security.md lists %s for %s, which does not exist", test, id)
		}
	}
	for test, id := range exists {
		if listed[test] == "" {
			t.Errorf("docs/security.md lacks this row: %s", securityLine(test, id))
		}
	}
	if t.Failed() {
		t.Log("to bring the table up to date: go test ./internal/docscheck -update")
	}
}

var (
	sessionRow = regexp.MustCompile("(?m)^\\| V[0-9][^|]*\\|.*\\| `(\\w+)` \\| `([\\w./-]+)` \\|$")
	anyTest    = regexp.MustCompile(`(?m)^func (Test\w*)\(t \*testing\.T\)`)
)

// Each row about sessions names a test that there is.
func TestSessionRequirementsNameTests(t *testing.T) {
	exists := map[string]bool{} // package/test
	for _, name := range files(t) {
		if strings.HasSuffix(name, "_test.go") {
			for _, m := range anyTest.FindAllStringSubmatch(read(t, name), -1) {
				exists[path.Dir(name)+"/"+m[1]] = true
			}
		}
	}
	page := read(t, securityPage)
	rows := sessionRow.FindAllStringSubmatch(page, -1)
	if want := strings.Count(page, "\n| V"); len(rows) != want || want < 20 {
		t.Errorf("%d of %d rows can be read", len(rows), want)
	}
	for _, m := range rows {
		if !exists[m[2]+"/"+m[1]] {
			t.Errorf("docs/security.md names %s of %s, which does not exist", m[1], m[2])
		}
	}
}

func securityLine(test, id string) string {
	return fmt.Sprintf("| %s | `%s` | `%s` |", id, path.Base(test), path.Dir(test))
}

// withRows returns the page with its table, which ends it, replaced by the given rows.
func withRows(page string, rows map[string]string) string {
	head, _, _ := strings.Cut(page, "\n| SEC")
	number := func(test string) int {
		n, _ := strconv.Atoi(strings.TrimPrefix(rows[test], "SEC-")) // digits, by the pattern of the name
		return n
	}
	tests := slices.SortedFunc(maps.Keys(rows), func(a, b string) int {
		return cmp.Or(cmp.Compare(number(a), number(b)), cmp.Compare(a, b))
	})
	var b strings.Builder
	b.WriteString(strings.TrimRight(head, "\n") + "\n")
	for _, test := range tests {
		b.WriteString(securityLine(test, rows[test]) + "\n")
	}
	return b.String()
}

// securityRows returns the rows of the table, package/test: id, and what is wrong with
// its form: rows that cannot be read, and ids out of order.
func securityRows(page string) (rows map[string]string, problems []string) {
	rows = map[string]string{}
	last := 0
	for line := range strings.SplitSeq(page, "\n") {
		if !strings.HasPrefix(line, "| SEC") {
			continue
		}
		m := securityRow.FindStringSubmatch(line)
		if m == nil {
			problems = append(problems, securityPage+": this row is not | SEC-N | `Test` | `package` |: "+line)
			continue
		}
		n, err := strconv.Atoi(strings.TrimPrefix(m[1], "SEC-"))
		if err != nil || n < last {
			problems = append(problems, securityPage+": "+m[1]+" is out of order")
		}
		last = n
		rows[m[3]+"/"+m[2]] = m[1]
	}
	return rows, problems
}

func TestReadingTheSecurityTable(t *testing.T) {
	rows, problems := securityRows("| id | test | package |\n| SEC-14 | `TestSEC14_X` | `backend/config` |\n| SEC-2 | `TestSEC2_Y` | `techdocs` |\n| SEC-15 | later |\n")
	if rows["backend/config/TestSEC14_X"] != "SEC-14" || rows["techdocs/TestSEC2_Y"] != "SEC-2" || len(rows) != 2 {
		t.Errorf("rows %v", rows)
	}
	if len(problems) != 2 || !strings.Contains(problems[0], "SEC-2 is out of order") || !strings.Contains(problems[1], "SEC-15") {
		t.Errorf("problems %q", problems)
	}
}

func TestWritingTheSecurityTable(t *testing.T) {
	rows := map[string]string{"b/TestSEC2_Y": "SEC-2", "a/TestSEC10_X": "SEC-10", "a/TestSEC2_Z": "SEC-2"}
	page := withRows("# Security\n\n| id | test | package |\n| --- | --- | --- |\n| SEC-1 | `TestSEC1_Gone` | `a` |\n", rows)
	want := "# Security\n\n| id | test | package |\n| --- | --- | --- |\n| SEC-2 | `TestSEC2_Z` | `a` |\n| SEC-2 | `TestSEC2_Y` | `b` |\n| SEC-10 | `TestSEC10_X` | `a` |\n"
	if page != want {
		t.Errorf("wrote\n%s\nwant\n%s", page, want)
	}
	if again := withRows(page, rows); again != page {
		t.Errorf("writing twice changes the page:\n%s", again)
	}
}
