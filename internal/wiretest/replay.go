package wiretest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/callboard-dev/callboard/internal/wiretest/fixtures"
)

// The tokens that the recordings' configuration accepts, see Config.
const (
	StaticToken  = "ref-static-token-0123456789"
	LimitedToken = "ref-limited-token-0123456789"
)

// Options say what the backend under test has.
type Options struct {
	// Fixtures serves the organisation that the backend reads. Required.
	Fixtures *fixtures.Server
	// Installed lists the ids of the plugins that the backend has. Exchanges of the others count as not yet.
	Installed []string
	// NotYet lists routes of installed plugins that do not exist yet, as "METHOD PATTERN" or "PATTERN", where
	// PATTERN matches the path without the query, with * for one segment and ** for any number. "health: head"
	// names one exchange by group and name.
	NotYet []string
	// Tokens are those of users whom the recordings had sign in where this backend cannot, by name: {{token:NAME}}.
	Tokens map[string]string
	// Entities is how many entities the catalog must have before the first exchange; 42 if zero, which is the
	// whole recorded organisation with its templates.
	Entities int
	// ReadyWithin bounds that wait; 2 minutes if zero.
	ReadyWithin time.Duration
	// Recordings and Deviations are the directory of the groups and the list of deviations; those of the
	// module's testdata if empty.
	Recordings, Deviations string
}

// Outcome says how an exchange came out.
type Outcome int

// The outcomes, in the order in which they are printed.
const (
	Passed    Outcome = iota // as recorded
	Deviating                // as a listed deviation orders
	NotYet                   // the plugin or route does not exist yet
	Failed
)

func (o Outcome) String() string { return [...]string{"passed", "deviating", "not yet", "failed"}[o] }

// A Result is what became of one exchange. Details are the differences of a failed one, else why it counts as it does.
type Result struct {
	Group, Exchange string
	Outcome         Outcome
	Details         []string
}

// plugins are the ids whose exchanges count as not yet where they are not installed. Any other id is asked of every
// backend, as an unknown one.
var plugins = []string{"app", "auth", "catalog", "devtools", "events", "kubernetes", "mcp-actions", "notifications",
	"permission", "proxy", "scaffolder", "search", "signals", "techdocs", "user-settings"}

// A Replayer sends recorded exchanges to one backend. It is for one goroutine.
type Replayer struct {
	client     *client
	opt        Options
	places     Places
	relocated  bool
	deviations []Deviation
	vars       map[string]string
	missing    map[string]Outcome // why a variable has no value
}

// NewReplayer prepares a replay against the backend at base. Call Ready before the first Group.
func NewReplayer(base string, opt Options) (*Replayer, error) {
	if opt.Fixtures == nil {
		return nil, errors.New("wiretest: Options.Fixtures is missing")
	}
	if opt.Recordings == "" || opt.Deviations == "" {
		root, err := Root()
		if err != nil {
			return nil, err
		}
		if opt.Recordings == "" {
			opt.Recordings = filepath.Join(root, "testdata", "recordings")
		}
		if opt.Deviations == "" {
			opt.Deviations = filepath.Join(root, "testdata", "deviations.yaml")
		}
	}
	if opt.Entities == 0 {
		opt.Entities = 42
	}
	if opt.ReadyWithin == 0 {
		opt.ReadyWithin = 2 * time.Minute
	}
	c, err := newClient(base)
	if err != nil {
		return nil, err
	}
	deviations, err := LoadDeviations(opt.Deviations)
	if err != nil {
		return nil, err
	}
	places := Places{Fixtures: opt.Fixtures.URL(), Files: opt.Fixtures.Dir()}
	r := &Replayer{client: c, opt: opt, places: places, relocated: places != Recorded, deviations: deviations,
		vars:    map[string]string{"token:static": StaticToken, "token:limited": LimitedToken, "BASE": c.base.String(), "HOST": c.base.Host},
		missing: map[string]Outcome{}}
	for name, token := range opt.Tokens {
		r.vars["token:"+name] = token
	}
	return r, nil
}

// Ready waits until the catalog has all entities and they stop changing, and signs in as the guest.
func (r *Replayer) Ready(ctx context.Context) error {
	if r.installed("catalog") {
		if err := r.settled(ctx); err != nil {
			return err
		}
	}
	answer := r.get(ctx, "/api/auth/guest/refresh", "")
	if _, given := r.opt.Tokens["guest"]; given {
		return nil
	}
	if token, ok := first(answer.json(), "$.backstageIdentity.token").(string); ok {
		r.vars["token:guest"] = token
	} else if !r.installed("auth") {
		r.missing["token:guest"] = NotYet
	}
	return nil
}

func (r *Replayer) settled(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.opt.ReadyWithin)
	defer cancel()
	var have any
	last, same := "", 0
	for same < 4 {
		have = first(r.get(ctx, "/api/catalog/entities/by-query?limit=0", StaticToken).json(), "$.totalItems")
		if n, ok := have.(float64); ok && n >= float64(r.opt.Entities) {
			list, _ := r.get(ctx, "/api/catalog/entities?fields=kind,metadata.name,metadata.namespace,metadata.etag,relations", StaticToken).json().([]any)
			sortJSON(list)
			now := compactJSON(list)
			if now == last {
				same++
			} else {
				last, same = now, 0
			}
		}
		if same < 4 && !sleep(ctx, 300*time.Millisecond) {
			return fmt.Errorf("wiretest: the catalog of %s has %v entities after %s, want %d that stay as they are", r.client.base, have, r.opt.ReadyWithin, r.opt.Entities)
		}
	}
	return nil
}

