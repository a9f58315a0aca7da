package engine

import "slices"

// Groups is the hierarchy of groups at one time. It is immutable.
type Groups struct {
	parents map[string][]string
	known   map[string]bool
}

// NewGroups returns the hierarchy in which each group has these parents. It has every
// group as a key.
func NewGroups(parents map[string][]string) *Groups {
	known := make(map[string]bool, len(parents))
	for g := range parents {
		known[g] = true
	}
	return &Groups{parents, known}
}

// Known says whether there is a group of that reference.
func (g *Groups) Known(ref string) bool { return g.known[ref] }

// Unlimited is a depth without an end.
const Unlimited = -1

// Above returns the given groups and those above them, at most depth steps up. If what
// it walked has a cycle, that is the groups on it.
func (g *Groups) Above(direct []string, depth int) (all, cycle []string) {
	level := make(map[string]int, len(direct))
	for _, d := range direct {
		if _, ok := level[d]; !ok {
			level[d] = 0
			all = append(all, d)
		}
	}
	for i := 0; i < len(all); i++ {
		if depth != Unlimited && level[all[i]] >= depth {
			continue
		}
		for _, p := range g.parents[all[i]] {
			if _, ok := level[p]; !ok {
				level[p] = level[all[i]] + 1
				all = append(all, p)
			}
		}
	}
	return all, g.cycle(all, level, depth)
}

// cycle looks for one among the steps that Above took.
func (g *Groups) cycle(all []string, level map[string]int, depth int) []string {
	const walking, done = 1, 2
	state := make(map[string]int, len(all))
	var path []string
	var visit func(string) []string
	visit = func(at string) []string {
		state[at] = walking
		path = append(path, at)
		if depth == Unlimited || level[at] < depth {
			for _, p := range g.parents[at] {
				switch state[p] {
				case walking:
					return append(slices.Clone(path[slices.Index(path, p):]), p)
				case done:
				default:
					if c := visit(p); c != nil {
						return c
					}
				}
			}
		}
		path = path[:len(path)-1]
		state[at] = done
		return nil
	}
	for _, at := range all {
		if state[at] == 0 {
			if c := visit(at); c != nil {
				return c
			}
		}
	}
	return nil
}
