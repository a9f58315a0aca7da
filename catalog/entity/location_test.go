package entity

import (
	"strings"
	"testing"
)

func TestLocationRefs(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"url:https://example.com/a":    "url:https://example.com/a",
		" url : https://example.com/a": "url:https://example.com/a",
		"file:./a.yaml":                "file:./a.yaml",
		"file:C:\\a.yaml":              "file:C:\\a.yaml",
		"x:javascript.yaml":            "x:javascript.yaml",
	} {
		loc, err := ParseLocation(in)
		if err != nil || loc.String() != want {
			t.Errorf("%q: %q, %v", in, loc, err)
		}
	}
	for in, want := range map[string]string{
		"":                         "has no type; expected",
		"x":                        "has no type; expected",
		":x":                       "has an empty type or target",
		"x:":                       "has an empty type or target",
		"x:  ":                     "has an empty type or target",
		"https://example.com":      "has no type; write url:https://example.com",
		"HTTP://example.com":       "has no type; write url:",
		"url:javascript:alert(1)":  "has a script as its target",
		"url:JavaScript:alert(1)":  "has a script as its target",
		"url:java\nscript:x":       "has a script as its target",
		"url:\x01 java\tscript\r:": "has a script as its target",
	} {
		if _, err := ParseLocation(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
}

func TestGeneratedLocationEntity(t *testing.T) {
	t.Parallel()
	root := Location{Type: "url", Target: "https://example.com/a.yaml"}
	e := NewLocationEntity(root, Location{}, Location{}, "")
	const want = `{"apiVersion":"backstage.io/v1alpha1","kind":"Location","metadata":{"annotations":{"backstage.io/managed-by-location":"url:https://example.com/a.yaml","backstage.io/managed-by-origin-location":"url:https://example.com/a.yaml"},"name":"generated-17fb6f13ffb6251438be1e4f37c6482b83ede45c"},"spec":{"target":"https://example.com/a.yaml","type":"url"}}`
	data, err := e.MarshalStable()
	if err != nil || string(data) != want {
		t.Fatalf("%s, %v", data, err)
	}
	if err := NewModel(ModelOptions{}).Validate(e); err != nil {
		t.Fatal(err)
	}
	nested := NewLocationEntity(Location{"url", "https://example.com/b.yaml"}, Location{"url", "p"}, root, "optional")
	if at, err := LocationOf(nested); err != nil || at.Target != "p" {
		t.Error(at, err)
	}
	if at, err := OriginOf(nested); err != nil || at != root || nested.SpecString("presence") != "optional" {
		t.Error(at, err)
	}
	if _, err := LocationOf(Entity{"kind": "A", "metadata": map[string]any{"name": "b"}}); err == nil || err.Error() != "a:default/b has no annotation backstage.io/managed-by-location" {
		t.Error(err)
	}
}
