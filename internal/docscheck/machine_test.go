package docscheck

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// homes are directories in which people and machines keep checkouts. A name from below
// one of them, in a file of the repository, is true on one machine only.
var homes = regexp.MustCompile(`(?:^|[^\w.~/-])(?:file://)?(/(?:work|root|home|Users)/[\w.-]+)`)

// registries are hosts that clients of package registries know by themselves. Written
// apart, so that this file is not its own finding.
var registries = []string{
	"proxy.golang" + ".org", "sum.golang" + ".org", "registry.npmjs" + ".org", "registry.yarnpkg" + ".com",
	"deb.debian" + ".org", "security.debian" + ".org", "pypi.python" + ".org", "files.pythonhosted" + ".org",
}

func TestNoFileNamesAMachineOrARegistry(t *testing.T) {
	here := localNames(t)
	for _, name := range files(t) {
		text := read(t, name)
		if strings.Contains(text, "\x00") {
			continue
		}
		n := 0
		for line := range strings.Lines(text) {
			n++
			for _, found := range tellTales(line, here) {
				t.Errorf("%s:%d names %s, which means nothing elsewhere", name, n, found)
			}
		}
	}
}

// tellTales returns what in a line belongs to one machine.
func tellTales(line string, here []string) []string {
	var found []string
	for _, m := range homes.FindAllStringSubmatch(line, -1) {
		found = append(found, m[1])
	}
	for _, host := range slices.Concat(registries, here) {
		if strings.Contains(line, host) {
			found = append(found, host)
		}
	}
	return found
}

// localNames are the checkout, the home directory, and the module proxies of the machine
// that runs the test.
func localNames(t *testing.T) []string {
	t.Helper()
	var names []string
	checkout, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	names = append(names, checkout)
	if home, err := os.UserHomeDir(); err == nil && strings.Count(filepath.ToSlash(home), "/") > 1 {
		names = append(names, home)
	}
	raw, err := exec.Command("go", "env", "GOPROXY").Output()
	if err != nil {
		t.Fatal(err)
	}
	for proxy := range strings.FieldsFuncSeq(string(raw), func(r rune) bool { return strings.ContainsRune(",|\n", r) }) {
		if u, err := url.Parse(proxy); err == nil && u.Host != "" {
			names = append(names, u.Host)
		}
	}
	return names
}

func TestWhatTellsOnAMachine(t *testing.T) {
	below := func(dir, name string) string { return "/" + dir + "/" + name }
	for line, want := range map[string]int{
		"see " + below("work", "main") + "/go.mod":               1,
		"(" + below("home", "alice") + "/src)":                   1,
		"file://" + below("Users", "alice"):                      1,
		"curl https://" + registries[0] + "/x":                   1,
		"https://example.com" + below("home", "alice"):           0,
		"examples" + below("work", "x"):                          0,
		"the route /home is the start page":                      0,
		"GET /api/catalog/entities and /var/lib/postgresql/data": 0,
		"built by " + "ci.internal.example" + " at the checkout": 1,
	} {
		if got := tellTales(line, []string{"ci.internal.example"}); len(got) != want {
			t.Errorf("%q: found %q, want %d", line, got, want)
		}
	}
}
