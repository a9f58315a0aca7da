package rbac

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/catalog/client"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/permission"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
	"github.com/callboard-dev/callboard/permission/rbac/internal/policyfile"
)

const policyUsage = `usage: %[1]s policy check [FLAGS] [FILE.csv]
       %[1]s policy explain [FLAGS] --user USER --permission NAME

check reads policy files as the portal would, and says what is wrong with them.
explain says how the portal would decide, and by which rows, roles and conditions.
Both read files only; roles that were made in the user interface are not among them.

  --config FILE         the portal's configuration, with permission.rbac; may be repeated
  --conditions FILE     the file of conditional policies, in place of the configured one
  --csv FILE            explain: the policy file, in place of the configured one
  --strict              check: what is probably a mistake counts as one

  --user USER           alice, or user:default/alice
  --group GROUP         a group of the user, or one above it; may be repeated
  --permission NAME     such as catalog.entity.delete
  --action ACTION       create, read, update, delete or use, and
  --resource-type TYPE  of permissions that Callboard does not have itself
  --entity REF          the resource that is asked about, for conditions
  --url URL             a running portal, such as https://portal.example.com: its catalog is
                        asked for the groups, and the plugin for the entity, with the
                        token of a service in the environment variable CALLBOARD_TOKEN

check exits with 0 if the files are fine and 1 if not; explain with 0 if the answer is yes
and 1 if it is no or depends; both with 2 if they could not do it.
`

type policyFlags struct {
	command                       string
	config, groups                []string
	csv, conditions               string
	user, permission, action, typ string
	entity, url                   string
	strict                        bool
}

func parsePolicy(c backend.Console) (f policyFlags, err error) {
	flags := flag.NewFlagSet("policy", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	list := func(name string, into *[]string) {
		flags.Func(name, "", func(s string) error { *into = append(*into, s); return nil })
	}
	list("config", &f.config)
	list("group", &f.groups)
	for name, into := range map[string]*string{"csv": &f.csv, "conditions": &f.conditions, "user": &f.user, "permission": &f.permission,
		"action": &f.action, "resource-type": &f.typ, "entity": &f.entity, "url": &f.url} {
		flags.StringVar(into, name, "", "")
	}
	flags.BoolVar(&f.strict, "strict", false, "")
	if len(c.Args) == 0 {
		return f, flag.ErrHelp
	}
	f.command = c.Args[0]
	if err := flags.Parse(c.Args[1:]); err != nil {
		return f, err
	}
	rest := flags.Args()
	switch {
	case f.command == "check" && len(rest) == 1 && f.csv == "":
		f.csv, rest = rest[0], nil
	case f.command == "explain" && (f.user == "" || f.permission == ""):
		return f, errors.New("say --user and --permission")
	case f.command != "check" && f.command != "explain":
		return f, fmt.Errorf("there is no %q; there are check and explain", f.command)
	}
	if len(rest) > 0 {
		return f, fmt.Errorf("%q is one argument too many", rest[0])
	}
	return f, nil
}

// runPolicy is the subcommand.
func runPolicy(ctx context.Context, c backend.Console, tools backend.Toolbox[Config]) int {
	f, err := parsePolicy(c)
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintf(c.Stderr, "policy: %v\n", err)
		}
		fmt.Fprintf(c.Stderr, policyUsage, c.Program)
		return backend.ExitUsage
	}
	config := defaults()
	if len(f.config) > 0 {
		var warnings []error
		if config, warnings, err = tools.Open(ctx, absolute(c.Dir, f.config...)...); err != nil {
			fmt.Fprintf(c.Stderr, "policy: %v\n", err)
			return backend.ExitUsage
		}
		for _, w := range warnings {
			fmt.Fprintf(c.Stderr, "policy: %v\n", w)
		}
	}
	if f.csv != "" {
		config.PoliciesCSVFile = absolute(c.Dir, f.csv)[0]
	}
	if f.conditions != "" {
		config.ConditionalPoliciesFile = absolute(c.Dir, f.conditions)[0]
	}
	t := &policyTool{Console: c, flags: f, config: config, csv: &policyfile.Policy{}}
	if f.command == "check" {
		return t.check()
	}
	return t.explain(ctx)
}

func absolute(dir string, files ...string) (out []string) {
	for _, f := range files {
		if !filepath.IsAbs(f) {
			f = filepath.Join(dir, f)
		}
		out = append(out, f)
	}
	return out
}

type policyTool struct {
	backend.Console
	flags  policyFlags
	config Config
	csv    *policyfile.Policy
}

