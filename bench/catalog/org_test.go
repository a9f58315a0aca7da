package catalogbench

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/callboard-dev/callboard/catalog/entity"
)

var (
	words = strings.Fields(`checkout payment order user cart search index ledger fraud invoice catalog media stream report alert config
		identity session profile shipping tax pricing stock review comment graph queue batch edge mobile web admin partner risk quote
		claim policy market trade settle notify sync export import cache store vault audit metric trace deploy build`)
	tags = strings.Fields("java go python typescript kafka grpc rest postgres redis react tier-1 tier-2 tier-3 pci gdpr batch streaming ml legacy beta")
)

// An org is a synthetic organisation: for every hundred components five systems, one
// domain, ten groups, 25 users, 20 APIs and ten resources.
type org struct {
	*rand.Rand
	yield      func(entity.Entity)
	entities   []entity.Entity // if they are kept
	groups     []string
	components []string
}

func (o *org) of(list ...string) string { return list[o.IntN(len(list))] }

func (o *org) some(list []string, n int) []any {
	var out []any
	for _, i := range o.Perm(len(list))[:min(n, len(list))] {
		out = append(out, list[i])
	}
	slices.SortFunc(out, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	return out
}

func (o *org) names(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s-%s-%s-%05d", prefix, o.of(words...), o.of(words...), i)
	}
	return out
}

func (o *org) add(kind, name string, spec, meta map[string]any) {
	if meta == nil {
		meta = map[string]any{}
	}
	meta["name"] = name
	o.yield(entity.Entity{"apiVersion": "backstage.io/v1alpha1", "kind": kind, "metadata": meta, "spec": spec})
}

func (o *org) keep(e entity.Entity) { o.entities = append(o.entities, e) }

func (o *org) described(what string, tagged int) map[string]any {
	w := func() string { return o.of(words...) }
	m := map[string]any{"description": fmt.Sprintf("%s that handles %s %s and %s for the %s %s area", what, w(), w(), w(), w(), w())}
	if tagged > 0 {
		m["tags"] = o.some(tags, tagged)
	}
	return m
}

func title(name string) string {
	parts := strings.Split(name, "-")
	for i, p := range parts {
		parts[i] = strings.ToUpper(p[:1]) + p[1:]
	}
	return strings.Join(parts, " ")
}

// newOrg makes n entities, the same ones every time.
func newOrg(n int) *org {
	o := &org{}
	o.generate(n, o.keep)
	return o
}

// generate yields the entities of newOrg one by one.
func (o *org) generate(n int, yield func(entity.Entity)) {
	o.Rand, o.yield = rand.New(rand.NewPCG(42, 0)), yield
	c := int(float64(n) / 1.71)
	systems, domains := o.names("sys", max(1, c/20)), o.names("dom", max(1, c/100))
	o.groups = o.names("team", max(2, c/10))
	users, apis, resources := max(1, c/4), o.names("api", max(1, c/5)), o.names("res", max(1, c/10))
	o.components = o.names("svc", n-len(systems)-len(domains)-len(o.groups)-users-len(apis)-len(resources))
	for _, d := range domains {
		o.add("Domain", d, map[string]any{"owner": "group:default/" + o.of(o.groups...)}, o.described("Domain", 2))
	}
	for _, s := range systems {
		o.add("System", s, map[string]any{"owner": o.of(o.groups...), "domain": o.of(domains...)}, o.described("System", 2))
	}
	for i, g := range o.groups {
		spec := map[string]any{"type": "team", "profile": map[string]any{"displayName": title(g), "email": g + "@acme.example"}, "children": []any{}}
		if i == 0 {
			spec["type"] = "organization"
		} else {
			spec["parent"] = o.groups[(i-1)/6]
		}
		o.add("Group", g, spec, o.described("Team", 0))
	}
	for i := range users {
		u, teams := fmt.Sprintf("user%05d", i), 1
		if o.IntN(5) == 0 {
			teams = 2
		}
		profile := map[string]any{"displayName": fmt.Sprintf("User Number %05d", i), "email": u + "@acme.example", "picture": "https://img.acme.example/" + u + ".png"}
		o.add("User", u, map[string]any{"profile": profile, "memberOf": o.some(o.groups, teams)},
			map[string]any{"annotations": map[string]any{"acme.example/employee-id": fmt.Sprint(100000 + i)}})
	}
	for _, a := range apis {
		o.add("API", a, map[string]any{
			"type": o.of("openapi", "openapi", "grpc", "graphql", "asyncapi"), "lifecycle": o.of("production", "production", "experimental", "deprecated"),
			"owner": o.of(o.groups...), "system": o.of(systems...), "definition": o.definition(a),
		}, o.described("API", 2))
	}
	for _, r := range resources {
		o.add("Resource", r, map[string]any{"type": o.of("database", "s3-bucket", "queue", "topic", "cache"), "owner": o.of(o.groups...), "system": o.of(systems...)}, o.described("Resource", 0))
	}
	for _, k := range o.components {
		o.component(k, systems, apis, resources)
	}
}

