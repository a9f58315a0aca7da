package filter

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/catalog/entity"
)

var petstore = entity.Entity{
	"apiVersion": "backstage.io/v1alpha1",
	"kind":       "Component",
	"metadata": map[string]any{
		"name": "Petstore", "uid": "u-1", "etag": "e", "description": strings.Repeat("x", 201),
		"tags": []any{"Java", "kafka"}, "nothing": nil, "empty": "",
	},
	"spec": map[string]any{"type": "service", "replicas": 3.0, "public": true, "expr": "a=b"},
}

func rowsOfPetstore() []entity.SearchRow {
	return entity.Flatten(petstore, []entity.Relation{{Type: "ownedBy", Target: "group:default/team-a"}})
}

func TestQueryGrammar(t *testing.T) {
	t.Parallel()
	rows := rowsOfPetstore()
	for _, tt := range []struct {
		params  []string
		json    string // of the predicate; "" for no filter
		matches bool
	}{
		{[]string{"kind=user,metadata.namespace=default", "kind=group,spec.type"}, `{"$any":[{"$all":[{"kind":"user"},{"metadata.namespace":"default"}]},{"$all":[{"kind":"group"},{"spec.type":{"$exists":true}}]}]}`, false},
		{[]string{"kind=component"}, `{"kind":"component"}`, true},
		{[]string{"KIND=COMPONENT"}, `{"KIND":"COMPONENT"}`, true},
		{[]string{" kind = component , "}, `{"kind":"component"}`, true},
		{[]string{"kind=component,kind=api"}, `{"kind":{"$in":["component","api"]}}`, true},
		{[]string{"kind,kind=api"}, `{"kind":"api"}`, false},
		{[]string{"kind=api,kind"}, `{"kind":"api"}`, false},
		{[]string{"spec.expr=a=b"}, `{"spec.expr":"a=b"}`, true},
		{[]string{"metadata.empty="}, `{"metadata.empty":""}`, true},
		{[]string{"metadata.description"}, `{"metadata.description":{"$exists":true}}`, true},
		{[]string{"metadata.description=" + strings.Repeat("x", 201)}, "-", false},
		{[]string{"metadata.nothing"}, `{"metadata.nothing":{"$exists":true}}`, true},
		{[]string{"metadata.nothing="}, `{"metadata.nothing":""}`, false},
		{[]string{"metadata.tags=java"}, `{"metadata.tags":"java"}`, true},
		{[]string{"metadata.tags.java"}, `{"metadata.tags.java":{"$exists":true}}`, true},
		{[]string{"relations.ownedBy=group:default/team-a"}, `{"relations.ownedBy":"group:default/team-a"}`, true},
		{[]string{"metadata.namespace=default"}, `{"metadata.namespace":"default"}`, true},
		{[]string{"metadata.etag"}, `{"metadata.etag":{"$exists":true}}`, false},
		{[]string{","}, "", true},
		{[]string{",", "", " , "}, "", true},
		{[]string{",", "kind=api"}, `{"kind":"api"}`, false},
		{nil, "", true},
	} {
		p, ok, err := ParseQuery(tt.params, Limits{})
		if err != nil {
			t.Errorf("%q: %v", tt.params, err)
			continue
		}
		if ok != (tt.json != "") {
			t.Errorf("%q: there is a filter: %v", tt.params, ok)
			continue
		}
		if got, _ := json.Marshal(p); ok && tt.json != "-" && string(got) != tt.json {
			t.Errorf("%q: predicate %s, want %s", tt.params, got, tt.json)
		}
		if got := p.Lower().Match(rows); got != tt.matches {
			t.Errorf("%q: matches %v, want %v", tt.params, got, tt.matches)
		}
	}
}

