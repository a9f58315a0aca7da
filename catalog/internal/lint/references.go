package lint

import (
	"slices"
	"strconv"
	"strings"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// references looks for those that lead to no entity of the files. Most catalogs are
// spread over many repositories, so by default only those are told that look like a
// misspelt reference to an entity that is there.
func (c *check) references() {
	names := map[string][]string{} // by kind:namespace
	for ref := range c.defined {
		place, name := cutName(ref)
		names[place] = append(names[place], name)
	}
	for _, list := range names {
		slices.Sort(list)
	}
	for _, it := range c.entities {
		if it.doc == nil {
			continue
		}
		for _, r := range it.relations {
			if r.Source != it.ref || c.defined[r.Target] != nil {
				continue
			}
			place, name := cutName(r.Target)
			near := config.Suggest(name, names[place])
			level := LevelError
			if !c.Complete {
				if near == "" || !misspelt(name, near) {
					continue
				}
				level = LevelWarning
			}
			f := Finding{Level: level, Rule: RuleReference, Message: r.Target + " is not defined in the files that were checked"}
			if near != "" {
				f.Hint = "did you mean " + place + "/" + near + "?"
			}
			c.tell(it, fieldOf(it, r), f)
		}
	}
}

// cutName takes the name off a reference in its long form.
func cutName(ref string) (place, name string) {
	place, name, _ = strings.Cut(ref, "/")
	return place, name
}

// misspelt says whether a is b with letters swapped, with one too many or too few, or
// with other separators. A letter in place of another makes another name more often
// than not: team-a and team-b.
func misspelt(a, b string) bool {
	bare := strings.NewReplacer("-", "", "_", "", ".", "").Replace
	if d := len(a) - len(b); bare(a) == bare(b) || d == 1 || d == -1 {
		return true
	}
	x, y := []byte(a), []byte(b)
	slices.Sort(x)
	slices.Sort(y)
	return string(x) == string(y)
}

// fieldOf is the pointer of the first value in spec that means the target.
func fieldOf(it *item, r entity.Relation) string {
	kind, _, _ := strings.Cut(r.Target, ":")
	d := entity.Default{Kind: kind, Namespace: it.e.Namespace()}
	spec := it.doc.Entity.Spec()
	for _, field := range sorted(spec) {
		means := func(v any) bool {
			s, ok := v.(string)
			ref, err := entity.ParseRef(s, d)
			return ok && err == nil && ref.String() == r.Target
		}
		switch v := spec[field].(type) {
		case string:
			if means(v) {
				return "/spec/" + field
			}
		case []any:
			for i, one := range v {
				if means(one) {
					return "/spec/" + field + "/" + strconv.Itoa(i)
				}
			}
		}
	}
	return "/spec"
}

func sorted(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
