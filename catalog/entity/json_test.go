package entity

import (
	"encoding/json"
	"math"
	"testing"
	"time"
)

func TestJSONLooksAsJavaScriptWritesIt(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   any
		want string
	}{
		{nil, "null"},
		{1.0, "1"},
		{-0.5, "-0.5"},
		{math.Copysign(0, -1), "0"},
		{1e20, "100000000000000000000"},
		{1e21, "1e+21"},
		{1e-6, "0.000001"},
		{1e-7, "1e-7"},
		{1.5e-10, "1.5e-10"},
		{12345678901234567890.0, "12345678901234567000"},
		{math.NaN(), "null"},
		{math.Inf(-1), "null"},
		{7, "7"},
		{uint8(7), "7"},
		{json.Number("7.50"), "7.5"},
		{"<a href='x'>&\u2028</a>", "\"<a href='x'>&\u2028</a>\""},
		{"\"\\\b\f\n\r\t\x01\x7f", `"\"\\\b\f\n\r\t\u0001` + "\x7f\""},
		{"a\xffb\xc3", "\"a\ufffdb\ufffd\""},
		{[]string{"a", "b"}, `["a","b"]`},
		{map[string]string{"b": "1", "a": "2"}, `{"a":"2","b":"1"}`},
		{[]any(nil), "[]"},
		{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), `"2026-01-02T03:04:05Z"`},
		{map[string]any{"z": []any{true, false}, "a": Entity{"k": nil}}, `{"a":{"k":null},"z":[true,false]}`},
	} {
		got, err := AppendJSON(nil, tt.in)
		if err != nil || string(got) != tt.want {
			t.Errorf("%#v: %s, %v, want %s", tt.in, got, err, tt.want)
		}
	}
	if _, err := AppendJSON(nil, make(chan int)); err == nil {
		t.Error("a channel became JSON")
	}
}

func TestDecodeAcceptsOneObject(t *testing.T) {
	t.Parallel()
	e, err := Decode([]byte(`{"kind":"A","kind":"B","n":12345678901234567890}`))
	if err != nil || e.Kind() != "B" || e["n"] != 12345678901234567890.0 {
		t.Fatal(e, err)
	}
	for _, in := range []string{"", "null", "[]", `"x"`, "{} {}", "{"} {
		if _, err := Decode([]byte(in)); err == nil {
			t.Errorf("%q was decoded", in)
		}
	}
}

func TestMarshalThroughEncodingJSON(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(map[string]any{"e": Entity{"b": math.NaN(), "a": []string{"x"}}, "nil": Entity(nil)})
	if err != nil || string(data) != `{"e":{"a":["x"],"b":null},"nil":null}` {
		t.Fatal(string(data), err)
	}
}

func TestNormalizeMakesValuesCanonical(t *testing.T) {
	t.Parallel()
	type owner struct {
		Team string `json:"team"`
	}
	in := Entity{"a": []string{"x"}, "b": map[string]string{"k": "v"}, "c": 3, "d": owner{"t"}, "e": Entity{"f": []any{int64(1), nil}}}
	got, err := Normalize(in)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Decode([]byte(`{"a":["x"],"b":{"k":"v"},"c":3,"d":{"team":"t"},"e":{"f":[1,null]}}`))
	if err != nil || !got.Equal(want) {
		t.Fatal(got, err)
	}
	if _, err := Normalize(Entity{"x": func() {}}); err == nil {
		t.Fatal("a function was normalized")
	}
}

func TestHashDependsOnContentOnly(t *testing.T) {
	t.Parallel()
	a, err := Entity{"a": 1.0, "b": []any{"x"}}.Hash()
	if err != nil || a != "f3fd5c6406637f99be76085f6032dca6a12ea663" {
		t.Fatal(a, err)
	}
	if b, _ := (Entity{"b": []string{"x"}, "a": 1}).Hash(); a != b {
		t.Errorf("equal entities have hashes %s and %s", a, b)
	}
	if b, _ := (Entity{"b": []string{"y"}, "a": 1}).Hash(); a == b {
		t.Error("different entities have one hash")
	}
}

func TestAccessorsOfAnything(t *testing.T) {
	t.Parallel()
	for _, e := range []Entity{nil, {}, {"kind": 1, "metadata": "x", "spec": []any{}}, {"metadata": map[string]any{"annotations": 1, "tags": map[string]any{}, "labels": nil}}} {
		if e.Kind() != "" || e.Name() != "" || e.UID() != "" || e.Annotation("x") != "" || len(e.Annotations()) != 0 ||
			len(e.Labels()) != 0 || e.Tags() != nil || e.SpecString("a", "b") != "" || e.SpecStrings("a") != nil || e.Namespace() != "default" {
			t.Errorf("%v has values", e)
		}
		if !e.Clone().Equal(e) {
			t.Errorf("%v is not equal to its clone", e)
		}
	}
}

func TestGetSetDelete(t *testing.T) {
	t.Parallel()
	e := Entity{"spec": "text"}
	e.Set(1.0, "spec", "a", "b")
	e.SetAnnotation("k", "v")
	e.Set("ignored")
	if v, ok := e.Get("spec", "a", "b"); !ok || v != 1.0 {
		t.Error(v, ok)
	}
	if e.Annotation("k") != "v" {
		t.Error(e)
	}
	clone := e.Clone()
	if !e.Delete("spec", "a", "b") || e.Delete("spec", "a", "b") || e.Delete("spec", "x", "y") || e.Delete() {
		t.Error("Delete says something else than it did")
	}
	if v, ok := clone.Get("spec", "a", "b"); !ok || v != 1.0 || clone.Equal(e) {
		t.Error("the clone shares objects with the original")
	}
}

func TestEqualComparesContent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b Entity
		want bool
	}{
		{Entity{"a": 1}, Entity{"a": 1.0}, true},
		{Entity{"a": nil}, Entity{}, false},
		{Entity{"a": nil}, Entity{"b": nil}, false},
		{Entity{"a": []any{1.0, "x"}}, Entity{"a": []any{1.0, "x"}}, true},
		{Entity{"a": []any{1.0}}, Entity{"a": []any{1.0, 2.0}}, false},
		{Entity{"a": "1"}, Entity{"a": 1.0}, false},
		{Entity{"a": true}, Entity{"a": true}, true},
		{Entity{"a": map[string]any{}}, Entity{"a": Entity{}}, true},
		{Entity{"a": map[string]any{}}, Entity{"a": []any{}}, false},
	} {
		if got := tt.a.Equal(tt.b); got != tt.want {
			t.Errorf("%v and %v: equal %v", tt.a, tt.b, got)
		}
	}
}
