package entity

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func project(t *testing.T, data string, fields ...string) string {
	t.Helper()
	f, err := ParseFields(fields...)
	if err != nil {
		t.Fatal(err)
	}
	out, err := f.Append([]byte("x"), []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return string(out[1:])
}

// Cases of contract catalog.md, 1.4.
func TestFields(t *testing.T) {
	t.Parallel()
	const data = `{"kind":"A","metadata":{"annotations":{"github.com/project-slug":"acme/x","a":{"b":1},"a.b":2},"labels":{"example.com/tier":"1"},"name":"x","quo\"te.d":3,"tags":["a","b"]},"relations":[{"type":"t"}],"spec":{"a.b.c":1,"":{"":2},"null":null}}`
	for fields, want := range map[string]string{
		"":                          data,
		" , ,":                      data,
		"kind":                      `{"kind":"A"}`,
		"metadata.name,kind":        `{"metadata":{"name":"x"},"kind":"A"}`,
		"kind, metadata.name ,kind": `{"kind":"A","metadata":{"name":"x"}}`,
		"metadata.tags,relations":   `{"metadata":{"tags":["a","b"]},"relations":[{"type":"t"}]}`,
		"metadata.tags.0":           `{}`,
		"Kind":                      `{}`,
		"nope,metadata.nope,kind.x": `{}`,
		"metadata.annotations.github.com/project-slug": `{"metadata":{"annotations":{"github.com/project-slug":"acme/x"}}}`,
		"metadata.labels.example.com/tier":             `{"metadata":{"labels":{"example.com/tier":"1"}}}`,
		"metadata.annotations.a.b":                     `{"metadata":{"annotations":{"a":{"b":1}}}}`,
		"metadata.annotations.a.c":                     `{}`,
		"spec.a.b.c":                                   `{"spec":{"a.b.c":1}}`,
		"spec..":                                       `{"spec":{"":{"":2}}}`,
		"spec.null":                                    `{"spec":{"null":null}}`,
		"metadata.quo\"te.d":                           `{"metadata":{"quo\"te.d":3}}`,
		"spec.null,spec":                               `{"spec":{"a.b.c":1,"":{"":2},"null":null}}`,
		"spec,spec.null":                               `{"spec":{"a.b.c":1,"":{"":2},"null":null}}`,
	} {
		if got := project(t, data, fields); got != want {
			t.Errorf("%s: %s, want %s", fields, got, want)
		}
	}
	if got := project(t, data, "kind", "metadata.name"); got != `{"kind":"A","metadata":{"name":"x"}}` {
		t.Error(got)
	}
}

// TestSEC11_CraftedFieldsAreRefused is the part of SEC-11 about projections.
func TestSEC11_CraftedFieldsAreRefused(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"element":         "metadata.links[0]",
		"proto":           "__proto__",
		"proto in path":   "metadata.__proto__.x",
		"10k paths":       strings.Repeat("a,", 10_000),
		"one large path":  strings.Repeat("a.", 100_000),
		"one large field": strings.Repeat("a", 100_000),
	} {
		if _, err := ParseFields(in); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	f, err := ParseFields("constructor.prototype", strings.Repeat("a.", 30_000))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := f.Append(nil, []byte(`{"a":{}}`)); err != nil || string(got) != "{}" {
		t.Errorf("%s %v", got, err)
	}
}

func TestFieldsOfSomethingElse(t *testing.T) {
	t.Parallel()
	f, err := ParseFields("a.b")
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{"", "[]", "null", "1", `"a"`, "{", `{"a`, `{"a"`, `{"a":`, `{"a":"`, `{"a":{}`, `{"a":[}`, `{a:1}`, `{"\`} {
		if out, err := f.Append(nil, []byte(data)); err == nil {
			t.Errorf("%q gives %s", data, out)
		}
	}
}

// The projection of bytes equals the straightforward one on decoded values.
func TestFieldsAgainstNaiveProjection(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	samples := sampleEntities()
	for i := range 5000 {
		e := samples[i%len(samples)].Clone()
		for range r.IntN(4) {
			mutate(r, map[string]any(e))
		}
		e["a"] = map[string]any{"b": map[string]any{"c": 1.0, "c.d": 2.0}, "b.c": map[string]any{"d": "}\"]"}, "x\\\"\n": "y"}
		data, err := e.MarshalStable()
		if err != nil {
			t.Fatal(err)
		}
		fields := make([]string, 1+r.IntN(6))
		for j := range fields {
			fields[j] = randomPath(r, map[string]any(e))
		}
		want := naiveProjection(e, fields)
		got := project(t, string(data), strings.Join(fields, ","))
		var decoded map[string]any
		if err := json.Unmarshal([]byte(got), &decoded); err != nil || !equal(decoded, want) {
			t.Fatalf("fields %q of\n%s\n got %s\nwant %v", fields, data, got, want)
		}
	}
}

func randomPath(r *rand.Rand, m map[string]any) string {
	if r.IntN(12) == 0 {
		return []string{"a.b.c.d", "a.b.c", "nope", "a..b", "spec.x.y"}[r.IntN(5)]
	}
	keys := sortedKeys(m)
	key := keys[r.IntN(len(keys))]
	if strings.ContainsAny(key, "[,") || strings.TrimSpace(key) != key || key == "" {
		return "kind"
	}
	if child, ok := m[key].(map[string]any); ok && len(child) > 0 && r.IntN(3) > 0 {
		return key + "." + randomPath(r, child)
	}
	return key
}

func naiveProjection(e Entity, fields []string) map[string]any {
	out := map[string]any{}
	for _, field := range fields {
		var keys []string
		var at any = map[string]any(e)
		parts := strings.Split(field, ".")
		ok := true
		for len(parts) > 0 && ok {
			m, _ := at.(map[string]any)
			ok = false
			for n := 1; n <= len(parts); n++ {
				key := strings.Join(parts[:n], ".")
				if v, found := m[key]; found {
					keys, at, parts, ok = append(keys, key), v, parts[n:], true
					break
				}
			}
		}
		if !ok {
			continue
		}
		target := out
		for _, key := range keys[:len(keys)-1] {
			next, ok := target[key].(map[string]any)
			if !ok {
				next = map[string]any{}
				target[key] = next
			}
			target = next
		}
		target[keys[len(keys)-1]] = clone(at)
	}
	return out
}

func FuzzFields(f *testing.F) {
	f.Add("a.b,c", `{"a":{"b":1},"c":"\"}"}`)
	f.Add("a.b", `{"a.b":[{}],"a":`)
	f.Fuzz(func(t *testing.T, fields, data string) {
		p, err := ParseFields(fields)
		if err != nil {
			return
		}
		out, err := p.Append(nil, []byte(data))
		if err == nil && json.Valid([]byte(data)) && !json.Valid(out) {
			t.Fatalf("%q of %q gives %q", fields, data, out)
		}
	})
}

func TestFieldsAllocateNothing(t *testing.T) {
	e, _ := benchEntity()
	data, err := e.MarshalStable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := ParseFields(catalogIndexFields)
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 0, len(data))
	// None, but the race detector makes pools forget things.
	allocs := testing.AllocsPerRun(200, func() { dst, _ = f.Append(dst[:0], data) })
	if allocs > 10 {
		t.Errorf("a projection allocates %v times", allocs)
	}
}

// catalogIndexFields is what list pages ask for.
const catalogIndexFields = "kind,metadata.name,metadata.namespace,metadata.title,metadata.description,metadata.tags,metadata.annotations.backstage.io/view-url,spec.type,spec.lifecycle,spec.owner,relations"

func BenchmarkFields(b *testing.B) {
	e, _ := benchEntity()
	for _, size := range []int{0, 100_000} {
		e.Spec()["definition"] = strings.Repeat("x\n", size/2)
		data, err := e.MarshalStable()
		if err != nil {
			b.Fatal(err)
		}
		f, err := ParseFields(catalogIndexFields)
		if err != nil {
			b.Fatal(err)
		}
		dst := make([]byte, 0, len(data))
		b.Run(fmt.Sprintf("definition=%d/bytes", size), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				dst, _ = f.Append(dst[:0], data)
			}
		})
		fields := strings.Split(catalogIndexFields, ",")
		b.Run(fmt.Sprintf("definition=%d/maps", size), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				e, _ := Decode(data)
				dst, _ = AppendJSON(dst[:0], naiveProjection(e, fields))
			}
		})
	}
}
