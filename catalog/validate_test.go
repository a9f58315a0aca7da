package catalog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/codeownerscatalog"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/lint"
	"github.com/callboard-dev/callboard/catalog/scaffoldercatalog"
)

var update = flag.Bool("update", false, "write golden files anew")

// validate runs the subcommand of a program with the catalog and the given features.
func validate(t *testing.T, dir string, args []string, features ...backend.Feature) (code int, stdout, stderr string) {
	t.Helper()
	b := backend.New()
	b.Add(append(features, catalog.Plugin())...)
	var out, errs bytes.Buffer
	code, err := b.RunSubcommand(t.Context(), "validate", backend.Console{Program: "portal", Args: args, Stdout: &out, Stderr: &errs, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return code, out.String(), errs.String()
}

func goldenFile(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what was printed (-update writes it anew):\n%s", name, got)
	}
}

// TestValidate_Formats holds what each format prints for testdata/validate.
func TestValidate_Formats(t *testing.T) {
	t.Parallel()
	dir, err := filepath.Abs("testdata/validate")
	if err != nil {
		t.Fatal(err)
	}
	repo := []string{"--root", "repo", "--exclude", "**/skeleton/**"}
	for _, tt := range []struct {
		golden string
		args   []string
	}{
		{"want.txt", nil},
		{"want.json", []string{"--format", "json"}},
		{"want.github.txt", []string{"--format=github"}},
		{"want.sarif", []string{"--format", "sarif"}},
		{"want.portal.txt", []string{"--complete", "--config", "app-config.yaml", "--at", "https://github.com/acme/shop/blob/main"}},
	} {
		t.Run(tt.golden, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := validate(t, dir, append(append(repo[:len(repo):len(repo)], tt.args...), "repo"))
			if code != 1 || stderr != "" {
				t.Errorf("exit code %d, stderr %q", code, stderr)
			}
			goldenFile(t, filepath.Join(dir, tt.golden), stdout)
			if strings.HasSuffix(tt.golden, ".json") && !json.Valid([]byte(stdout)) {
				t.Error("no valid JSON")
			}
		})
	}
}

// TestValidate_SampleOrganisation: what the quickstart shows is right, as URLs, as files,
// and as a whole.
func TestValidate_SampleOrganisation(t *testing.T) {
	t.Parallel()
	dir, err := filepath.Abs("../examples/quickstart")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"org/all.yaml"},
		{"--as-files", "--complete", "org/all.yaml"},
		{"--complete", "--config", "app-config.yaml", "org/all.yaml"},
		{"--exclude", "**/skeleton/**", "--strict", "."},
	} {
		code, stdout, stderr := validate(t, dir, args, scaffoldercatalog.Module())
		if code != 0 || !strings.HasSuffix(stdout, ": no problems\n") || stderr != "" {
			t.Errorf("%v: exit code %d\n%s%s", args, code, stdout, stderr)
		}
	}
}

