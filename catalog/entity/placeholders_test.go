package entity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestPlaceholders(t *testing.T) {
	t.Parallel()
	resolve := func(_ context.Context, p Placeholder) (any, bool, error) {
		switch p.Name {
		case "text":
			s, ok := p.Value.(string)
			if !ok {
				return nil, true, fmt.Errorf("expected a text, found %s", describe(p.Value))
			}
			return "content of " + s + " at " + p.Path, true, nil
		case "json":
			return map[string]any{"$text": "not searched"}, true, nil
		}
		return nil, false, nil
	}
	for in, want := range map[string]string{
		`{"spec":{"definition":{"$text":"./a"}}}`:                           `{"spec":{"definition":"content of ./a at /spec/definition"}}`,
		`{"metadata":{"x/y":[1,{"$text":"a"}]}}`:                            `{"metadata":{"x/y":[1,"content of a at /metadata/x~1y/1"]}}`,
		`{"a":{"$text":"x"},"b":{"$json":"y"}}`:                             `{"a":"content of x at /a","b":{"$text":"not searched"}}`,
		`{"a":{"$unknown":"x"}}`:                                            `{"a":{"$unknown":"x"}}`,
		`{"a":{"$unknown":{"$text":"x"}}}`:                                  `{"a":{"$unknown":"content of x at /a/$unknown"}}`,
		`{"a":{"$text":"x","more":1}}`:                                      `{"a":{"$text":"x","more":1}}`,
		`{"a":{"$":"x"}}`:                                                   `{"a":{"$":"x"}}`,
		`{"$text":"the root is no placeholder"}`:                            `{"$text":"the root is no placeholder"}`,
		`{"a":{"$text":1},"b":[{"$text":null},{"c":[]}]}`:                   "/a: expected a text, found the number 1\n/b/0: expected a text, found null",
		`{"a":` + strings.Repeat(`[`, 250) + strings.Repeat(`]`, 250) + `}`: "/a" + strings.Repeat("/0", 200) + ": entity is nested more than 200 levels deep",
	} {
		e, err := Decode([]byte(in))
		if err != nil {
			t.Fatal(err)
		}
		before, _ := e.MarshalStable()
		out, err := ResolvePlaceholders(t.Context(), e, resolve)
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			data, _ := out.MarshalStable()
			got = string(data)
		}
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", in, got, want)
		}
		if after, _ := e.MarshalStable(); !slices.Equal(before, after) {
			t.Errorf("%s was changed to %s", before, after)
		}
	}
}

func TestPlaceholdersStopWithTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	_, err := ResolvePlaceholders(ctx, Entity{"a": []any{map[string]any{"$text": "1"}, map[string]any{"$text": "2"}}}, func(context.Context, Placeholder) (any, bool, error) {
		calls++
		cancel()
		return "x", true, nil
	})
	if calls != 1 || !errors.Is(err, context.Canceled) {
		t.Error(calls, err)
	}
}
