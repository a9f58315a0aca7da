package filter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// TestSEC11_CraftedQueriesAreRefused holds that oversized and odd queries end in an
// error for the caller before they cost anything.
func TestSEC11_CraftedQueriesAreRefused(t *testing.T) {
	t.Parallel()
	many := func(n int, one func(i int) string, sep string) string {
		parts := make([]string, n)
		for i := range parts {
			parts[i] = one(i)
		}
		return strings.Join(parts, sep)
	}
	for name, in := range map[string]string{
		"proto":             `{"__proto__":{"$exists":true}}`,
		"proto in path":     `{"metadata.__proto__.x":"y"}`,
		"proto operator":    `{"kind":{"__proto__":1}}`,
		"10k conditions":    `{"$all":[` + many(10_000, func(i int) string { return fmt.Sprintf(`{"k%d":"v"}`, i) }, ",") + `]}`,
		"10k keys":          `{` + many(10_000, func(i int) string { return fmt.Sprintf(`"k%d":"v"`, i) }, ",") + `}`,
		"10k values":        `{"kind":{"$in":[` + many(10_000, func(i int) string { return fmt.Sprint(i) }, ",") + `]}}`,
		"10k empty groups":  `{"$all":[` + many(10_000, func(int) string { return `{"$all":[]}` }, ",") + `]}`,
		"deep not":          strings.Repeat(`{"$not":`, 10_000) + `{}` + strings.Repeat(`}`, 10_000),
		"deep all":          strings.Repeat(`{"$all":[`, 10_000) + strings.Repeat(`]}`, 10_000),
		"deep and unclosed": strings.Repeat(`{"$any":[`, 100_000),
		"deep value":        `{"kind":` + strings.Repeat(`[`, 10_000) + strings.Repeat(`]`, 10_000) + `}`,
		"large":             `{"kind":"` + strings.Repeat("x", 2<<20) + `"}`,
	} {
		if _, err := Parse([]byte(in), Limits{}); err == nil {
			t.Errorf("%s was accepted", name)
		}
		if _, err := ParseLocationJSON([]byte(in), Limits{}); err == nil {
			t.Errorf("%s was accepted for locations", name)
		}
	}
	for name, in := range map[string][]string{
		"proto":          {"__proto__=x"},
		"10k conditions": {many(10_000, func(i int) string { return fmt.Sprintf("k%d=v", i) }, ",")},
		"10k values":     {many(10_000, func(i int) string { return fmt.Sprintf("kind=v%d", i) }, ",")},
		"10k parameters": strings.Split(many(10_000, func(i int) string { return fmt.Sprintf("k%d", i) }, "&"), "&"),
		"large":          {"kind=" + strings.Repeat("x", 2<<20)},
	} {
		if _, _, err := ParseQuery(in, Limits{}); err == nil {
			t.Errorf("filter with %s was accepted", name)
		}
	}
}

// What the limits just allow is allowed again when it comes back in a cursor.
func TestLimitsHoldForTheReadBackForm(t *testing.T) {
	t.Parallel()
	limits := Limits{Conditions: 6, Values: 6, Depth: 3}
	for _, in := range []string{
		`{"$not":{"$not":{"a":"1","b":{"$exists":false}}}}`,
		`{"$all":[{"a":"1","b":"2"},{"c":"1","d":"2"},{"e":"1","f":{"$in":["1"]}}]}`,
		`{"$any":[{"$any":[{"$any":[{"relations":{"$contains":{"type":"a","targetRef":{"$in":["1","2"]}}}},{"x":1}]},{"y":1}]},{"z":1}]}`,
	} {
		readBack(t, []byte(in), limits)
	}
	if _, err := Parse([]byte(`{"$not":{"$not":{"$not":{"a":"1","b":"1"}}}}`), limits); err == nil {
		t.Error("an implicit group below the deepest level was accepted")
	}
	params := []string{"a=1,b=1", "c=1,d=1", "e=1,f=1"}
	p, _, err := ParseQuery(params, limits)
	if err != nil {
		t.Fatal(err)
	}
	data, _ := json.Marshal(p)
	readBack(t, data, limits)
}

func readBack(t *testing.T, data []byte, limits Limits) {
	t.Helper()
	p, err := Parse(data, limits)
	if err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	first, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(first, limits)
	if err != nil {
		t.Fatalf("%s: written as %s: %v", data, first, err)
	}
	second, _ := json.Marshal(again)
	if !bytes.Equal(first, second) {
		t.Fatalf("%s: written as %s, then as %s", data, first, second)
	}
	rows := rowsOfPetstore()
	if p.Lower().Match(rows) != again.Lower().Match(rows) {
		t.Fatalf("%s: means something else when it is read back", data)
	}
}

func FuzzPredicate(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"kind":"Component"}`, `{"$all":[{"a":1},{"$not":{"b":{"$exists":false}}}],"x":1}`, `{"$any":[{"a":{"$in":["x",1,true]}}]}`,
		`{"relations":{"$contains":{"type":"ownedBy","targetRef":{"$in":["a:b/c"]}}}}`, `{"a":{"$hasPrefix":"%_\\"}}`, `{"__proto__":{}}`, `{"$not":{"$all":[]}}`,
	} {
		f.Add([]byte(s))
	}
	limits := Limits{Conditions: 50, Values: 50, Depth: 8}
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := Parse(data, limits); err == nil {
			readBack(t, data, limits)
		}
		if p, err := ParseLocationJSON(data, limits); err == nil {
			if again, err := ParseLocation(p.Value(), limits); err != nil || !reflect.DeepEqual(again.Value(), p.Value()) {
				t.Fatalf("%s: location predicate reads back as %+v, %v", data, again, err)
			}
		}
	})
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{"kind=component", "kind=user,metadata.namespace=default&kind=group,spec.type", "=", ",", "a=b=c", "a,a=,a=1", "__proto__", " a = b "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, ok, err := ParseQuery(strings.Split(s, "&"), Limits{})
		if err != nil || !ok {
			return
		}
		data, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		// JSON repairs invalid UTF-8, which may make two keys or values equal.
		if strings.ContainsRune(string(data), '\ufffd') {
			return
		}
		readBack(t, data, Limits{})
	})
}

func BenchmarkMatch(b *testing.B) {
	p, _, err := ParseQuery([]string{"kind=api", "kind=component,spec.type=service,relations.ownedby=group:default/team-a"}, Limits{})
	if err != nil {
		b.Fatal(err)
	}
	p = p.Lower()
	rows := rowsOfPetstore()
	b.ReportAllocs()
	for b.Loop() {
		if !p.Match(rows) {
			b.Fatal("no match")
		}
	}
}
