package api

import (
	"encoding/json"
	"reflect"
	"testing"
)

// FuzzMembers holds that an object is taken apart as package json does it.
func FuzzMembers(f *testing.F) {
	for _, s := range []string{
		`{}`, ` { } `, `{"a":1}`, `{"a" : [1, {"b":"}"}] , "c":"x\"y,:{","d":null}`, `{"a":1,"a":2}`, `{"\u0061\n":true}`, "{\"\xff\":1}",
		`{"a":"\\"}`, `{"a":{"b":{"c":[[],[{}]]}},"e":-1.5e3}`, `{"":""}`, `{"a":"b"	,
"c":"d"}`, `[]`, `"x"`, `1`, `null`, `{"a":["\\\"",","]}`, `{"ä":"ö"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		var raw json.RawMessage
		if json.Unmarshal(doc, &raw) != nil {
			return
		}
		var want map[string]json.RawMessage
		wantOK := raw[0] == '{' && json.Unmarshal(raw, &want) == nil
		got, ok := membersOf(raw)
		if ok != wantOK || ok && !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %q, %v; want %q, %v", raw, got, ok, want, wantOK)
		}
	})
}

// FuzzPlainTexts holds that a list of texts that is read in one pass is the one that
// package json reads.
func FuzzPlainTexts(f *testing.F) {
	for _, s := range []string{`[]`, `["a","b"]`, ` [ "a" , "b:c/d" ] `, `["a",null]`, `["\u0061"]`, `["ä"]`, `[1]`, `[["a"]]`, `null`, `"x"`, `{}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		var raw json.RawMessage
		if json.Unmarshal(doc, &raw) != nil {
			return
		}
		got, ok := plainTexts(raw, 3)
		if !ok {
			return // the other way reads it
		}
		var want []string
		if err := json.Unmarshal(raw, &want); err != nil || !reflect.DeepEqual(got, want) || len(got) > 3 {
			t.Errorf("%q: %q; want %q, %v", raw, got, want, err)
		}
	})
}