func writeFiles(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range files {
		full := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestValidate_ExitCodes(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{
		"good/catalog-info.yaml":    component("good", ""),
		"warned/catalog-info.yaml":  document(component("warned", ""), component("other", ", dependsOn: ['component:wraned']")),
		"bad/catalog-info.yaml":     "kind: componnent\n",
		"none/README.md":            "",
		"broken.yaml":               "catalog: {rules: 5}\n",
		"hosts.yaml":                "integrations: {github: [{host: [github.com]}]}\n",
		"loop/catalog-info.yaml":    locationOf("loop", "target: ./other.yaml"),
		"loop/other.yaml":           locationOf("other", "target: ./catalog-info.yaml"),
		"outside/catalog-info.yaml": locationOf("outside", "target: ../good/catalog-info.yaml"),
	})
	for _, tt := range []struct {
		name     string
		args     []string
		code     int
		out, err string // are in the output
	}{
		{name: "no problems", args: []string{"good"}, code: 0, out: "1 file, 1 entity: no problems\n"},
		{name: "warnings", args: []string{"warned"}, code: 0, out: "did you mean component:default/warned?"},
		{name: "strict warnings", args: []string{"--strict", "warned"}, code: 1, out: "1 warning"},
		{name: "errors", args: []string{"bad"}, code: 1, out: "bad/catalog-info.yaml:1:1: error: /apiVersion: expected"},
		{name: "several paths", args: []string{"good", "bad/catalog-info.yaml"}, code: 1, out: "2 files"},
		{name: "Locations in a circle", args: []string{"loop"}, code: 0, out: "2 files, 2 entities: no problems"},
		{name: "a target outside of the repository", args: []string{"--root", "outside", "outside"}, code: 1, out: "it leaves the repository [target]"},
		{name: "no path", code: 2, err: "name the files or directories"},
		{name: "a path that is not there", args: []string{"nowhere"}, code: 2, err: "nowhere"},
		{name: "a directory without descriptors", args: []string{"none"}, code: 2, err: "has no files named"},
		{name: "a path outside of the root", args: []string{"--root", "good", "bad"}, code: 2, err: "name another root"},
		{name: "an unknown format", args: []string{"--format", "xml", "good"}, code: 2, err: "use one of text, json, github, sarif"},
		{name: "an unknown flag", args: []string{"--frmat", "text", "good"}, code: 2, err: "-frmat"},
		{name: "a flag after a path", args: []string{"good", "--strict"}, code: 2, err: "flags come first"},
		{name: "a glob that is none", args: []string{"--name", "[", "good"}, code: 2, err: "no valid glob"},
		{name: "an address that is none", args: []string{"--at", "acme/shop", "good"}, code: 2, err: "no http or https URL"},
		{name: "no time", args: []string{"--timeout", "1ns", "good"}, code: 2, err: "raise --timeout"},
		{name: "a configuration with a mistake", args: []string{"--config", "broken.yaml", "good"}, code: 2, err: "catalog.rules"},
		{name: "a configuration with a mistake elsewhere", args: []string{"--config", "hosts.yaml", "good"}, code: 0, out: "no problems", err: "warning: integrations.github[0].host"},
		{name: "help", args: []string{"--help"}, code: 0, out: "usage: portal validate [FLAGS] PATH..."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := validate(t, dir, tt.args)
			if code != tt.code || !strings.Contains(stdout, tt.out) || !strings.Contains(stderr, tt.err) {
				t.Errorf("exit code %d, want %d\nstdout: %s\nstderr: %s", code, tt.code, stdout, stderr)
			}
		})
	}
}

// vendor is an adopter's processor, which knows a kind of its own.
type vendor struct{}

func (vendor) ProcessorName() string { return "vendor" }

func (vendor) ValidateKind(_ context.Context, e entity.Entity) (bool, error) {
	if e.Kind() != "Vendor" {
		return false, nil
	}
	if e.SpecString("country") == "" {
		return true, entity.ValidationErrors{{Path: "/spec/country", Expected: "a country", Found: "nothing"}}
	}
	return true, nil
}

// TestValidate_KnowsTheProgramsProcessors: the tool is part of the adopter's program.
func TestValidate_KnowsTheProgramsProcessors(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{"catalog-info.yaml": document(
		"apiVersion: acme.example/v1\nkind: Vendor\nmetadata: {name: a}\nspec: {country: DE}\n",
		"apiVersion: acme.example/v1\nkind: Vendor\nmetadata: {name: b}\nspec: {since: 2020}\n",
	)})
	module := backend.NewModule("catalog", "vendors", fx.Invoke(func(x *catalog.Extensions) { x.AddProcessor(vendor{}) }))
	code, stdout, _ := validate(t, dir, []string{"."}, module)
	if code != 1 || !strings.Contains(stdout, "catalog-info.yaml:9:1: error: /spec/country: expected a country, found nothing [schema]") || !strings.Contains(stdout, ": 1 error\n") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
	if code, stdout, _ := validate(t, dir, []string{"."}); code != 1 || !strings.Contains(stdout, "2 errors") {
		t.Errorf("without the module: exit code %d\n%s", code, stdout)
	}
}

// TestValidate_ModulesReadTheFiles: what a processor reads of the repository is what is on
// the disk, and nothing goes over the network.
func TestValidate_ModulesReadTheFiles(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{
		".github/CODEOWNERS": "* @acme/payments\n",
		"catalog-info.yaml":  strings.Replace(component("a", ""), ", owner: team", "", 1),
	})
	at := []string{"--root", ".", "--at", "https://github.com/acme/shop/blob/main", "."}
	if code, stdout, stderr := validate(t, dir, at, codeownerscatalog.Module()); code != 0 || !strings.Contains(stdout, "no problems") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	if code, stdout, _ := validate(t, dir, at); code != 1 || !strings.Contains(stdout, "/spec/owner") {
		t.Errorf("without the module: exit code %d\n%s", code, stdout)
	}
}

