package docscheck

import (
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

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
	listed, problems := securityRows(read(t, "docs/security.md"))
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
			t.Errorf("docs/security.md lacks a row for %s: | %s | `%s` | `%s` |", test, id, path.Base(test), path.Dir(test))
		}
	}
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
			problems = append(problems, "docs/security.md: this row is not | SEC-N | `Test` | `package` |: "+line)
			continue
		}
		n, err := strconv.Atoi(strings.TrimPrefix(m[1], "SEC-"))
		if err != nil || n < last {
			problems = append(problems, "docs/security.md: "+m[1]+" is out of order")
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
