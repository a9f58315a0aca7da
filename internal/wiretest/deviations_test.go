package wiretest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoadDeviationsRefuses(t *testing.T) {
	t.Parallel()
	const good = "- {group: g, exchange: x, clause: c, why: w, expect: {status: 404}}\n"
	for _, tt := range []struct{ name, text, want string }{
		{"an entry without a clause", "- {group: g, exchange: x, why: w, expect: {status: 404}}\n", "entry 1 (g / x) needs group, exchange, clause and why"},
		{"an entry without a difference", "- {group: g, exchange: x, clause: c, why: w}\n", "g / x expects no difference"},
		{"an exchange twice", good + good, "g / x stands there twice"},
		{"an unknown key", "- {group: g, exchange: x, clause: c, why: w, expect: {code: 404}}\n", "field code not found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "deviations.yaml")
			if err := os.WriteFile(file, []byte(tt.text), 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := LoadDeviations(file); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want one with %q", err, tt.want)
			}
		})
	}
	if list, err := LoadDeviations(filepath.Join(t.TempDir(), "none.yaml")); err != nil || len(list) != 0 {
		t.Errorf("a missing file: %v, %v", list, err)
	}
}

func TestDeviationOfAnExchangeThatDoesNotExist(t *testing.T) {
	t.Parallel()
	opt := testOptions(t)
	opt.Deviations = filepath.Join(t.TempDir(), "deviations.yaml")
	if err := os.WriteFile(opt.Deviations, []byte("- {group: health, exchange: gone, clause: c, why: w, expect: {status: 404}}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := NewReplayer("http://127.0.0.1:1", opt)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Load("health"); err == nil || !strings.Contains(err.Error(), `health has no exchange "gone"`) {
		t.Errorf("err = %v", err)
	}
}

// Every listed deviation changes what is compared: it could not pass as recorded.
func TestListedDeviationsDiffer(t *testing.T) {
	t.Parallel()
	opt := testOptions(t)
	list, err := LoadDeviations(opt.Deviations)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		g := loadAll(t, opt, d.Group)[0]
		for _, x := range g.Exchanges {
			if x.Name != d.Exchange {
				continue
			}
			ordered, err := d.apply(x)
			if err != nil {
				t.Error(err)
			} else if len(compare(x, x.Answer, ordered.Answer, true)) == 0 && len(d.Expect.Ignore) == 0 {
				t.Errorf("%s / %s orders what is recorded", d.Group, d.Exchange)
			}
		}
	}
}

func TestMergePatch(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, doc, patch, want string }{
		{"replaces a member", `{"a":1,"b":2}`, `{"a":3}`, `{"a":3,"b":2}`},
		{"removes a member", `{"a":1,"b":2}`, `{"a":null}`, `{"b":2}`},
		{"descends", `{"a":{"b":1,"c":2}}`, `{"a":{"b":{"d":1}}}`, `{"a":{"b":{"d":1},"c":2}}`},
		{"replaces arrays whole", `{"a":[1,2]}`, `{"a":[3]}`, `{"a":[3]}`},
		{"replaces a text by an object", `"a"`, `{"a":1}`, `{"a":1}`},
		{"replaces an object by a text", `{"a":1}`, `"a"`, `"a"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			doc := raw{body: []byte(tt.doc)}.json()
			if got := compactJSON(mergePatch(doc, raw{body: []byte(tt.patch)}.json())); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if compactJSON(doc) != tt.doc {
				t.Errorf("the document became %s", compactJSON(doc))
			}
		})
	}
}
