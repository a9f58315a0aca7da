package flow

import (
	"slices"
	"strings"
)

// SplitScopes returns the scopes in a text that separates them by white space, bars or
// commas.
func SplitScopes(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == '|' || r == ',' || r == ' ' || r >= '\t' && r <= '\r' })
}

// Union returns the scopes of all lists in order, each once.
func Union(lists ...[]string) []string {
	out := []string{}
	for _, list := range lists {
		for _, s := range list {
			if !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	return out
}