func TestPredicates(t *testing.T) {
	t.Parallel()
	rows := rowsOfPetstore()
	for in, want := range map[string]bool{
		`{}`:                   true,
		`{"kind":"Component"}`: true,
		`{"kind":"component","spec.type":"library"}`: false,
		`{"kind":"component","spec.type":"service"}`: true,
		`{"$all":[]}`:                   true,
		`{"$any":[]}`:                   false,
		`{"$not":{"$any":[]}}`:          true,
		`{"$not":{"kind":"component"}}`: false,
		`{"$any":[{"kind":"api"},{"kind":"component"}]}`:                                    true,
		`{"$all":[{"kind":"api"},{"kind":"component"}]}`:                                    false,
		`{"spec.replicas":3}`:                                                               true,
		`{"spec.replicas":"3"}`:                                                             true,
		`{"spec.replicas":3.5}`:                                                             false,
		`{"spec.public":true}`:                                                              true,
		`{"spec.public":{"$in":[false,"TRUE"]}}`:                                            true,
		`{"spec.type":{"$exists":true}}`:                                                    true,
		`{"spec.type":{"$exists":false}}`:                                                   false,
		`{"spec.nope":{"$exists":false}}`:                                                   true,
		`{"kind":{"$in":[]}}`:                                                               false,
		`{"kind":{"$in":["api","COMPONENT"]}}`:                                              true,
		`{"metadata.name":{"$hasPrefix":"PET"}}`:                                            true,
		`{"metadata.name":{"$hasPrefix":"%"}}`:                                              false,
		`{"metadata.name":{"$hasPrefix":"_etstore"}}`:                                       false,
		`{"metadata.tags":{"$contains":"java"}}`:                                            true,
		`{"kind":{"$contains":"component"}}`:                                                true,
		`{"relations":{"$contains":{"type":"ownedBy"}}}`:                                    true,
		`{"Relations":{"$contains":{"TYPE":"ownedby","TargetRef":"Group:default/team-a"}}}`: true,
		`{"relations":{"$contains":{"type":"ownedBy","targetRef":{"$in":["a:b/c","group:default/TEAM-a"]}}}}`: true,
		`{"relations":{"$contains":{"type":"ownedBy","targetRef":"group:default/b"}}}`:                        false,
		`{"metadata.description":{"$exists":true}}`:                                                           true,
	} {
		p, err := Parse([]byte(in), Limits{})
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if got := p.Lower().Match(rows); got != want {
			t.Errorf("%s: %v, want %v", in, got, want)
		}
	}
}