// show is how messages name a file.
func (t *policyTool) show(file string) string {
	if rel, err := filepath.Rel(t.Dir, file); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return file
}

// load makes the state that the files and the configuration stand for.
func (t *policyTool) load() (s *engine.State, warnings []string, err error) {
	s = &engine.State{}
	now := time.Now()
	t.config.reconcileConfiguration(s, now)
	if file := t.config.PoliciesCSVFile; file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, err
		}
		t.csv = policyfile.ParseCSV(string(text))
		if err := t.csv.Void(); err != nil {
			return nil, nil, fmt.Errorf("%s:%w", t.show(file), err)
		}
		warnings = t.config.reconcileCSV(s, t.csv, now)
	}
	if file := t.config.ConditionalPoliciesFile; file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, err
		}
		list, err := policyfile.ParseConditions(text, t.config.limits(), checkCoreRules)
		if err != nil {
			return nil, nil, fmt.Errorf("%s:%w", t.show(file), err)
		}
		warnings = append(warnings, t.config.reconcileConditions(s, engine.SourceCSV, list)...)
		for i := range s.Conditions {
			s.Conditions[i].ID = int64(i + 1)
		}
	}
	return s, warnings, nil
}

func (t *policyTool) check() int {
	if t.config.PoliciesCSVFile == "" && t.config.ConditionalPoliciesFile == "" {
		fmt.Fprintln(t.Stderr, "policy: name a policy file, or a configuration that has one with --config")
		return backend.ExitUsage
	}
	s, warnings, err := t.load()
	if errors.Is(err, os.ErrNotExist) {
		fmt.Fprintf(t.Stderr, "policy: %v\n", err)
		return backend.ExitUsage
	}
	mistakes, doubts := 0, 0
	if err != nil {
		fmt.Fprintln(t.Stdout, err)
		mistakes++
		s = &engine.State{}
	}
	file := t.show(t.config.PoliciesCSVFile)
	for _, p := range t.csv.Problems {
		fmt.Fprintln(t.Stdout, p.At(file))
		mistakes++
	}
	for _, w := range warnings {
		fmt.Fprintf(t.Stdout, "%s: %s\n", file, w)
		mistakes++
	}
	for _, f := range lint(s, corePermissions()) {
		if at := t.csv.LineOf(f.key); at > 0 {
			fmt.Fprintf(t.Stdout, "%s:%d:1: warning: %s\n", file, at, f.text)
			doubts++
		}
	}
	fmt.Fprintf(t.Stdout, "%d rules, %d members, %d conditions: %d mistakes, %d warnings\n", len(t.csv.Rules), len(t.csv.Members), len(s.Conditions), mistakes, doubts)
	if mistakes > 0 || t.flags.strict && doubts > 0 {
		return 1
	}
	return 0
}

// permissionOf completes the permission of the command line.
func (t *policyTool) permissionOf() (permission.Permission, error) {
	p := permission.Permission{Name: t.flags.permission, Action: t.flags.action, ResourceType: t.flags.typ}
	i := slices.IndexFunc(corePermissions(), func(o permission.Permission) bool { return o.Name == p.Name })
	if i >= 0 && p.Action == "" && p.ResourceType == "" {
		return corePermissions()[i], nil
	}
	if i < 0 && p.Action == "" {
		return p, fmt.Errorf("%s is no permission that Callboard has itself: say its --action (use if it has none), and its --resource-type if it is about resources", p.Name)
	}
	if !slices.Contains(engine.Actions(), p.Action) {
		return p, fmt.Errorf("%q is no action; there are %s", p.Action, strings.Join(engine.Actions(), ", "))
	}
	if p.Action == engine.Use {
		p.Action = ""
	}
	return p, nil
}

// who is the user of the command line, as sessions have it: references mean the same in any
// case, and are written in lower case.
func (t *policyTool) who() (*engine.Who, error) {
	user, err := entity.ParseRef(t.flags.user, entity.Default{Kind: "user"})
	if err != nil {
		return nil, fmt.Errorf("--user: %w", err)
	}
	w := &engine.Who{User: user.String(), Ownership: []string{user.String()}}
	for _, g := range t.flags.groups {
		group, err := entity.ParseRef(g, entity.Default{Kind: "group"})
		if err != nil {
			return nil, fmt.Errorf("--group: %w", err)
		}
		if !strings.EqualFold(group.Kind, "group") {
			return nil, fmt.Errorf("--group: %s is no group", group)
		}
		w.Groups = append(w.Groups, group.String())
	}
	w.Ownership = append(w.Ownership, w.Groups...)
	return w, nil
}

