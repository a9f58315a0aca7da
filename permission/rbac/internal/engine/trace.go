package engine

import "fmt"

// A Trace notes why a decision is what it is, for people. A nil Trace notes nothing.
type Trace struct {
	Lines []string
	// Where adds to a rule where it is written; nil: nothing.
	Where func(r Rule) string
}

func (t *Trace) say(format string, args ...any) {
	if t != nil {
		t.Lines = append(t.Lines, fmt.Sprintf(format, args...))
	}
}

func (t *Trace) path(role, by string) {
	if t != nil {
		t.say("%s through %s", role, by)
	}
}

func (t *Trace) rule(subject string, o object, e effect) {
	if t == nil {
		return
	}
	for _, one := range []struct {
		bit    effect
		effect string
	}{{allows, "allow"}, {denies, "deny"}} {
		if e&one.bit == 0 {
			continue
		}
		where := ""
		if t.Where != nil {
			where = t.Where(Rule{Subject: subject, Permission: o.permission, Action: o.action, Effect: one.effect})
		}
		t.say("p, %s, %s, %s, %s%s", subject, o.permission, o.action, one.effect, where)
	}
}

func (t *Trace) condition(role string, c *Condition) {
	if t != nil {
		text, _ := c.Criteria.MarshalJSON()
		t.say("condition %d of %s: %s", c.ID, role, text)
	}
}
