package deps

import (
	"fmt"
	"path"
	"strings"
)

// A Boundary says who may import what. Patterns are those of Match; who is given by
// paths within the module, what by import paths.
type Boundary struct {
	What []string
	// Within are the packages that may. Programs (examples, cmd) may always reach what
	// the packages they add reach: that is what they are for.
	Within []string
	// Direct judges the import statement itself. Otherwise a package breaks the rule
	// too when something that it imports does.
	Direct bool
	// Of limits the rule to some packages; empty: all of the module.
	Of  []string
	Why string
}

// testSupport are the packages that only tests import.
var testSupport = []string{"*/*test/...", "*/*/*test/...", "*/internal/store/*test", "*/internal/*/*test/...", "internal/testbed/...", "internal/wiretest/..."}

// programs are the packages whose point is to add everything together.
var programs = []string{"examples/...", "cmd/..."}

// stores are where SQL lives.
var stores = []string{"*/internal/store", "*/*/internal/store", "search/pgsearch"}

// leaves hold the words that every layer above speaks. They know nothing of boot.
var leaves = []string{"backend/principal", "backend/apierr", "backend/config", "backend/db", "backend/httpx", "backend/scm", "catalog/entity"}

// Boundaries are the rules about other people's packages.
var Boundaries = []Boundary{
	{
		What:   []string{"github.com/aws/...", "github.com/aws/*/..."},
		Within: []string{"techdocs/s3techdocs/...", "kubernetes/awskubernetes/...", "backend/scm/awss3/...", "backend/scm/codecommit/...", "backend/scm/internal/awsauth/...", "backend/awsdb/..."},
		Why:    "who stores nothing on S3 does not link the AWS SDK",
	},
	{
		What:   []string{"k8s.io/client-go/kubernetes/...", "k8s.io/client-go/informers/..."},
		Within: nil,
		Why:    "the typed clientset makes every binary four times as large; use rest.Config and raw JSON",
	},
	{
		What:   []string{"k8s.io/...", "sigs.k8s.io/..."},
		Within: []string{"kubernetes/..."},
		Why:    "only the kubernetes plugin talks to clusters",
	},
	{
		What:   []string{"github.com/casbin/..."},
		Within: []string{"permission/rbac/..."},
		Why:    "a policy written in Go needs no policy language",
	},
	{
		What:   []string{"github.com/google/go-github/..."},
		Within: []string{"*/github*/..."},
		Why:    "who is not on GitHub does not link its client",
	},
	{
		What:   []string{"github.com/coreos/go-oidc/..."},
		Within: []string{"auth/..."},
		Why:    "signing in is the auth plugin's business",
	},
	{
		What:   []string{"github.com/yuin/goldmark/...", "github.com/alecthomas/chroma/..."},
		Within: []string{"techdocs/..."},
		Why:    "only documentation sites are rendered",
	},
	{
		What:   []string{"github.com/nikolalohinski/gonja/..."},
		Within: []string{"scaffolder/cookiecutter/..."},
		Why:    "Jinja2 is needed by cookiecutter templates alone",
	},
	{
		What:   []string{"github.com/redis/..."},
		Within: []string{"backend/rediscache/..."},
		Why:    "the cache is in memory unless main says otherwise",
	},
	{
		What:   []string{"github.com/modelcontextprotocol/...", "github.com/google/jsonschema-go/..."},
		Within: []string{"backend/mcpactions/..."},
		Why:    "one package speaks the protocol of assistants; the others have actions",
	},
	{
		What:   []string{"github.com/andybalholm/brotli/..."},
		Within: []string{"backend/app/..."},
		Why:    "only files are compressed so hard; answers that change are compressed with gzip",
	},
	{
		What:   []string{"go.opentelemetry.io/otel/sdk/...", "go.opentelemetry.io/otel/exporters/...", "go.opentelemetry.io/contrib/...", "github.com/prometheus/..."},
		Within: []string{"backend/oteltelemetry/...", "backend/cloudsqldb/..."}, // Google's libraries instrument their clients
		Why:    "the core records with the API alone; SDK and exporters are eight megabytes (docs/adr/0007)",
	},
	{
		What:   []string{"cloud.google.com/...", "google.golang.org/api/..."},
		Within: []string{"techdocs/gcstechdocs/...", "kubernetes/gcpkubernetes/...", "backend/cloudsqldb/..."},
		Why:    "who is not on Google Cloud does not link its SDK",
	},
	{
		What:   []string{"github.com/Azure/..."},
		Within: []string{"techdocs/azuretechdocs/...", "kubernetes/azurekubernetes/...", "catalog/msgraphcatalog/..."},
		Why:    "who is not on Azure does not link its SDK",
	},
	{
		What:   []string{"github.com/go-ldap/..."},
		Within: []string{"catalog/ldapcatalog/..."},
		Why:    "who has no LDAP does not link its client",
	},
	{
		What:   []string{"testing/...", "net/http/httptest"},
		Within: testSupport,
		Why:    "test flags and helpers do not belong into a server",
	},
	{
		What:   []string{"go.uber.org/fx/...", "go.uber.org/dig/..."},
		Of:     append([]string{"*/internal/store", "*/internal/store/..."}, leaves...),
		Why:    "leaves and stores are plain Go; fx stops at register",
		Within: nil,
	},
	{
		What: []string{"net/http", "database/sql", "github.com/jackc/..."},
		Of:   []string{"catalog/entity", "backend/principal"},
		Why:  "these packages are words, without a wire and without a database",
	},
	{
		What:   []string{"modernc.org/...", "github.com/pressly/goose/..."},
		Within: []string{"backend/db/..."},
		Direct: true,
		Why:    "backend/db is what the rest knows of SQLite and of migrations",
	},
	{
		What:   []string{"github.com/jackc/pgx/...", "database/sql/..."},
		Within: append([]string{"backend", "backend/db/...", "backend/backendtest/...", "internal/testbed/..."}, stores...),
		Direct: true,
		Why:    "SQL lives in the stores",
	},
	{
		What:   []string{"os/exec"},
		Within: []string{"internal/...", "bench/...", "techdocs/internal/build/...", "scaffolder/internal/..."},
		Direct: true,
		Why:    "every program that a server starts is a hole the size of that program",
	},
	{
		What:   []string{"gopkg.in/yaml.v2", "gopkg.in/yaml.v3", "sigs.k8s.io/yaml/...", "github.com/goccy/go-yaml/...", "github.com/ghodss/yaml"},
		Direct: true,
		Why:    "two YAML parsers read two languages; use go.yaml.in/yaml/v3",
	},
	{
		What:   []string{"log", "unsafe", "plugin", "C", "expvar", "net/http/pprof"},
		Direct: true,
		Why:    "logs go through log/slog; nothing here needs cgo, unsafe, or handlers that register themselves",
	},
}