func (t *policyTool) explain(ctx context.Context) int {
	fail := func(err error) int {
		fmt.Fprintf(t.Stderr, "policy: %v\n", err)
		return backend.ExitUsage
	}
	p, err := t.permissionOf()
	if err != nil {
		return fail(err)
	}
	s, _, err := t.load()
	if err != nil {
		return fail(err)
	}
	w, err := t.who()
	if err != nil {
		return fail(err)
	}
	if t.flags.url != "" {
		if err := t.askCatalog(ctx, w); err != nil {
			return fail(err)
		}
	}
	file := t.show(t.config.PoliciesCSVFile)
	trace := &engine.Trace{Where: func(r engine.Rule) string {
		if at := t.csv.LineOf(r.Key()); at > 0 {
			return fmt.Sprintf("  (%s:%d)", file, at)
		}
		return "  (configuration)"
	}}
	if !slices.Contains(engine.Actions(), p.Action) {
		p.Action = ""
	}
	d := engine.NewSnapshot(s, t.config.engineOptions()).Decide(p, w, trace)
	fmt.Fprintf(t.Stdout, "%s asks for %s\n", w.User, p.Name)
	if len(w.Groups) > 0 {
		fmt.Fprintf(t.Stdout, "  groups: %s\n", strings.Join(w.Groups, ", "))
	}
	if w.Cycle != nil {
		fmt.Fprintf(t.Stdout, "  these groups are above each other in a cycle: %s\n", strings.Join(w.Cycle, " -> "))
	}
	for _, line := range trace.Lines {
		fmt.Fprintf(t.Stdout, "  %s\n", line)
	}
	return t.answer(ctx, d)
}

// answer prints the decision; a conditional one is applied if there is what to apply it to.
func (t *policyTool) answer(ctx context.Context, d permission.Decision) int {
	plugin, typ, criteria, conditional := d.Conditional()
	if !conditional {
		fmt.Fprintln(t.Stdout, d)
		return map[bool]int{true: 0, false: 1}[d == permission.Allow]
	}
	if t.flags.entity == "" || t.flags.url == "" {
		text, _ := criteria.MarshalJSON()
		fmt.Fprintf(t.Stdout, "CONDITIONAL: allowed for a %s of plugin %s that meets %s\n", typ, plugin, text)
		return 1
	}
	result, err := t.apply(ctx, plugin, typ, criteria)
	if err != nil {
		fmt.Fprintf(t.Stderr, "policy: %v\n", err)
		return backend.ExitUsage
	}
	fmt.Fprintf(t.Stdout, "%s for %s\n", result, t.flags.entity)
	return map[bool]int{true: 0, false: 1}[result == "ALLOW"]
}

// tokenVariable is where the token for --url is, so that it is in no list of processes.
const tokenVariable = "CALLBOARD_TOKEN"

func (t *policyTool) base(plugin string) string {
	return strings.TrimSuffix(t.flags.url, "/") + "/api/" + plugin
}

func (t *policyTool) askCatalog(ctx context.Context, w *engine.Who) error {
	m := newMembers(&overHTTP{func(context.Context) (*client.Client, error) {
		return client.New(
			func(context.Context) (string, error) { return t.base("catalog"), nil },
			func(context.Context) (string, error) { return os.Getenv(tokenVariable), nil }, nil), nil
	}}, t.config.depth(), nil)
	one, err := m.user(ctx, w.User)
	if err != nil {
		return err
	}
	g, err := m.groups(ctx)
	if err != nil {
		return err
	}
	w.Ownership = append(w.Ownership, one.direct...)
	w.Groups, w.Cycle = g.Above(append(one.direct, w.Groups...), t.config.depth())
	return nil
}

func (t *policyTool) apply(ctx context.Context, plugin, typ string, criteria permission.Criteria) (string, error) {
	body, err := json.Marshal(map[string]any{"items": []any{map[string]any{"id": "1", "resourceRef": t.flags.entity, "resourceType": typ, "conditions": criteria}}})
	if err != nil {
		return "", err
	}
	url := t.base(plugin) + "/.well-known/backstage/permissions/apply-conditions"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+os.Getenv(tokenVariable))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var got struct{ Items []struct{ Result string } }
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("POST %s: %s", url, res.Status)
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxMetadata)).Decode(&got); err != nil || len(got.Items) != 1 {
		return "", fmt.Errorf("POST %s: %w", url, errors.Join(err, errors.New("no answer in it")))
	}
	return got.Items[0].Result, nil
}
