package entity

import (
	"encoding/json"
	"strings"
	"testing"
)

func finalText(t *testing.T, e Entity, s Stitch) (Final, string) {
	t.Helper()
	f, err := Finalize(e, s)
	if err != nil {
		t.Fatal(err)
	}
	// The bytes are the stable form of the entity, with the etag where it belongs.
	if data, err := f.Entity.MarshalStable(); err != nil || string(data) != string(f.JSON) {
		t.Fatalf("bytes\n%s\nentity\n%s\n%v", f.JSON, data, err)
	}
	return f, string(f.JSON)
}

func TestFinalEntity(t *testing.T) {
	t.Parallel()
	e := Entity{"apiVersion": "backstage.io/v1alpha1", "kind": "System", "metadata": map[string]any{"name": "Shop", "namespace": "default", "uid": "theirs"}, "spec": map[string]any{"owner": "t"}}
	before, _ := e.MarshalStable()
	f, got := finalText(t, e, Stitch{UID: "u-1", Relations: []Relation{
		{"system:default/shop", "partOf", "domain:default/d"}, {"system:default/shop", "hasPart", "b:default/b"}, {"", "hasPart", "a:default/a"},
		{"system:default/shop", "hasPart", "b:default/b"}, {"domain:default/d", "hasPart", "system:default/shop"},
	}})
	want := `{"apiVersion":"backstage.io/v1alpha1","kind":"System","metadata":{"etag":"` + f.Hash + `","name":"Shop","namespace":"default","uid":"u-1"},"relations":[{"targetRef":"a:default/a","type":"hasPart"},{"targetRef":"b:default/b","type":"hasPart"},{"targetRef":"domain:default/d","type":"partOf"}],"spec":{"owner":"t"}}`
	if got != want || f.ETag() != f.Hash || len(f.Hash) != 40 {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if after, _ := e.MarshalStable(); string(after) != string(before) {
		t.Errorf("the processed entity changed to %s", after)
	}
}

func TestFinalETag(t *testing.T) {
	t.Parallel()
	make := func(meta map[string]any) Entity { return Entity{"kind": "A", "metadata": meta} }
	base, _ := finalText(t, make(map[string]any{"name": "a"}), Stitch{UID: "u"})
	again, _ := finalText(t, make(map[string]any{"name": "a"}), Stitch{UID: "u"})
	if base.Hash != again.Hash {
		t.Error("the same content has two hashes")
	}
	for name, f := range map[string]func() (Final, error){
		"uid": func() (Final, error) { return Finalize(make(map[string]any{"name": "a"}), Stitch{UID: "v"}) },
		"orphan": func() (Final, error) {
			return Finalize(make(map[string]any{"name": "a"}), Stitch{UID: "u", Orphan: true})
		},
		"relation": func() (Final, error) {
			return Finalize(make(map[string]any{"name": "a"}), Stitch{UID: "u", Relations: []Relation{{"", "x", "y"}}})
		},
		"error": func() (Final, error) {
			return Finalize(make(map[string]any{"name": "a"}), Stitch{UID: "u", Errors: []StatusError{{Name: "E"}}})
		},
	} {
		if got, err := f(); err != nil || got.Hash == base.Hash {
			t.Errorf("another %s does not change the hash, %v", name, err)
		}
	}
	f, text := finalText(t, make(map[string]any{"name": "a", "etag": "theirs"}), Stitch{UID: "u"})
	if f.ETag() != "theirs" || f.Hash == "theirs" || !strings.Contains(text, `"etag":"theirs"`) {
		t.Error(text)
	}
	// The place of the etag among other keys: first, in the middle, last, alone but for uid.
	for _, meta := range []map[string]any{{}, {"a": 1.0}, {"a": 1.0, "z": map[string]any{"etag": "inner"}}, {"f": 1.0}} {
		finalText(t, make(meta), Stitch{UID: "u"})
	}
	if _, err := Finalize(Entity{}, Stitch{}); err == nil {
		t.Error("an entity without metadata was finalized")
	}
}

func TestFinalStatus(t *testing.T) {
	t.Parallel()
	e := Entity{"kind": "A", "metadata": map[string]any{"name": "a"}, "status": map[string]any{"items": []any{map[string]any{"type": "x", "level": "info", "message": "m"}}}}
	f, _ := finalText(t, e, Stitch{UID: "u", Errors: []StatusError{{Name: "InputError", Message: "bad", Code: "C", Cause: &StatusError{Name: "TypeError", Message: "worse"}}}})
	got, _ := AppendJSON(nil, f.Entity["status"])
	const want = `{"items":[{"level":"info","message":"m","type":"x"},{"error":{"cause":{"message":"worse","name":"TypeError"},"code":"C","message":"bad","name":"InputError"},"level":"error","message":"InputError: bad","type":"backstage.io/catalog-processing"}]}`
	if string(got) != want {
		t.Errorf("%s", got)
	}
	f, _ = finalText(t, Entity{"metadata": map[string]any{}, "status": map[string]any{"items": []any{}}}, Stitch{})
	if _, ok := f.Entity["status"]; ok {
		t.Error("there is a status without items")
	}
	var back StatusError
	if err := json.Unmarshal([]byte(`{"name":"a","message":"b","cause":{"name":"c","message":"d"}}`), &back); err != nil || back.Cause.Name != "c" {
		t.Error(back, err)
	}
}

func TestOrphanAnnotation(t *testing.T) {
	t.Parallel()
	e := Entity{"metadata": map[string]any{"annotations": map[string]any{"a": "b"}}}
	f, _ := finalText(t, e, Stitch{Orphan: true})
	if f.Entity.Annotation(AnnotationOrphan) != "true" || f.Entity.Annotation("a") != "b" || len(e.Annotations()) != 1 {
		t.Error(f.Entity, e)
	}
	f, _ = finalText(t, f.Entity, Stitch{})
	if f.Entity.Annotation(AnnotationOrphan) != "" {
		t.Error("the annotation of an earlier orphan stays")
	}
}

// TestSEC8_ScriptURLsAreNotServed holds that no URL that a browser runs as a script
// leaves the catalog in links or annotations.
func TestSEC8_ScriptURLsAreNotServed(t *testing.T) {
	t.Parallel()
	scripts := []string{"javascript:alert(1)", "JavaScript:alert(1)", " javascript:alert(1)", "java\nscript:alert(1)", "java\tscript\r\n:alert(1)", "\x01\x02javascript:alert(1)", "\u00a0javascript:x", "\u200bjavascript:x"}
	for _, script := range scripts {
		e := Entity{"kind": "A", "metadata": map[string]any{
			"name": "a",
			"annotations": map[string]any{
				AnnotationViewURL: script, AnnotationEditURL: script, AnnotationSource: "url:" + script, "example.com/dashboard": script,
				"example.com/text": "about javascript: a language", "example.com/url": "https://example.com/javascript:x",
			},
			"links": []any{map[string]any{"url": script, "title": "x"}, map[string]any{"url": "https://example.com"}, "x"},
		}}
		f, text := finalText(t, e, Stitch{UID: "u"})
		for _, key := range []string{AnnotationViewURL, AnnotationEditURL, "example.com/dashboard"} {
			if got := f.Entity.Annotation(key); got != InertURL {
				t.Errorf("%q: annotation %s is %q", script, key, got)
			}
		}
		if got := f.Entity.Annotation(AnnotationSource); got != "url:"+InertURL {
			t.Errorf("%q: source location is %q", script, got)
		}
		links, _ := f.Entity.Get("metadata", "links")
		if got := object(links.([]any)[0])["url"]; got != InertURL || object(links.([]any)[1])["url"] != "https://example.com" {
			t.Errorf("%q: link is %q", script, got)
		}
		if strings.Contains(text, "alert") || !strings.Contains(text, "about javascript: a language") || !strings.Contains(text, "https://example.com/javascript:x") {
			t.Errorf("%q: %s", script, text)
		}
		if e.Annotation(AnnotationViewURL) != script {
			t.Error("the processed entity changed")
		}
	}
}

func BenchmarkFinalize(b *testing.B) {
	e, relations := benchEntity()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Finalize(e, Stitch{UID: "u", Relations: relations}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMarshalStable(b *testing.B) {
	e, _ := benchEntity()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.MarshalStable(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	e, _ := benchEntity()
	delete(e.Metadata(), "uid")
	m := NewModel(ModelOptions{})
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Validate(e); err != nil {
			b.Fatal(err)
		}
	}
}