func TestPredicateErrorsNameThePart(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`[]`:                                     "query: expected an object, found an array",
		`"x"`:                                    "query: expected an object, found a string",
		`null`:                                   "query: expected an object, found null",
		`{`:                                      "query: expected JSON: unexpected EOF",
		`{} {}`:                                  "query: expected one JSON value",
		`{"$all":[],"kind":"x"}`:                 `query: expected "$all" to be the only key of its object`,
		`{"$or":[]}`:                             "query/$or: expected $all, $any or $not",
		`{"$all":{}}`:                            "query/$all: expected an array of predicates, found an object",
		`{"$all":["x"]}`:                         "query/$all/0: expected an object, found a string",
		`{"$not":1}`:                             "query/$not: expected an object, found a number",
		`{"kind":null}`:                          "query/kind: expected a string, number or boolean, found null",
		`{"kind":["a"]}`:                         "query/kind: expected a string, number or boolean, found an array",
		`{"kind":{}}`:                            "query/kind: expected a value, or an object with one of $exists, $in, $hasPrefix and $contains",
		`{"kind":{"$exists":true,"$in":[]}}`:     "query/kind: expected a value, or an object with one of $exists, $in, $hasPrefix and $contains",
		`{"kind":{"$exists":"yes"}}`:             "query/kind/$exists: expected true or false, found a string",
		`{"kind":{"$in":"a"}}`:                   "query/kind/$in: expected an array of strings, numbers and booleans, found a string",
		`{"kind":{"$in":[[]]}}`:                  "query/kind/$in: expected a string, number or boolean, found an array",
		`{"kind":{"$hasPrefix":1}}`:              "query/kind/$hasPrefix: expected a string, found a number",
		`{"kind":{"$gt":1}}`:                     "query/kind/$gt: expected one of $exists, $in, $hasPrefix and $contains",
		`{"kind":{"$contains":{"a":"b"}}}`:       "query/kind/$contains: expected a string, number or boolean: only the key relations is searched for objects",
		`{"relations":{"$contains":{}}}`:         "query/relations/$contains: expected the type of a relation, found nothing",
		`{"relations":{"$contains":{"type":1}}}`: "query/relations/$contains/type: expected the type of a relation, found a number",
		`{"relations":{"$contains":{"x":"y"}}}`:  "query/relations/$contains/x: expected type or targetRef",
		`{"relations":{"$contains":{"type":"a","targetRef":{"$in":[]}}}}`:  "query/relations/$contains/targetRef: expected at least one entity reference",
		`{"relations":{"$contains":{"type":"a","targetRef":{"$in":[1]}}}}`: "query/relations/$contains/targetRef: expected entity references, found a number",
		`{"relations":{"$contains":{"type":"a","targetRef":1}}}`:           `query/relations/$contains/targetRef: expected an entity reference or {"$in": [...]}, found a number`,
		`{"":"x"}`:          "query: expected a key, found nothing",
		`{"__proto__":"x"}`: "query: __proto__ is no part of an entity",
	} {
		_, err := Parse([]byte(in), Limits{})
		var typed *Error
		if !errors.As(err, &typed) || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", in, err, want)
		}
	}
	if _, _, err := ParseQuery([]string{"=x"}, Limits{}); err == nil || err.Error() != "filter: expected a key, found nothing" {
		t.Errorf("=x: %v", err)
	}
}

func TestLocationPredicates(t *testing.T) {
	t.Parallel()
	text := func(s string) *string { return &s }
	// A location has a row per field; ids keep their case.
	rows := []entity.SearchRow{
		{Key: "id", Value: text("Abc")}, {Key: "type", Value: text("url")},
		{Key: "target", Value: text("https://example.com/a")}, {Key: "entityref", Value: text("location:default/x")},
	}
	for in, want := range map[string]bool{
		`{}`:                                 true,
		`{"$all":[]}`:                        false,
		`{"$any":[]}`:                        false,
		`{"$all":[{}]}`:                      true,
		`{"TYPE":"URL"}`:                     true,
		`{"entityRef":"Location:default/X"}`: true,
		`{"id":{"$in":["Abc"]}}`:             true,
		`{"id":{"$in":["abc"]}}`:             false,
		`{"target":{"$contains":"https"}}`:   false,
		`{"target":{"$contains":{"a":1}}}`:   false,
		`{"target":{"$hasPrefix":"HTTPS:"}}`: true,
		`{"$not":{"id":{"$exists":true}}}`:   false,
	} {
		p, err := ParseLocationJSON([]byte(in), Limits{})
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if got := p.Lower().Match(rows); got != want {
			t.Errorf("%s: %v, want %v", in, got, want)
		}
		again, err := ParseLocation(p.Value(), Limits{})
		if err != nil || !reflect.DeepEqual(again.Value(), p.Value()) {
			t.Errorf("%s: read back as %+v, %v", in, again, err)
		}
	}
	if _, err := ParseLocationJSON([]byte(`{"owner":"x"}`), Limits{}); err == nil {
		t.Error("a key that locations do not have was accepted")
	}
}

func TestWhatADatabaseCannotStoreIsReplaced(t *testing.T) {
	t.Parallel()
	p, _, err := ParseQuery([]string{"a\x00=b\xff"}, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if p = p.Lower(); p.Key != "a\ufffd" || p.Values[0] != "b\ufffd" {
		t.Fatalf("%+v", p)
	}
}
