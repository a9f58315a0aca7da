package ingest

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestTheCacheComesBackAsItWas(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]*cache{
		"of nothing":    {},
		"of processors": {Processors: map[string]map[string]json.RawMessage{"a": {"k": json.RawMessage(`{"x":[1]}`)}, "gone": {}}},
		"of targets": {Targets: map[string]*target{
			"url:b <&>\u2028\"": {Version: "v", Origin: "o", Keys: []string{"k"}, Children: []child{{Ref: "r", Hash: []byte{0, 255}, Key: "k", Kind: "K", SpecType: "T", Places: json.RawMessage(`[1,2]`)}}},
			"url:a":             {Version: strings.Repeat("v", 5000), Children: []child{}},
		}},
		"of both": {Processors: map[string]map[string]json.RawMessage{"a": {"k": json.RawMessage(`null`)}}, Targets: map[string]*target{"": {}}},
	} {
		got, err := c.encode()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(c.Processors)+len(c.Targets) == 0 {
			if got != nil {
				t.Errorf("%s: %s", name, got)
			}
			continue
		}
		var back, want cache
		reference, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(reference, &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(got, &back); err != nil || !reflect.DeepEqual(&back, &want) {
			t.Errorf("%s: %s, %v", name, got, err)
		}
		if twice, _ := c.encode(); string(twice) != string(got) {
			t.Errorf("%s: other bytes the second time", name)
		}
	}
}
