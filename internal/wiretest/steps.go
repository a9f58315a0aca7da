package wiretest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

var patternVariable = regexp.MustCompile(`\{\{([A-Za-z0-9_:. -]+)(\|query)?\}\}`)

// fill puts the values of variables into a text; {{name|query}} encodes the value for a query. Names of our own that
// have no value yet are returned; other braces, such as those of templates, stay.
func (r *Replayer) fill(text string) (missing, filled string) {
	filled = patternVariable.ReplaceAllStringFunc(text, func(s string) string {
		m := patternVariable.FindStringSubmatch(s)
		value, ok := r.vars[m[1]]
		switch {
		case !ok && strings.Contains(m[1], " "):
			return s
		case !ok:
			missing = m[1]
			return s
		case m[2] != "":
			return url.QueryEscape(value)
		}
		return value
	})
	return missing, filled
}

// hide replaces what differs between two runs: the backend's address, tokens, captured values.
func (r *Replayer) hide(text string) string {
	var secret []string
	for name, value := range r.vars {
		if len(value) >= 12 && name != "token:static" && name != "token:limited" {
			secret = append(secret, value)
		}
	}
	secret = append(secret, url.QueryEscape(r.vars["BASE"]))
	// The longest first: one value may be a part of another.
	slices.SortFunc(secret, func(a, b string) int { return len(b) - len(a) })
	for _, value := range secret {
		text = strings.ReplaceAll(text, value, markValue)
	}
	return patternJWT.ReplaceAllString(text, markValue)
}

// capture keeps a value of an answer.
func (r *Replayer) capture(c Capture, answer raw) error {
	delete(r.vars, c.Name)
	value, ok := "", false
	if name, isHeader := strings.CutPrefix(c.From, "header "); isHeader {
		pattern, err := regexp.Compile(c.Pattern)
		if err != nil {
			return fmt.Errorf("capture %s: %w", c.Name, err)
		}
		if m := pattern.FindStringSubmatch(answer.header.Get(name)); len(m) > 1 {
			value, ok = m[1], true
		}
	} else if name, isCookie := strings.CutPrefix(c.From, "cookie "); isCookie {
		value, ok = answer.cookie(name)
	} else if path, isMessage := strings.CutPrefix(c.From, "message "); isMessage {
		value, ok = text(first(answer.answer(func(s string) string { return s }).Message, path))
	} else {
		value, ok = text(first(answer.json(), c.From))
	}
	if ok {
		r.vars[c.Name] = value
	}
	return nil
}

// step does what an exchange needs beforehand.
func (r *Replayer) step(ctx context.Context, s Step) error {
	switch s.Verb {
	case verbPause:
		d, err := time.ParseDuration(s.Where)
		if err != nil {
			return err
		}
		if !sleep(ctx, d) {
			return ctx.Err()
		}
	case verbFixture:
		return r.opt.Fixtures.Set(s.Name, s.Where)
	case verbFetch:
		value, ok := text(first(r.get(ctx, s.Path, StaticToken).json(), s.Where))
		if !ok {
			return fmt.Errorf("the answer has nothing at %s", s.Where)
		}
		r.vars[s.Name] = value
	case verbAwait:
		return r.await(ctx, s)
	case verbVisit:
		return r.visit(ctx, s)
	}
	return nil
}

// visit goes where an answer has sent the browser, and keeps a part of where it is sent from there.
func (r *Replayer) visit(ctx context.Context, s Step) error {
	missing, address := r.fill(s.Path)
	pattern, err := regexp.Compile(s.Where)
	if err != nil || missing != "" {
		return fmt.Errorf("visit %s: %w, missing %q", s.Name, err, missing)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	res, err := r.client.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	m := pattern.FindStringSubmatch(res.Header.Get("Location"))
	if len(m) < 2 {
		return fmt.Errorf("visit %s: %s answers %s and leads to %q", s.Name, address, res.Status, res.Header.Get("Location"))
	}
	r.vars[s.Name] = m[1]
	return nil
}

// await polls for a minute.
func (r *Replayer) await(ctx context.Context, s Step) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		answer := r.get(ctx, s.Path, StaticToken)
		want, negate := strings.CutPrefix(s.Where, "not ")
		holds := strconv.Itoa(answer.status) == want
		if strings.HasPrefix(want, "$") {
			holds = first(answer.json(), want) != nil
		}
		if holds != negate {
			return nil
		}
		if !sleep(ctx, 200*time.Millisecond) {
			return fmt.Errorf("%s did not come about within a minute; the last answer was %d", s.Where, answer.status)
		}
	}
}

func (r *Replayer) get(ctx context.Context, path, token string) raw {
	req := Request{Method: "GET", Path: path, Header: []Field{{"User-Agent", agentStep}}}
	if token != "" {
		req.Header = append(req.Header, Field{"Authorization", "Bearer " + token})
	}
	return r.client.send(ctx, req, 0)
}

// first is the value at the first place that path names; nil if there is none.
func first(doc any, path string) any {
	if s := slots(&doc, path); len(s) > 0 {
		return s[0].value
	}
	return nil
}

func text(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, v != ""
	case float64:
		return compactJSON(v), true
	}
	return "", false
}

// sleep reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
