package entity

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type refVector struct {
	ID      string          `json:"id"`
	Op      string          `json:"op"`
	Input   json.RawMessage `json:"input"`
	Context *struct {
		DefaultKind      string `json:"defaultKind"`
		DefaultNamespace string `json:"defaultNamespace"`
	} `json:"context"`
	Output json.RawMessage `json:"output"`
	Error  *struct {
		Kind string `json:"kind"`
	} `json:"error"`
}

func TestEntityRefVectors(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("testdata", "entityref-vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Vectors []refVector `json:"vectors"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) != 73 {
		t.Fatalf("%d vectors, want 73", len(file.Vectors))
	}
	for _, v := range file.Vectors {
		t.Run(v.ID, func(t *testing.T) { v.run(t) })
	}
}

func (v refVector) run(t *testing.T) {
	var defaults []Default
	if v.Context != nil {
		defaults = append(defaults, Default{Kind: v.Context.DefaultKind, Namespace: v.Context.DefaultNamespace})
	}
	var input any
	if err := json.Unmarshal(v.Input, &input); err != nil {
		t.Fatal(err)
	}
	var got any
	var err error
	switch v.Op {
	case "parse":
		got, err = ParseRefValue(input, defaults...)
	case "roundtrip":
		var ref Ref
		ref, err = ParseRefValue(input, defaults...)
		got = ref.String()
	case "stringify":
		got = StringifyRef(input.(map[string]any))
	case "compound":
		got = Entity(input.(map[string]any)).Ref()
	default:
		t.Fatalf("unknown op %q", v.Op)
	}
	if v.Error != nil {
		var refErr *RefError
		if !errors.As(err, &refErr) || refErr.Reason != v.Error.Kind {
			t.Fatalf("error %v, want reason %s", err, v.Error.Kind)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	gotJSON, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if json.Unmarshal(gotJSON, &a) != nil || json.Unmarshal(v.Output, &b) != nil || !equal(a, b) {
		t.Fatalf("got %s, want %s", gotJSON, v.Output)
	}
}

func TestRefErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   any
		want string
	}{
		{"", "entity reference is empty; expected [<kind>:][<namespace>/]<name>"},
		{"petstore", `entity reference "petstore" has no kind; write <kind>:petstore`},
		{"a:", `entity reference "a:" is malformed; expected [<kind>:][<namespace>/]<name>`},
		{map[string]any{"kind": "a", "namespace": "", "name": "b"}, `entity reference {"kind":"a","name":"b","namespace":""} has an empty namespace`},
		{map[string]any{"kind": "a"}, `entity reference {"kind":"a"} has no name`},
		{true, `entity reference "true" is malformed; expected [<kind>:][<namespace>/]<name>`},
	} {
		_, err := ParseRefValue(tt.in)
		if err == nil || err.Error() != tt.want {
			t.Errorf("ParseRefValue(%v): %v, want %s", tt.in, err, tt.want)
		}
	}
}

func TestRefJSON(t *testing.T) {
	t.Parallel()
	var refs []Ref
	if err := json.Unmarshal([]byte(`["Component:a/B", {"kind":"API","name":"x"}]`), &refs); err != nil {
		t.Fatal(err)
	}
	if refs[0] != (Ref{"Component", "a", "B"}) || refs[1] != (Ref{"API", "default", "x"}) {
		t.Fatal(refs)
	}
	if err := json.Unmarshal([]byte(`["x"]`), &refs); err == nil {
		t.Fatal("a reference without a kind was read")
	}
}

func TestLowerFollowsUnicode(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":          "",
		"abc-1":     "abc-1",
		"ABC":       "abc",
		"İ":         "i\u0307",
		"ΟΣ":        "ος",
		"Σ":         "σ",
		"ΑΣ.Β":      "ασ.β",
		"ΑΣ Β":      "ας β",
		"Α'Σ":       "α'ς",
		"ΣΑΣ":       "σας",
		"\xffΑ":     "\ufffdα",
		"ÅNGSTRÖM":  "ångström",
		"ẞ":         "ß",
		"𐐀":         "𐐨",
		"ΑΣ\u0301Β": "ασ\u0301β",
	} {
		if got := Lower(in); got != want {
			t.Errorf("Lower(%q) = %q, want %q", in, got, want)
		}
		if got := (Ref{in, in, in}).Lower().Name; got != want {
			t.Errorf("Ref.Lower of %q = %q, want %q", in, got, want)
		}
	}
}

func TestRefAllocations(t *testing.T) {
	ref := Ref{Kind: "Component", Namespace: "default", Name: "Checkout-API"}
	var s string
	if n := testing.AllocsPerRun(100, func() { ref, _ = ParseRef("checkout-api", Default{Kind: "Component"}) }); n != 0 {
		t.Errorf("ParseRef allocates %v times, want 0", n)
	}
	if n := testing.AllocsPerRun(100, func() { s = ref.String() }); n > 1 {
		t.Errorf("Ref.String allocates %v times, want 1", n)
	}
	if n := testing.AllocsPerRun(100, func() { _ = Lower(s) }); n != 0 {
		t.Errorf("Lower of lower case allocates %v times, want 0", n)
	}
}

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"", "a", "a:b", "a/b", "a:b/c", "a/b:c", ":", "//", "a::b", "İ:Σ/ΟΣ", "\xff:\x00/ "} {
		f.Add(s, "component", "ns")
	}
	f.Fuzz(func(t *testing.T, s, kind, namespace string) {
		ref, err := ParseRef(s, Default{Kind: kind, Namespace: namespace})
		if err != nil {
			return
		}
		if ref.Kind == "" || ref.Namespace == "" || ref.Name == "" {
			t.Fatalf("%q: empty part in %#v", s, ref)
		}
		appended, _ := ref.AppendText([]byte("x"))
		if want := ref.Lower(); string(appended) != "x"+want.Kind+":"+want.Namespace+"/"+want.Name {
			t.Fatalf("%q: appended %q, want %#v", s, appended, want)
		}
		// A slash or colon that defaults carry moves the borders between parts.
		if strings.ContainsAny(kind+namespace, ":/") || !strings.Contains(s, ":") {
			return
		}
		again, err := ParseRef(ref.Kind + ":" + ref.Namespace + "/" + ref.Name)
		if err != nil || again != ref {
			t.Fatalf("%q: %#v became %#v, %v", s, ref, again, err)
		}
	})
}

func BenchmarkParseRef(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_, _ = ParseRef("component:default/checkout-api")
	}
}

func BenchmarkRefString(b *testing.B) {
	ref := Ref{Kind: "Component", Namespace: "default", Name: "Checkout-API"}
	b.ReportAllocs()
	for b.Loop() {
		_ = ref.String()
	}
}
