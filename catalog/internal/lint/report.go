package lint

import (
	"cmp"
	"slices"
)

// A Level is how much a finding matters.
type Level string

// The levels. The catalog would not take what has an error as it is.
const (
	LevelError   Level = "error"
	LevelWarning Level = "warning"
)

// A Rule is what a finding is about. Its name is stable.
type Rule string

// The rules.
const (
	RuleSyntax      Rule = "syntax"
	RuleSchema      Rule = "schema"
	RuleKind        Rule = "kind"
	RuleNotAllowed  Rule = "not-allowed"
	RulePlaceholder Rule = "placeholder"
	RuleTarget      Rule = "target"
	RuleDuplicate   Rule = "duplicate"
	RuleReference   Rule = "reference"
	RuleProcessing  Rule = "processing"
)

// Rules lists all rules with what they say, in the order of the documentation.
func Rules() []struct {
	ID   Rule
	Text string
} {
	return []struct {
		ID   Rule
		Text string
	}{
		{RuleSyntax, "The file is YAML, and each of its documents an entity."},
		{RuleSchema, "The entity has what its kind demands, in the formats that the catalog takes."},
		{RuleKind, "The kind and apiVersion are known to the catalog."},
		{RuleNotAllowed, "catalog.rules allow the kind."},
		{RulePlaceholder, "What a placeholder such as $text refers to can be read."},
		{RuleTarget, "What a Location points to can be read."},
		{RuleDuplicate, "An entity is defined once."},
		{RuleReference, "References lead to entities."},
		{RuleProcessing, "The processors of the catalog take the entity."},
	}
}

// A Finding is one thing that is wrong.
type Finding struct {
	Level  Level  `json:"level"`
	Rule   Rule   `json:"rule"`
	File   string `json:"file"`   // relative to the root, with slashes
	Line   int    `json:"line"`   // from 1
	Column int    `json:"column"` // from 1, in characters
	Entity string `json:"entity,omitempty"`

	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // what to do
}

// A Report is the result of a check.
type Report struct {
	Files    int
	Entities int
	Findings []Finding // by file, line and column
	NotRead  []string  // addresses of other hosts
}

// Count is the number of findings of a level.
func (r *Report) Count(l Level) (n int) {
	for _, f := range r.Findings {
		if f.Level == l {
			n++
		}
	}
	return n
}

func (r *Report) sort() {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