// TestValidate_Schema: the schema for editors is printed, and takes the sample
// organisation with all its placeholders.
func TestValidate_Schema(t *testing.T) {
	t.Parallel()
	code, stdout, _ := validate(t, t.TempDir(), []string{"--print-schema"})
	if code != 0 || stdout != string(entity.Schema()) {
		t.Fatalf("exit code %d, %d bytes", code, len(stdout))
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(stdout))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("urn:schema", doc); err != nil {
		t.Fatal(err)
	}
	schema := compiler.MustCompile("urn:schema")
	accepted := 0
	err = filepath.WalkDir("../examples/quickstart/org", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".yaml" || strings.Contains(name, "skeleton") {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for e, err := range entity.ParseDocuments(name, data, entity.Limits{}) {
			if err != nil || e.Entity.Kind() == "" || e.Entity.Name() == "" {
				continue // an API definition, or another file beside the descriptors
			}
			accepted++
			if err := schema.Validate(map[string]any(e.Entity)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		return nil
	})
	if err != nil || accepted < 100 {
		t.Errorf("%d entities, %v", accepted, err)
	}
	if schema.Validate(map[string]any{"apiVersion": "backstage.io/v1alpha1", "kind": "Component", "metadata": map[string]any{"name": "a"}, "spec": map[string]any{}}) == nil {
		t.Error("a Component without an owner is accepted")
	}
}

// TestValidate_Documentation: the example of docs/validate.md is checked as it says, and
// its tables name every rule and flag.
func TestValidate_Documentation(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../docs/validate.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	_, after, _ := strings.Cut(page, "```yaml invalid\n")
	descriptor, after, _ := strings.Cut(after, "```\n")
	_, after, _ = strings.Cut(after, "```text\n")
	want, _, _ := strings.Cut(after, "```\n")
	dir := writeFiles(t, map[string]string{"catalog-info.yaml": descriptor})
	if _, stdout, _ := validate(t, dir, []string{"catalog-info.yaml"}); stdout != want {
		t.Errorf("the example prints\n%s\nand not\n%s", stdout, want)
	}
	for _, rule := range lint.Rules() {
		if !strings.Contains(page, "| `"+string(rule.ID)+"` | "+rule.Text+" |\n") {
			t.Errorf("rule %s is not in the table", rule.ID)
		}
	}
	_, help, _ := validate(t, dir, []string{"--help"})
	for _, flag := range regexp.MustCompile(`(?m)^  (--[a-z-]+)`).FindAllStringSubmatch(help, -1) {
		if !strings.Contains(page, "`"+flag[1]) {
			t.Errorf("flag %s is not documented", flag[1])
		}
	}
}

// TestValidate_SARIF: what is printed is valid by the schema of the standard, and a reader
// of the standard loses nothing of it.
func TestValidate_SARIF(t *testing.T) {
	t.Parallel()
	printed, err := os.ReadFile("testdata/validate/want.sarif")
	if err != nil {
		t.Fatal(err)
	}
	report, err := sarif.FromBytes(printed)
	if err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range report.Runs { // what the reader writes as empty, which is not valid
		run.Language, run.Tool.Driver.Language, run.NewlineSequences = "en-US", "en-US", []string{"\n"}
	}
	if err := report.Validate(); err != nil {
		t.Error(err)
	}
	var got, want any
	if err := errors.Join(json.Unmarshal(again, &got), json.Unmarshal(printed, &want)); err != nil {
		t.Fatal(err)
	}
	if !keeps(got, want) {
		t.Errorf("read and written again it is\n%s", again)
	}
}

// keeps says whether got has all that want has.
func keeps(got, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		m, ok := got.(map[string]any)
		for key, v := range want {
			ok = ok && keeps(m[key], v)
		}
		return ok
	case []any:
		list, ok := got.([]any)
		ok = ok && len(list) == len(want)
		for i, v := range want {
			ok = ok && keeps(list[i], v)
		}
		return ok
	}
	return got == want
}