// An Arrow says which packages of this module a tree may import. The first arrow whose
// From covers a package decides.
type Arrow struct {
	From []string
	To   []string
	Why  string
}

// Arrows point downwards: leaf <- httpx, scm <- backend <- catalog and the other
// plugins <- their modules <- programs.
var Arrows = []Arrow{
	{From: []string{"."}, To: nil, Why: "the root package is documentation"},
	{From: []string{"backend/principal", "backend/apierr", "backend/config", "catalog/entity"}, To: []string{"backend/apierr"}, Why: "a leaf imports almost nothing"},
	{From: []string{"backend/db/..."}, To: []string{"backend/db/...", "backend/apierr", "backend/config"}, Why: "backend/db is a leaf"},
	{From: []string{"backend/httpx/..."}, To: []string{"backend/httpx/...", "backend/apierr", "backend/principal"}, Why: "backend/httpx is a leaf above errors and principals"},
	{From: []string{"backend/scm/..."}, To: []string{"backend/scm/...", "backend/apierr", "backend/config", "backend/principal"}, Why: "backend/scm is used by every plugin and knows none"},
	{From: []string{"backend/notifications/..."}, To: []string{"backend/...", "catalog/entity", "catalog/client"}, Why: "it asks the catalog who is meant, through its client as other plugins do"},
	{From: []string{"backend/devtools/..."}, To: []string{"backend/...", "permission"}, Why: "it asks the policy, through its client as other plugins do"},
	{From: []string{"backend/..."}, To: []string{"backend/..."}, Why: "the host knows no plugin"},
	{From: []string{"catalog/client/..."}, To: []string{"catalog/client/...", "catalog/entity/...", "backend/..."}, Why: "the client speaks HTTP, wherever the catalog runs"},
	{From: []string{"catalog/internal/..."}, To: []string{"catalog/internal/...", "catalog/entity/...", "backend/...", "permission"}, Why: "the engine does not know its façade"},
	pluginArrow("catalog"), pluginArrow("scaffolder"), pluginArrow("techdocs"), pluginArrow("auth"),
	pluginArrow("permission"), pluginArrow("kubernetes"), pluginArrow("search"),
	{From: programs, To: []string{"*", "*/*", "*/*/*"}, Why: "programs use what adopters can use"},
	{From: []string{"internal/...", "bench/...", "conformance/..."}, To: []string{"*/..."}, Why: "tools of this repository may look at all of it"},
}