func (o *org) definition(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "{\n \"openapi\": \"3.0.3\",\n \"info\": {\n  \"title\": %q,\n  \"version\": \"1.0.0\"\n },\n \"paths\": {", name)
	for i := range 6 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "\n  \"/%s/{id}\": {\n   \"get\": {\n    \"summary\": %q,\n    \"responses\": {\n     \"200\": {\n      \"description\": \"ok\"\n     }\n    }\n   }\n  }",
			o.of(words...), o.described("Operation", 0)["description"])
	}
	b.WriteString("\n }\n}")
	return b.String()
}

func (o *org) component(k string, systems, apis, resources []string) {
	spec := map[string]any{
		"type":      o.of("service", "service", "service", "service", "service", "service", "website", "library", "library", "documentation"),
		"lifecycle": o.of("production", "production", "production", "production", "experimental", "deprecated"),
		"owner":     "group:default/" + o.of(o.groups...), "system": o.of(systems...),
	}
	if o.IntN(100) < 35 {
		spec["providesApis"] = []any{o.of(apis...)}
	}
	if o.IntN(2) == 0 {
		spec["consumesApis"] = o.some(apis, 1+o.IntN(3))
	}
	var needs []any
	if o.IntN(2) == 0 {
		needs = append(needs, "resource:default/"+o.of(resources...))
	}
	if o.IntN(10) < 4 {
		needs = append(needs, "component:default/"+o.of(o.components...))
	}
	if needs != nil {
		spec["dependsOn"] = needs
	}
	meta := o.described("Service", 1+o.IntN(4))
	meta["title"] = title(k)
	meta["labels"] = map[string]any{"acme.example/tier": o.of("gold", "silver", "bronze")}
	meta["annotations"] = map[string]any{
		"github.com/project-slug": "acme/" + k, "backstage.io/techdocs-ref": "dir:.", "backstage.io/kubernetes-id": k,
		"pagerduty.com/integration-key": fmt.Sprintf("%016x%016x", o.Uint64(), o.Uint64()), "sonarqube.org/project-key": "acme:" + k,
	}
	meta["links"] = []any{
		map[string]any{"url": "https://grafana.acme.example/d/" + k, "title": "Dashboard", "icon": "dashboard"},
		map[string]any{"url": "https://runbooks.acme.example/" + k, "title": "Runbook"},
	}
	o.add("Component", k, spec, meta)
}

// write puts entities into files of 100 documents, and returns the Location file that
// leads to them. The last file is reached through two Locations more, so that its
// entities have an ancestry of five.
func write(t testing.TB, dir string, list []entity.Entity) string {
	t.Helper()
	var targets []string
	for chunk := range slices.Chunk(list, 100) {
		name := fmt.Sprintf("entities-%05d.yaml", len(targets))
		var b strings.Builder
		for _, e := range chunk {
			doc, err := yaml.Marshal(map[string]any(e))
			if err != nil {
				t.Fatal(err)
			}
			b.WriteString("---\n")
			b.Write(doc)
		}
		put(t, dir, name, b.String())
		targets = append(targets, "./"+name)
	}
	last := targets[len(targets)-1]
	put(t, dir, "deep.yaml", location("synthetic-deep", "./deeper.yaml"))
	put(t, dir, "deeper.yaml", location("synthetic-deeper", last))
	targets[len(targets)-1] = "./deep.yaml"
	return put(t, dir, "root.yaml", location("synthetic-root", targets...))
}

func location(name string, targets ...string) string {
	return "apiVersion: backstage.io/v1alpha1\nkind: Location\nmetadata:\n  name: " + name + "\nspec:\n  type: file\n  targets:\n    - " + strings.Join(targets, "\n    - ") + "\n"
}

func put(t testing.TB, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
