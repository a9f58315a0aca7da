package rbac

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/permission"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
	"github.com/callboard-dev/callboard/permission/rbac/internal/policyfile"
)

const docs = "../../docs"

func readDoc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(docs, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestTheTableOfTheGuide decides every line of the table in docs/rbac.md.
func TestTheTableOfTheGuide(t *testing.T) {
	t.Parallel()
	c := defaults()
	c.Admin = Admin{Users: []Named{{"user:default/alice"}}, SuperUsers: []Named{{"user:default/platform-admin"}}}
	var snapshots []*engine.Snapshot
	for _, file := range []string{"rbac-policy.csv", "rbac-policy-corrected.csv"} {
		p := policyfile.ParseCSV(readDoc(t, file))
		if len(p.Problems) > 0 {
			t.Errorf("%s: %v", file, p.Problems)
		}
		s := &engine.State{}
		c.reconcileConfiguration(s, time.Now())
		if warnings := c.reconcileCSV(s, p, time.Now()); warnings != nil {
			t.Errorf("%s: %v", file, warnings)
		}
		if found := lint(s, corePermissions()); found != nil {
			t.Errorf("%s: %v", file, found)
		}
		snapshots = append(snapshots, engine.NewSnapshot(s, c.engineOptions()))
	}
	v := readVectors(t)
	if v.RBAC.Scenarios[0].ID != "guide" || v.RBAC.Scenarios[0].CSV != readDoc(t, "rbac-policy.csv") {
		t.Error("docs/rbac-policy.csv is not the file that decisions were recorded with")
	}
	row := regexp.MustCompile("(?m)^\\| (.+) \\| `([a-z.-]+)` \\| (yes|no) \\| (yes|no) \\|$")
	rows := row.FindAllStringSubmatch(readDoc(t, "rbac.md"), -1)
	if len(rows) < 20 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, r := range rows {
		w := &engine.Who{User: r[1]}
		if group, ok := strings.CutPrefix(r[1], "a member of "); ok {
			w.User, w.Groups = "user:default/somebody", []string{"group:default/" + group}
		} else if !strings.HasPrefix(r[1], "user:") {
			w.User = "user:default/somebody"
		}
		i := slices.IndexFunc(corePermissions(), func(p permission.Permission) bool { return p.Name == r[2] })
		if i < 0 {
			t.Errorf("there is no permission %s", r[2])
			continue
		}
		for n, s := range snapshots {
			if got := s.Decide(corePermissions()[i], w, nil) == permission.Allow; got != (r[3+n] == "yes") {
				t.Errorf("%s, %s: file %d says %v", r[1], r[2], n+1, got)
			}
		}
	}
}

// run runs the subcommand in the root of the repository.
func run(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	b := backend.New(backend.Development())
	b.Add(permission.Plugin(), Module())
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code, err = b.RunSubcommand(t.Context(), "policy", backend.Console{Program: "callboard", Args: args, Stdout: &stdout, Stderr: &stderr, Dir: root})
	if err != nil {
		t.Fatal(err)
	}
	return code, stdout.String(), stderr.String()
}

// TestTheConsoleOfTheDocs runs what docs/rbac.md shows.
func TestTheConsoleOfTheDocs(t *testing.T) {
	t.Parallel()
	_, blocks, _ := strings.Cut(readDoc(t, "rbac.md"), "## Checking")
	_, block, _ := strings.Cut(blocks, "```\n")
	block, _, _ = strings.Cut(block, "```")
	shown := 0
	for part := range strings.SplitSeq(block, "$ callboard policy ") {
		if part == "" {
			continue
		}
		shown++
		command, want, _ := strings.Cut(part, "\n")
		code, out, errs := run(t, strings.Fields(command)...)
		if code != 0 || strings.TrimSpace(out) != strings.TrimSpace(want) || errs != "" {
			t.Errorf("%s: %d\n%s%s\nwant\n%s", command, code, out, errs, want)
		}
	}
	if shown != 2 {
		t.Errorf("%d commands", shown)
	}
}

func TestPolicyCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	wrong := file("wrong.csv", "p, role:default/a, catalog.entity.read, get, allow\n\n  g, alice, role:default/a\np, role:default/b, catalog.entity.raed, read, allow\np, role:default/b, catalog.entity.read, delete, allow\np, role:default/b, catalog-entity, update, deny\np, role:default/a, catalog.entity.refresh, update, allow\ng, user:default/u, role:default/a\ng, user:default/u, role:default/b\n")
	const own = "{result: CONDITIONAL, roleEntityRef: role:default/a, pluginId: catalog, resourceType: catalog-entity, permissionMapping: [read], conditions: {rule: IS_ENTITY_OWNER, resourceType: catalog-entity, params: {claims: [$currentUser]}}}\n"
	conditions := file("conditions.yaml", own)
	config := file("app-config.yaml", "permission: {enabled: true, rbac: {policies-csv-file: "+wrong+", conditionalPoliciesFile: "+conditions+", admin: {superUsers: [{name: 'user:default/root'}]}}}\n")
	for _, tt := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"check", wrong}, 1, []string{"wrong.csv:1:1: the action must be one of create, read, update, delete, use, not \"get\"", "wrong.csv:3:3: \"alice\" is no full reference",
			"wrong.csv:4:1: warning: no plugin has a permission or a type of resources catalog.entity.raed", "wrong.csv:5:1: warning: catalog.entity.read is asked for with the action read, never with delete",
			"wrong.csv:7:1: warning: whoever has role:default/a is not denied catalog.entity.refresh"}},
		{[]string{"check", "--conditions", file("bad.yaml", "result: CONDITIONAL\n")}, 1, []string{"bad.yaml:1:1: 'roleEntityRef' must be specified"}},
		{[]string{"check", file("html.csv", "<html>\n")}, 1, []string{"html.csv:1:1: the file has neither a rule nor a membership"}},
		{[]string{"check", file("types.csv", "g, user:default/u, role:default/a\npp, role:default/a, x, use, deny\n")}, 1, []string{"types.csv:2:1: a line must begin with p (a rule), g (a membership) or #, not with \"pp\""}},
		{[]string{"check", "--conditions", file("rule.yaml", strings.Replace(own, "OWNER", "OWNR", 1))}, 1, []string{`rule.yaml:1:1: there is no rule "IS_ENTITY_OWNR" for catalog-entity, did you mean IS_ENTITY_OWNER?`}},
		{[]string{"check", "--conditions", file("scalar.yaml", strings.Replace(own, "[$currentUser]", "$ownerRefs", 1))}, 1, []string{"scalar.yaml:1:1: parameter claims of rule IS_ENTITY_OWNER must be of type array"}},
		{[]string{"check", "--conditions", file("items.yaml", strings.Replace(own, "$currentUser", "7", 1))}, 1, []string{"items.yaml:1:1: parameter claims of rule IS_ENTITY_OWNER must have elements of type string, not 7"}},
		{[]string{"check", "--config", config}, 1, []string{"4 rules, 2 members, 1 conditions: 2 mistakes"}},
		{[]string{"check", "nope.csv"}, 2, []string{"nope.csv"}},
		{[]string{"check"}, 2, []string{"name a policy file"}},
		{nil, 2, []string{"usage: callboard policy check"}},
		{[]string{"fly"}, 2, []string{`there is no "fly"`}},
		{[]string{"explain", "--user", "u"}, 2, []string{"say --user and --permission"}},
		{[]string{"explain", "--config", config, "--user", "u", "--permission", "catalog.entity.read"}, 1, []string{"condition 1 of role:default/a", `CONDITIONAL: allowed for a catalog-entity of plugin catalog that meets {"anyOf":[{"rule":"IS_ENTITY_OWNER","resourceType":"catalog-entity","params":{"claims":["user:default/u"]}}]}`}},
		{[]string{"explain", "--config", config, "--user", "root", "--permission", "catalog.entity.read"}, 0, []string{"superUsers", "ALLOW"}},
		{[]string{"explain", "--config", config, "--user", "User:Root", "--permission", "catalog.entity.read"}, 0, []string{"user:default/root asks for", "ALLOW"}},
		{[]string{"explain", "--config", config, "--user", "DEFAULT/U", "--group", "Group:A", "--permission", "catalog.entity.refresh"}, 0, []string{"user:default/u asks for", "groups: group:default/a", "ALLOW"}},
		{[]string{"explain", "--config", config, "--user", "user:", "--permission", "catalog.entity.read"}, 2, []string{`policy: --user: entity reference "user:"`}},
		{[]string{"explain", "--config", config, "--user", "u", "--group", "user:x", "--permission", "catalog.entity.read"}, 2, []string{"policy: --group: user:default/x is no group"}},
		{[]string{"explain", "--config", config, "--user", "u", "--group", ":x", "--permission", "catalog.entity.read"}, 2, []string{`policy: --group: entity reference ":x"`}},
		{[]string{"explain", "--config", config, "--user", "u", "--permission", "catalog.entity.refresh"}, 0, []string{"role:default/a through user:default/u", "wrong.csv:7)", "ALLOW"}},
		{[]string{"explain", "--config", config, "--user", "u", "--permission", "mine.thing"}, 2, []string{"say its --action"}},
		{[]string{"explain", "--config", config, "--user", "u", "--permission", "mine.thing", "--action", "use"}, 1, []string{"no rule is about mine.thing, use", "DENY"}},
		{[]string{"explain", "--config", config, "--user", "nobody", "--permission", "kubernetes.proxy"}, 1, []string{"user:default/nobody has no role", "DENY"}},
	} {
		code, out, errs := run(t, tt.args...)
		for _, want := range tt.want {
			if code != tt.code || !strings.Contains(out+errs, want) {
				t.Errorf("policy %s: %d\n%s%s\nwant %d and %s", strings.Join(tt.args, " "), code, out, errs, tt.code, want)
			}
		}
	}
}
