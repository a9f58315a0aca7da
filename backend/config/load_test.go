package config_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/config"
)

// write puts files, given as pairs of name and text, into a fresh directory.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// load loads with the given files and environment, and fails the test on an error.
func load(t testing.TB, dir string, files []string, env ...string) *config.Config {
	t.Helper()
	cfg, err := config.Load(t.Context(), sources(dir, files, env))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func sources(dir string, files, env []string) config.Sources {
	s := config.Sources{Dir: dir, Environ: append([]string{}, env...)}
	for _, f := range files {
		s.Files = append(s.Files, filepath.Join(dir, f))
	}
	return s
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSources(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{
		"app-config.yaml":                  "v: base\nbase: 1\nempty:\n",
		"app-config.production.yaml":       "v: production\nproduction: 1",
		"app-config.eu.yaml":               "v: eu\neu: 1",
		"app-config.local.yaml":            "v: local\nlocal: 1",
		"app-config.production.local.yaml": "v: production.local\nproductionLocal: 1",
		"other.yaml":                       "v: other",
		"blank.yaml":                       "",
		"comment.yaml":                     "# nothing\n",
	})
	for _, tt := range []struct {
		name  string
		files []string
		env   []string
		want  string // of the whole tree
		read  []string
	}{
		{
			name: "without --config, app-config.yaml and app-config.local.yaml are read",
			want: `{"base":1,"local":1,"v":"local"}`,
			read: []string{"app-config.yaml", "app-config.local.yaml"},
		}, {
			name: "each name in BACKSTAGE_ENV adds a file below local, and a local file above it",
			env:  []string{"BACKSTAGE_ENV=production, eu"},
			want: `{"base":1,"eu":1,"local":1,"production":1,"productionLocal":1,"v":"production.local"}`,
			read: []string{"app-config.yaml", "app-config.production.yaml", "app-config.eu.yaml", "app-config.local.yaml", "app-config.production.local.yaml"},
		}, {
			name: "files of an environment are optional",
			env:  []string{"BACKSTAGE_ENV=staging"},
			want: `{"base":1,"local":1,"v":"local"}`,
			read: []string{"app-config.yaml", "app-config.local.yaml"},
		}, {
			name:  "with --config, exactly those are read, the later one wins, and local is not added",
			files: []string{"app-config.yaml", "other.yaml"},
			env:   []string{"BACKSTAGE_ENV=production"},
			want:  `{"base":1,"v":"other"}`,
			read:  []string{"app-config.yaml", "other.yaml"},
		}, {
			name:  "the order of --config decides",
			files: []string{"other.yaml", "app-config.yaml"},
			want:  `{"base":1,"v":"base"}`,
			read:  []string{"other.yaml", "app-config.yaml"},
		}, {
			name:  "APP_CONFIG variables are always last",
			files: []string{"app-config.yaml"},
			env:   []string{"APP_CONFIG_v=env"},
			want:  `{"base":1,"v":"env"}`,
			read:  []string{"app-config.yaml"},
		}, {
			name:  "empty files are fine",
			files: []string{"blank.yaml", "comment.yaml"},
			want:  `{}`,
			read:  []string{"blank.yaml", "comment.yaml"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := load(t, dir, tt.files, tt.env...)
			if got := asJSON(t, cfg.Value("")); got != tt.want {
				t.Errorf("tree is %s, want %s", got, tt.want)
			}
			var read []string
			for _, f := range cfg.Files() {
				read = append(read, filepath.Base(f))
			}
			if !slices.Equal(read, tt.read) {
				t.Errorf("read %v, want %v", read, tt.read)
			}
		})
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, low, high, want string }{
		{"objects merge deeply per key", "a: {b: {c: 1, d: 2}}", "a: {b: {d: 3, e: 4}}", `{"a":{"b":{"c":1,"d":3,"e":4}}}`},
		{"lists are replaced as a whole", "a: [1, 2, 3]", "a: [4]", `{"a":[4]}`},
		{"an empty list replaces a list", "a: [1, 2, 3]", "a: []", `{"a":[]}`},
		{"scalars are replaced", "a: 1", "a: x", `{"a":"x"}`},
		{"an object replaces a scalar", "a: 1", "a: {b: 2}", `{"a":{"b":2}}`},
		{"a scalar replaces an object", "a: {b: 2}", "a: 1", `{"a":1}`},
		{"null removes a value", "a: {b: 1, c: 2}", "a: {b: null}", `{"a":{"c":2}}`},
		{"null removes an object", "a: {b: 1}\nz: 1", "a: ~", `{"z":1}`},
		{"a value over a null is that value", "a: null", "a: 1", `{"a":1}`},
		{"an object over a null does not bring back what the null hides", "a: null", "a: {c: 1}", `{"a":{"c":1}}`},
		{"an undefined value falls through to the lower source", "a: low", "a: ${UNSET}", `{"a":"low"}`},
		{"an undefined value over null stays removed", "a: null", "a: ${UNSET}", `{}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := write(t, map[string]string{"low.yaml": tt.low, "high.yaml": tt.high})
			cfg := load(t, dir, []string{"low.yaml", "high.yaml"})
			if got := asJSON(t, cfg.Value("")); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestNullHidesAllLowerSources(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"1.yaml": "a: {x: 1}", "2.yaml": "a: null", "3.yaml": "a: {y: 2}"})
	cfg := load(t, dir, []string{"1.yaml", "2.yaml", "3.yaml"})
	if got := asJSON(t, cfg.Value("")); got != `{"a":{"y":2}}` {
		t.Errorf("got %s", got)
	}
}

func TestPositionsSurviveMerging(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{
		"a.yaml": "backend:\n  baseUrl: http://a\n  listen: {port: 1}\n",
		"b.yaml": "backend:\n  listen:\n    port: 2\n",
	})
	cfg := load(t, dir, []string{"a.yaml", "b.yaml"}, "APP_CONFIG_app_title=T")
	for path, want := range map[string]string{
		"backend.baseUrl":     "a.yaml:2:12",
		"backend.listen.port": "b.yaml:3:11",
		"app.title":           "environment variable APP_CONFIG_app_title",
		"app.missing":         "",
	} {
		if got := strings.TrimPrefix(cfg.Pos(path), dir+"/"); got != want {
			t.Errorf("position of %s is %q, want %q", path, got, want)
		}
	}
}

func TestAppConfigVariables(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		env     []string
		want    string
		wantErr string
	}{
		{name: "the name is split at underscores", env: []string{"APP_CONFIG_backend_baseUrl=x"}, want: `{"backend":{"baseUrl":"x"}}`},
		{name: "a quoted value is JSON", env: []string{`APP_CONFIG_a="https://x"`}, want: `{"a":"https://x"}`},
		{name: "numbers and booleans are JSON", env: []string{`APP_CONFIG_a=1.5`, `APP_CONFIG_b=true`}, want: `{"a":1.5,"b":true}`},
		{name: "objects and lists are JSON", env: []string{`APP_CONFIG_a={"b":[1,{"c":2}]}`}, want: `{"a":{"b":[1,{"c":2}]}}`},
		{name: "what is no JSON is text", env: []string{`APP_CONFIG_a={not json`}, want: `{"a":"{not json"}`},
		{name: "empty variables are ignored", env: []string{`APP_CONFIG_a=`}, want: `{}`},
		{name: "substitution is for files only", env: []string{`APP_CONFIG_a=${X}`, "X=1"}, want: `{"a":"${X}"}`},
		{name: "parts may have digits, dashes and colons", env: []string{`APP_CONFIG_a1-b:c_D-9=x`}, want: `{"a1-b:c":{"D-9":"x"}}`},
		{name: "an object and keys of it add up", env: []string{`APP_CONFIG_a={"b":1}`, `APP_CONFIG_a_c=2`}, want: `{"a":{"b":1,"c":2}}`},
		{name: "objects add up at every depth", env: []string{`APP_CONFIG_a={"b":{"c":1}}`, `APP_CONFIG_a_b={"d":2}`}, want: `{"a":{"b":{"c":1,"d":2}}}`},
		{
			name: "null is an error", env: []string{"APP_CONFIG_a=null"},
			wantErr: "a: value is null, which a variable cannot set (environment variable APP_CONFIG_a)",
		}, {
			name: "JSON with a duplicate key is an error", env: []string{`APP_CONFIG_a={"b":{"c":1,"c":2}}`},
			wantErr: "a.b.c: key is already set at environment variable APP_CONFIG_a (environment variable APP_CONFIG_a)",
		}, {
			name: "a number that is too large is an error", env: []string{"APP_CONFIG_a=[1e999]"},
			wantErr: "a[0]: number is out of range (environment variable APP_CONFIG_a)",
		}, {
			name: "an empty part is an error", env: []string{"APP_CONFIG_a__b=1"},
			wantErr: "invalid env config key 'a__b': each part between _ needs letters, digits, - and :, and starts with a letter (environment variable APP_CONFIG_a__b)",
		}, {
			name: "a part that starts with a digit is an error", env: []string{"APP_CONFIG_1a=1"},
			wantErr: "invalid env config key '1a': each part between _ needs letters, digits, - and :, and starts with a letter (environment variable APP_CONFIG_1a)",
		}, {
			name: "the same key twice is an error", env: []string{`APP_CONFIG_a={"b":1}`, `APP_CONFIG_a_b=2`},
			wantErr: "a.b: conflicts with environment variable APP_CONFIG_a, which already sets this key (environment variable APP_CONFIG_a_b)",
		}, {
			name: "a key below a scalar is an error", env: []string{`APP_CONFIG_a=1`, `APP_CONFIG_a_b=2`},
			wantErr: "a.b: conflicts with environment variable APP_CONFIG_a, which gives a a value that is no object (environment variable APP_CONFIG_a_b)",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Parse("app-config.yaml", nil, tt.env...)
			if text(err) != tt.wantErr {
				t.Fatalf("error is\n%s, want\n%s", text(err), tt.wantErr)
			}
			if got := asJSON(t, cfg.Value("")); tt.wantErr == "" && got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestLoadErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		files map[string]string
		args  []string
		env   []string
		want  string
	}{
		{
			name: "app-config.yaml is required without --config",
			want: "configuration file DIR/app-config.yaml does not exist: name the file to read with --config FILE",
		}, {
			name: "files of --config must exist", args: []string{"nope.yaml"},
			want: "configuration file DIR/nope.yaml does not exist: --config needs the path of an existing file",
		}, {
			name: "a directory is no file", files: map[string]string{"d/x": ""}, args: []string{"d"},
			want: "configuration file DIR/d is a directory",
		}, {
			name: "problems of all sources are reported at once",
			files: map[string]string{
				"a.yaml": "a: {$file: gone.txt}\nb: {$include: x.toml}\n", "x.toml": "",
				"b.yaml": "c: [1, {$env: X, y: 1}]\n",
			},
			args: []string{"a.yaml", "b.yaml"}, env: []string{"APP_CONFIG_x=null"},
			want: "a: $file DIR/gone.txt does not exist (DIR/a.yaml:1:12)\n" +
				"b: no configuration parser available for included file DIR/x.toml (DIR/a.yaml:2:15)\n" +
				`c[1]: include key $env should not have adjacent keys, found "y" (DIR/b.yaml:1:18)` + "\n" +
				"x: value is null, which a variable cannot set (environment variable APP_CONFIG_x)",
		}, {
			name: "syntax errors have a place", files: map[string]string{"a.yaml": "a: 1\nb: [1\nc: 2\n"}, args: []string{"a.yaml"},
			want: "not valid YAML: did not find expected ',' or ']' (DIR/a.yaml:2:1)",
		}, {
			name: "a duplicate key has both places", files: map[string]string{"a.yaml": "a:\n  b: 1\n  c: 1\n  b: 2\n"}, args: []string{"a.yaml"},
			want: "a.b: key is already set at DIR/a.yaml:2:3 (DIR/a.yaml:4:3)",
		}, {
			name: "a list is no configuration", files: map[string]string{"a.yaml": "- a\n"}, args: []string{"a.yaml"},
			want: "expected an object of keys, got a list (DIR/a.yaml:1:1)",
		}, {
			name: "two documents are one too many", files: map[string]string{"a.yaml": "a: 1\n---\nb: 1\n"}, args: []string{"a.yaml"},
			want: "file has more than one YAML document (DIR/a.yaml:2:1)",
		}, {
			name: "an unknown tag is an error", files: map[string]string{"a.yaml": "a: !thing x\n"}, args: []string{"a.yaml"},
			want: "a: unknown YAML tag; a string that starts with ! needs quotes (DIR/a.yaml:1:4)",
		}, {
			name: "names in BACKSTAGE_ENV are not paths", files: map[string]string{"app-config.yaml": ""}, env: []string{"BACKSTAGE_ENV=../x"},
			want: `"../x" is not the name of an environment (environment variable BACKSTAGE_ENV)`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := write(t, tt.files)
			_, err := config.Load(t.Context(), sources(dir, tt.args, tt.env))
			if got := strings.ReplaceAll(text(err), dir, "DIR"); got != tt.want {
				t.Errorf("error is\n%s\nwant\n%s", got, tt.want)
			}
			for _, problem := range config.Problems(err) {
				if _, ok := problem.(*config.KeyError); !ok {
					t.Errorf("%T is no *KeyError", problem)
				}
			}
		})
	}
}

func TestLoadGoesOnAfterProblems(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse("app-config.yaml", []byte("a: {token: {$file: gone.txt}, n: x}"))
	if err == nil || cfg == nil {
		t.Fatalf("got %v and %v, want a Config and an error", cfg, err)
	}
	var out struct {
		Token config.Secret `config:"token,required"`
		N     int           `config:"n,required"`
	}
	want := `a.n: expected a number, got "x" (app-config.yaml:1:34)`
	if got := text(cfg.Decode("a", &out)); got != want {
		t.Errorf("decoding reports %q, want %q, as the missing file is reported already", got, want)
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 'b'; i <= 'i'; i++ {
		bomb += string(i) + ": &" + string(i) + " [" + strings.Repeat("*"+string(i-1)+",", 10) + "]\n"
	}
	for _, tt := range []struct{ name, yaml, want string }{
		{"a file is at most 8 MB", "a: " + strings.Repeat("x", 8<<20), "is larger than 8 MB"},
		{"aliases expand to a bounded number of values", bomb, "file has more than 500000 values"},
		{"nesting is bounded", "a: " + strings.Repeat("[", 1000) + strings.Repeat("]", 1000), "nested more than 200 deep"},
		{"an alias cannot contain itself", "a: &a\n  b: *a\n", "alias contains itself"},
		{"a file cannot include itself", "a: {$include: FILE}", "$include cycle"},
		{"files cannot include each other for ever", "a: {$include: loop.yaml}", "$include cycle"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := write(t, map[string]string{
				"app-config.yaml": strings.ReplaceAll(tt.yaml, "FILE", "app-config.yaml"),
				"loop.yaml":       "x: {$include: loop2.yaml}",
				"loop2.yaml":      "y: {$include: loop.yaml}",
			})
			_, err := config.Load(t.Context(), sources(dir, nil, nil))
			if err == nil || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 2000 {
				t.Errorf("error is %.2000q, want %q in it", text(err), tt.want)
			}
		})
	}
}

func TestURLTargets(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/app-config.yaml" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Write([]byte("a: ${X}\n"))
	}))
	t.Cleanup(srv.Close)
	withPassword := strings.Replace(srv.URL, "http://", "http://user:canary-pass@", 1) + "/app-config.yaml?token=canary-query"

	cfg, err := config.Load(t.Context(), config.Sources{
		Files: []string{withPassword}, Environ: []string{"X=1"}, Remote: &config.Remote{Client: srv.Client()},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, _, _ := cfg.String("a"); got != "1" {
		t.Errorf("a is %q", got)
	}
	if want := []string{srv.URL + "/app-config.yaml"}; !slices.Equal(cfg.Files(), want) {
		t.Errorf("files are %v, want %v", cfg.Files(), want)
	}
	_, err = config.Load(t.Context(), config.Sources{Files: []string{withPassword}, Environ: []string{}})
	if want := "reading configuration from URLs is not switched on: set config.Sources.Remote, or name a file"; err == nil ||
		!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") {
		t.Errorf("error is %v", err)
	}
	_, err = config.Load(t.Context(), config.Sources{Files: []string{srv.URL + "/gone"}, Environ: []string{}, Remote: &config.Remote{}})
	if err == nil || !strings.HasSuffix(err.Error(), "/gone: the server answered 404 Not Found") {
		t.Errorf("error is %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = config.Load(ended, config.Sources{Files: []string{withPassword}, Remote: &config.Remote{}}); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("error is %v", err)
	}
}