// Load reads a group and checks that the deviations of it name exchanges that exist.
func (r *Replayer) Load(name string) (*Group, error) {
	g, err := Load(r.opt.Recordings, name, r.places)
	if err != nil {
		return nil, err
	}
	for _, d := range r.deviations {
		if d.Group == name && !slices.ContainsFunc(g.Exchanges, func(x *Exchange) bool { return x.Name == d.Exchange }) {
			return nil, fmt.Errorf("%s: %s has no exchange %q", r.opt.Deviations, name, d.Exchange)
		}
	}
	r.opt.Fixtures.Reset()
	return g, nil
}

// Exchange replays one exchange. Those of a group must be replayed in order.
func (r *Replayer) Exchange(ctx context.Context, g *Group, x *Exchange) Result {
	res := Result{Group: g.Name, Exchange: x.Name}
	answer, err := r.do(ctx, g, x, &res)
	switch {
	case err != nil:
		res.Outcome, res.Details = Failed, []string{err.Error()}
	case res.Outcome != NotYet:
		r.judge(x, answer, &res)
	}
	for _, c := range x.Captures {
		if _, ok := r.vars[c.Name]; !ok {
			r.missing[c.Name] = res.Outcome
		}
	}
	return res
}

// do sends x unless it counts as not yet.
func (r *Replayer) do(ctx context.Context, g *Group, x *Exchange, res *Result) (a Answer, err error) {
	notYet := func(why string) (Answer, error) {
		res.Outcome, res.Details = NotYet, []string{why}
		return Answer{}, nil
	}
	if why := r.notYet(g, x); why != "" {
		return notYet(why)
	}
	for _, s := range x.Steps {
		if err := r.step(ctx, s); err != nil {
			return a, fmt.Errorf("before the request: %s %s: %w", s.Verb, s.Path, err)
		}
	}
	req := x.Request
	req.Header = slices.Clone(req.Header)
	parts := []*string{&req.Path, &req.Body}
	for i := range req.Header {
		parts = append(parts, &req.Header[i].Value)
	}
	for _, p := range parts {
		name, filled := r.fill(*p)
		if name == "" {
			*p = filled
		} else if r.missing[name] == NotYet {
			return notYet("needs {{" + name + "}}, which comes from an exchange that is not yet there")
		} else {
			return a, fmt.Errorf("needs {{%s}}, which no earlier answer gave", name)
		}
	}
	answer := r.client.send(ctx, req, x.Timeout)
	for _, c := range x.Captures {
		if err := r.capture(c, answer); err != nil {
			return a, err
		}
	}
	return answer.answer(r.hide), nil
}

// judge compares the answer with the recorded one, and with the one that a deviation orders.
func (r *Replayer) judge(x *Exchange, got Answer, res *Result) {
	differences := compare(x, x.Answer, got, r.relocated)
	i := slices.IndexFunc(r.deviations, func(d Deviation) bool { return d.Group == res.Group && d.Exchange == x.Name })
	if i < 0 {
		if len(differences) > 0 {
			res.Outcome, res.Details = Failed, differences
		}
		return
	}
	d := r.deviations[i]
	if len(differences) == 0 {
		res.Outcome, res.Details = Failed, []string{"is listed as a deviation (" + d.Clause + "), but the answer is as recorded"}
		return
	}
	ordered, err := d.apply(x)
	if err != nil {
		res.Outcome, res.Details = Failed, []string{err.Error()}
		return
	}
	if differences = compare(ordered, ordered.Answer, got, r.relocated); len(differences) > 0 {
		res.Outcome, res.Details = Failed, append([]string{"differs from the deviation that is listed (" + d.Clause + ")"}, differences...)
		return
	}
	res.Outcome, res.Details = Deviating, []string{d.Clause + ": " + d.Why}
}

// notYet says why an exchange is not asked of this backend; empty if it is.
func (r *Replayer) notYet(g *Group, x *Exchange) string {
	if id := pluginOf(x.Request.Path); slices.Contains(plugins, id) && !r.installed(id) {
		return "plugin " + id + " is not there yet"
	}
	path, _, _ := strings.Cut(x.Request.Path, "?")
	for _, entry := range r.opt.NotYet {
		if entry == g.Name+": "+x.Name {
			return entry + " is not there yet"
		}
		pattern := entry
		if method, rest, ok := strings.Cut(entry, " "); ok {
			if method != x.Request.Method {
				continue
			}
			pattern = rest
		}
		if ok, _ := doublestar.Match(pattern, path); ok {
			return "route " + entry + " is not there yet"
		}
	}
	return ""
}

// pluginOf is the plugin that answers path; empty for the backend itself. Outside /api, all but health is the app's.
func pluginOf(path string) string {
	path, _, _ = strings.Cut(path, "?")
	if rest, ok := strings.CutPrefix(path, "/api/"); ok {
		id, _, _ := strings.Cut(rest, "/")
		return id
	}
	switch path {
	case "/api", "/.backstage/health/v1/readiness", "/.backstage/health/v1/liveness":
		return ""
	}
	return "app"
}

func (r *Replayer) installed(id string) bool { return slices.Contains(r.opt.Installed, id) }
