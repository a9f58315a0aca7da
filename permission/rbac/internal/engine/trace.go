package engine

import "fmt"

// A Trace notes why a decision is what it is, for people. A nil Trace notes nothing.
type Trace struct{ Lines []string }

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
	if e&allows != 0 {
		t.say("p, %s, %s, %s, allow", subject, o.permission, o.action)
	}
	if e&denies != 0 {
		t.say("p, %s, %s, %s, deny", subject, o.permission, o.action)
	}
}

func (t *Trace) condition(role string, c *Condition) {
	if t != nil {
		text, _ := c.Criteria.MarshalJSON()
		t.say("condition %d of %s: %s", c.ID, role, text)
	}
}