// pluginArrow lets a plugin import the host, itself, and the words and clients of
// others: plugins reach each other over HTTP, so that they can run apart.
func pluginArrow(id string) Arrow {
	return Arrow{
		From: []string{id + "/..."},
		To:   []string{id + "/...", "backend/...", "catalog/entity/...", "catalog/client/...", "permission"},
		Why:  "plugins reach each other through clients, so that they can run in different processes",
	}
}

// Check returns one text per broken rule, with the chain of imports.
func Check(g Graph, boundaries []Boundary, arrows []Arrow) []string {
	var broken []string
	for _, pkg := range g.Own() {
		for _, b := range boundaries {
			if chain := b.breaks(g, pkg); chain != nil {
				broken = append(broken, fmt.Sprintf("%s reaches %s: %s\n\t%s", pkg, chain[len(chain)-1], b.Why, strings.Join(chain, "\n\t  imports ")))
			}
		}
		broken = append(broken, brokenArrows(g, pkg, arrows)...)
	}
	return broken
}

// breaks returns the chain by which pkg breaks the rule, or nil.
func (b Boundary) breaks(g Graph, pkg string) []string {
	if len(b.Of) > 0 && !MatchAny(b.Of, pkg) || MatchAny(b.Within, pkg) || !b.Direct && MatchAny(programs, pkg) {
		return nil
	}
	chain := g.Chain(path.Join(Module, pkg), func(p string) bool { return MatchAny(b.What, p) })
	if b.Direct && len(chain) > 2 {
		return nil
	}
	return chain
}

func brokenArrows(g Graph, pkg string, arrows []Arrow) []string {
	for _, a := range arrows {
		if !MatchAny(a.From, pkg) {
			continue
		}
		var broken []string
		for _, imported := range g.OwnImports(pkg) {
			switch support := MatchAny(testSupport, imported); {
			case MatchAny(testSupport, pkg):
			case support && !MatchAny([]string{"internal/..."}, pkg):
				broken = append(broken, fmt.Sprintf("%s imports %s, which is for tests", pkg, imported))
			case !MatchAny(a.To, imported):
				broken = append(broken, fmt.Sprintf("%s imports %s: %s; it may import %s", pkg, imported, a.Why, strings.Join(a.To, ", ")))
			}
		}
		return broken
	}
	return []string{fmt.Sprintf("%s is in no layer: give its tree a line in Arrows", pkg)}
}
