package catalog_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/catalog/entity"
)

// site serves files, and counts nothing: what must not be read is not there to be read.
func site(t *testing.T, files map[string]string) (base, host string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, ok := files[strings.TrimPrefix(r.URL.Path, "/")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, content)
	}))
	t.Cleanup(s.Close)
	return s.URL, strings.TrimPrefix(s.URL, "http://")
}

const canary = "canary-7f3a"

func component(name, more string) string {
	return "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: " + name + "}\nspec: {type: service, lifecycle: production, owner: team" + more + "}\n"
}

func locationOf(name, spec string) string {
	return "apiVersion: backstage.io/v1alpha1\nkind: Location\nmetadata: {name: " + name + "}\nspec: {" + spec + "}\n"
}

func document(docs ...string) string { return strings.Join(docs, "---\n") }

func statusOf(e entity.Entity) string {
	items, _ := e.Get("status", "items")
	return fmt.Sprint(items)
}

// TestSEC51_FilesAreNotReadOnBehalfOfURLs: a Location of a URL cannot make the catalog
// read files of its own machine, however it says so.
func TestSEC51_FilesAreNotReadOnBehalfOfURLs(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret.yaml")
	if err := os.WriteFile(secret, []byte(component(canary, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"root.yaml": document(
			locationOf("plain", "type: file, targets: ['"+secret+"', ./ok.yaml]"),
			locationOf("case", "type: File, target: '"+secret+"'"),
			locationOf("scheme", "targets: ['file://"+secret+"']"),
			locationOf("mixed", "type: url, targets: ['file:"+secret+"', ./ok.yaml]"),
			strings.Replace(locationOf("annotated", "type: file, target: '"+secret+"'"), "{name: annotated}",
				"{name: annotated, annotations: {backstage.io/managed-by-location: 'file:/etc/x.yaml', backstage.io/managed-by-origin-location: 'file:/etc/x.yaml'}}", 1),
			locationOf("honest", "target: ./ok.yaml"),
		),
		"ok.yaml": component("ok", ""),
	}
	base, host := site(t, files)
	r := start(t, `  reading: {allow: [{host: "`+host+`"}]}
catalog:
  locations: [{type: url, target: "`+base+`/root.yaml"}]
`)
	got := r.until("everything", has("component:default/ok", "location:default/honest", "location:default/mixed"))
	for ref, e := range got {
		if strings.Contains(ref, canary) {
			t.Errorf("%s was read", ref)
		}
		if strings.Contains(statusOf(e), canary) {
			t.Errorf("the errors of %s tell what is in the file: %s", ref, statusOf(e))
		}
	}
}

// TestSEC53_PlaceholdersStayBelowTheConfiguredDirectory: for files. The test of URLs is
// TestSEC53_PlaceholdersStayInTheirRepository.
func TestSEC53_PlaceholdersStayBelowTheConfiguredDirectory(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	inside := filepath.Join(outside, "repo")
	for name, content := range map[string]string{
		"secret.txt": canary, "repo/sub/near.txt": "near", "repo/root.txt": "root",
	} {
		full := filepath.Join(outside, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(outside, "secret.txt"), filepath.Join(inside, "link.txt")); err != nil {
		t.Fatal(err)
	}
	refs := map[string]string{
		"up":       "../../secret.txt",
		"absolute": filepath.Join(outside, "secret.txt"),
		"scheme":   "file://" + filepath.Join(outside, "secret.txt"),
		"link":     "/link.txt",
		"encoded":  "..%2f..%2fsecret.txt",
		"script":   "javascript:alert(1)",
		"near":     "./near.txt",
		"root":     "/root.txt",
		"parent":   "../root.txt",
	}
	var docs []string
	for name, ref := range refs {
		docs = append(docs, component(name, ", text: {$text: '"+ref+"'}"))
	}
	if err := os.WriteFile(filepath.Join(inside, "sub", "catalog-info.yaml"), []byte(document(docs...)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(inside, "root.yaml"), []byte(locationOf("root", "target: ./sub/catalog-info.yaml")), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, `catalog:
  locations:
    - {type: file, target: "`+filepath.Join(inside, "root.yaml")+`"}
`)
	r.until("what may be read", has("component:default/near", "component:default/root", "component:default/parent"))
	got := r.until("the others to fail", func(map[string]entity.Entity) bool {
		return r.count(`SELECT count(*) FROM refresh_state WHERE errors IS NOT NULL`) == 6
	})
	for name, want := range map[string]string{"near": "near", "root": "root", "parent": "root"} {
		if text := got["component:default/"+name].SpecString("text"); text != want {
			t.Errorf("%s: got %q, want %q", refs[name], text, want)
		}
	}
	for ref, e := range got {
		if data, _ := e.MarshalStable(); strings.Contains(string(data), canary) {
			t.Errorf("%s has what is outside: %s", ref, data)
		}
	}
	for _, name := range []string{"up", "absolute", "scheme", "link", "encoded", "script"} {
		if _, ok := got["component:default/"+name]; ok {
			t.Errorf("%s: the entity is served", refs[name])
		}
	}
}
