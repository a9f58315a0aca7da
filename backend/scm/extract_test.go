package scm

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// member is one entry of an archive that a test writes.
type member struct {
	name, content, link string
	kind                byte // of package tar; a regular file if 0
}

func tarGz(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Linkname: m.link, Typeflag: m.kind, Mode: 0o644, Size: int64(len(m.content))}
		if m.kind == 0 {
			h.Typeflag = tar.TypeReg
			if strings.HasSuffix(m.name, "/") {
				h.Typeflag = tar.TypeDir
			}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, m.content)
	}
	w.Close()
	z.Close()
	return b.Bytes()
}

func zipped(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, m := range members {
		h := &zip.FileHeader{Name: m.name, Method: zip.Deflate}
		switch m.kind {
		case tar.TypeSymlink:
			h.SetMode(fs.ModeSymlink | 0o777)
			m.content = m.link
		case tar.TypeChar:
			h.SetMode(fs.ModeDevice | fs.ModeCharDevice | 0o666)
		default:
			h.SetMode(0o644)
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(f, m.content)
	}
	w.Close()
	return b.Bytes()
}

func quietStore(t testing.TB, l Limits) *TreeStore {
	t.Helper()
	return newTreeStore(t.TempDir(), l, slog.New(slog.DiscardHandler))
}

// extractTar extracts into a directory that has a neighbour, and returns what is
// there afterwards as "path" or "path -> link".
func extractTar(t testing.TB, store *TreeStore, members ...member) ([]string, error) {
	t.Helper()
	tree, err := store.FromTarGz(t.Context(), bytes.NewReader(tarGz(t, members...)), "", "", false, TreeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	return extractTree(t, tree)
}

func extractTree(t testing.TB, tree *Tree) ([]string, error) {
	t.Helper()
	parent := t.TempDir()
	dir := filepath.Join(parent, "into")
	if err := os.WriteFile(filepath.Join(parent, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := tree.Extract(t.Context(), dir)
	if content, _ := os.ReadFile(filepath.Join(parent, "secret")); string(content) != "secret" {
		t.Errorf("the neighbour was changed to %q", content)
	}
	if entries, _ := os.ReadDir(parent); len(entries) != 2 {
		t.Errorf("the extraction left its directory: %v", entries)
	}
	var found []string
	filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, p)
		if link, err := os.Readlink(p); err == nil {
			found = append(found, rel+" -> "+link)
			if real, err := filepath.EvalSymlinks(p); err != nil || !strings.HasPrefix(real+"/", dir+"/") {
				t.Errorf("link %s leads to %q, %v", rel, real, err)
			}
		} else if d != nil && !d.IsDir() {
			found = append(found, rel)
		}
		return nil
	})
	return found, err
}

// SEC-21: what no honest archive holds is refused; links outside are left out.
func TestSEC21_ArchivesCannotLeaveTheirDirectory(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		members []member
		want    string // what is there, or
		wantErr string
	}{
		{name: "an honest archive", members: []member{{name: "./a/"}, {name: "./a/b.txt", content: "b"}, {name: "c.txt"}}, want: "a/b.txt c.txt"},
		{name: "climbing name", members: []member{{name: "../secret", content: "x"}}, wantErr: `has ".." in its name`},
		{name: "climbing name inside", members: []member{{name: "a/../../secret", content: "x"}}, wantErr: `has ".." in its name`},
		{name: "absolute name", members: []member{{name: "/tmp/callboard-secret", content: "x"}}, wantErr: "absolute name"},
		{name: "backslashes", members: []member{{name: `..\secret`, content: "x"}}, wantErr: "backslash"},
		{name: "drive", members: []member{{name: "C:/secret", content: "x"}}, wantErr: "drive"},
		{name: "control character", members: []member{{name: "a\nb", content: "x"}}, wantErr: "control character"},
		{name: "hard link", members: []member{{name: "h", link: "../secret", kind: tar.TypeLink}}, wantErr: "hard link or a device"},
		{name: "device", members: []member{{name: "null", kind: tar.TypeChar}}, wantErr: "hard link or a device"},
		{name: "named pipe", members: []member{{name: "pipe", kind: tar.TypeFifo}}, wantErr: "hard link or a device"},
		{name: "link outside", members: []member{{name: "l", link: "../secret", kind: tar.TypeSymlink}, {name: "f"}}, want: "f"},
		{name: "absolute link", members: []member{{name: "l", link: "/etc/passwd", kind: tar.TypeSymlink}, {name: "f"}}, want: "f"},
		{name: "link inside", members: []member{{name: "d/l", link: "../f", kind: tar.TypeSymlink}, {name: "f"}}, want: "d/l -> ../f f"},
		{name: "link to a directory", members: []member{{name: "l", link: "d", kind: tar.TypeSymlink}, {name: "d/f"}}, want: "d/f l -> d"},
		{name: "link to itself", members: []member{{name: "l", link: "l", kind: tar.TypeSymlink}, {name: "f"}}, want: "f"},
		{name: "file through a link", members: []member{{name: "l", link: "..", kind: tar.TypeSymlink}, {name: "l/secret", content: "x"}}, wantErr: "occurs twice"},
		{name: "file replaced by a link", members: []member{{name: "f"}, {name: "f", link: "..", kind: tar.TypeSymlink}}, wantErr: "occurs twice"},
	} {
		found, err := extractTar(t, quietStore(t, Limits{}), tt.members...)
		if tt.wantErr != "" {
			if err == nil || !errors.Is(err, apierr.Input) || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("%s: %v, want error with %q", tt.name, err, tt.wantErr)
			}
		} else if got := strings.Join(found, " "); err != nil || got != tt.want {
			t.Errorf("%s: %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
	for _, tt := range []struct {
		member  member
		wantErr string
	}{
		{member{name: "../secret", content: "x"}, `has ".."`},
		{member{name: "null", kind: tar.TypeChar}, "hard link or a device"},
	} {
		tree, err := quietStore(t, Limits{}).FromZip(t.Context(), bytes.NewReader(zipped(t, tt.member)), "", "", false, TreeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := extractTree(t, tree); err == nil || !strings.Contains(err.Error(), tt.wantErr) {
			t.Errorf("zip with %+v: %v", tt.member, err)
		}
		tree.Close()
	}
}

// SEC-22: each link of a chain looks harmless alone.
func TestSEC22_ChainsAndDanglingLinksAreLeftOut(t *testing.T) {
	t.Parallel()
	link := func(name, target string) member { return member{name: name, link: target, kind: tar.TypeSymlink} }
	for _, tt := range []struct {
		name    string
		members []member
		want    string
	}{
		{"a chain of three that ends outside", []member{link("a", "b"), link("b", "c"), link("c", "../secret"), {name: "f"}}, "f"},
		{"a chain of three that ends inside", []member{link("a", "b"), link("b", "c"), link("c", "f"), {name: "f"}}, "a -> b b -> c c -> f f"},
		{"dot-dot through a link", []member{{name: "p/q/f"}, link("p/q/up", "../.."), link("x", "p/q/up/../secret")}, "p/q/f p/q/up -> ../.."},
		{"a dangling link that a later write would follow", []member{link("config", "not-there-yet"), {name: "f"}}, "f"},
		{"a dangling link into a directory", []member{link("d/l", "e/g"), {name: "d/e/f"}}, "d/e/f"},
		{"a link through a file", []member{link("l", "f/x"), {name: "f"}}, "f"},
		{"two links in a circle", []member{link("a", "b"), link("b", "a"), {name: "f"}}, "f"},
	} {
		found, err := extractTar(t, quietStore(t, Limits{}), tt.members...)
		if got := strings.Join(found, " "); err != nil || got != tt.want {
			t.Errorf("%s: %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}

	// A dangling link that was there before is not written through.
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "new")
	if err := os.Symlink(outside, filepath.Join(dir, "f")); err != nil {
		t.Fatal(err)
	}
	tree, err := quietStore(t, Limits{}).FromTarGz(t.Context(), bytes.NewReader(tarGz(t, member{name: "f", content: "x"})), "", "", false, TreeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	if _, err := tree.Extract(t.Context(), dir); !errors.Is(err, apierr.Conflict) {
		t.Errorf("write through a dangling link: %v", err)
	}
	// Nor is a directory that leads outside.
	dir = t.TempDir()
	if err := os.Symlink(filepath.Dir(outside), filepath.Join(dir, "d")); err != nil {
		t.Fatal(err)
	}
	deep, err := quietStore(t, Limits{}).FromTarGz(t.Context(), bytes.NewReader(tarGz(t, member{name: "d/new", content: "x"})), "", "", false, TreeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer deep.Close()
	if _, err := deep.Extract(t.Context(), dir); err == nil {
		t.Error("wrote through a link to another directory")
	}
	if _, err := os.Lstat(outside); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s exists: %v", outside, err)
	}
}

// SEC-49: names of objects are not names of files.
func TestSEC49_ObjectNamesCollideWithNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		keys    []string
		want    string
		wantErr string
	}{
		{keys: []string{"a", "a/b"}, wantErr: "both as a directory and as something else"},
		{keys: []string{"a/b", "a"}, wantErr: "both as a directory and as something else"},
		{keys: []string{"a", "a"}, wantErr: "occurs twice"},
		{keys: []string{"README.md", "readme.MD"}, wantErr: "differs only by case from README.md"},
		{keys: []string{"Dir/a", "dir/b"}, wantErr: "differs only by case from Dir"},
		{keys: []string{"straße", "STRASSE"}, wantErr: "differs only by case"},
		{keys: []string{"é", "e\u0301"}, wantErr: "differs only by case"},
		{keys: []string{".git/config", ".GIT/hooks/post-checkout", "sub/.git/config", ".git", ".g\u200dit/config", ".git /x", "git~1/config", ".git::$INDEX_ALLOCATION/x", "ok"}, want: "ok"},
		{keys: []string{".gitignore", ".gitattributes", ".github/workflows/x", "a.git/x"}, want: ".gitattributes .github/workflows/x .gitignore a.git/x"},
		{keys: []string{"../x"}, wantErr: `".."`},
		{keys: []string{"/x"}, wantErr: "absolute"},
		{keys: []string{"a//../../x"}, wantErr: `".."`},
		{keys: []string{"%2e%2e/x"}, want: "%2e%2e/x"}, // a strange name, but only a name
	} {
		tree := quietStore(t, Limits{}).FromEntries("", "", TreeOptions{}, objects(tt.keys...))
		found, err := extractTree(t, tree)
		if tt.wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("%q: %v, want error with %q", tt.keys, err, tt.wantErr)
			}
		} else if got := strings.Join(found, " "); err != nil || got != tt.want {
			t.Errorf("%q: %q, %v, want %q", tt.keys, got, err, tt.want)
		}
	}
}

func objects(keys ...string) func(context.Context) iter.Seq2[Entry, error] {
	return func(context.Context) iter.Seq2[Entry, error] {
		return func(yield func(Entry, error) bool) {
			for _, k := range keys {
				e := Entry{Name: k, Size: int64(len(k)), Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(k)), nil }}
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

func TestTreeLimits(t *testing.T) {
	t.Parallel()
	big := member{name: "big", content: strings.Repeat("x", 1000)}
	for _, tt := range []struct {
		limits  Limits
		members []member
		wantErr string
	}{
		{Limits{File: 999}, []member{big}, "larger than the limit of 999 bytes"},
		{Limits{Total: 1500}, []member{big, {name: "b2", content: big.content}}, "more than 1500 bytes"},
		{Limits{Entries: 2}, []member{{name: "a"}, {name: "b"}, {name: "c"}}, "more than 2 entries"},
		{Limits{Depth: 3}, []member{{name: "a/b/c/d"}}, "too deep"},
	} {
		if _, err := extractTar(t, quietStore(t, tt.limits), tt.members...); err == nil || !strings.Contains(err.Error(), tt.wantErr) {
			t.Errorf("%+v: %v, want error with %q", tt.limits, err, tt.wantErr)
		}
	}
	store := quietStore(t, Limits{Archive: 100})
	if _, err := store.FromTarGz(t.Context(), strings.NewReader(strings.Repeat("x", 101)), "", "", false, TreeOptions{}); err == nil || !strings.Contains(err.Error(), "limit of 100 bytes") {
		t.Errorf("long archive: %v", err)
	}
	if left, _ := os.ReadDir(store.dir); len(left) != 0 {
		t.Errorf("left in the working directory: %v", left)
	}
	// An entry that has more than it says: the content counts.
	liar := func(context.Context) iter.Seq2[Entry, error] {
		return func(yield func(Entry, error) bool) {
			yield(Entry{Name: "f", Size: 1, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(big.content)), nil }}, nil)
		}
	}
	if _, err := extractTree(t, quietStore(t, Limits{File: 10}).FromEntries("", "", TreeOptions{}, liar)); err == nil || !strings.Contains(err.Error(), "limit of 10 bytes") {
		t.Errorf("lying entry: %v", err)
	}
}

func TestTree(t *testing.T) {
	t.Parallel()
	store := quietStore(t, Limits{})
	members := []member{
		{name: "pax", kind: tar.TypeXGlobalHeader}, {name: "shop-abc123/"}, {name: "shop-abc123/README.md", content: "read me"},
		{name: "shop-abc123/docs/a.md", content: "a"}, {name: "shop-abc123/docs/deep/b.md", content: "b"}, {name: "shop-abc123/docs-old/c.md", content: "c"},
		{name: "shop-abc123/docs/l", link: "a.md", kind: tar.TypeSymlink},
	}
	open := func(sub string, filter func(string, int64) bool) *Tree {
		tree, err := store.FromTarGz(t.Context(), bytes.NewReader(tarGz(t, members[1:]...)), "sha", sub, true, TreeOptions{Filter: filter})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { tree.Close() })
		return tree
	}
	list := func(tree *Tree) string {
		var out []string
		for f, err := range tree.Files(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			content, _ := io.ReadAll(r)
			out = append(out, f.Path+"="+string(content))
		}
		return strings.Join(out, " ")
	}
	if got := list(open("", nil)); got != "README.md=read me docs/a.md=a docs/deep/b.md=b docs-old/c.md=c" {
		t.Errorf("whole tree: %s", got)
	}
	docs := open("docs/", nil)
	for range 2 { // a tree may be used again
		if got := list(docs); got != "a.md=a deep/b.md=b" {
			t.Errorf("docs: %s", got)
		}
	}
	if got := list(open("docs/a.md", nil)); got != "a.md=a" {
		t.Errorf("one file: %s", got)
	}
	if got := list(open("", func(p string, size int64) bool {
		return path.Ext(p) == ".md" && size == 1 && !strings.HasPrefix(p, "docs-")
	})); got != "docs/a.md=a docs/deep/b.md=b" {
		t.Errorf("filtered: %s", got)
	}
	dir, err := docs.Extract(t.Context(), "")
	if err != nil || !strings.HasPrefix(filepath.Base(dir), "backstage-") || filepath.Dir(dir) != store.dir {
		t.Errorf("Extract to a new directory: %s, %v", dir, err)
	}
	if content, err := os.ReadFile(filepath.Join(dir, "l")); string(content) != "a" {
		t.Errorf("link: %q, %v", content, err)
	}
	if _, err := docs.Extract(t.Context(), dir); !errors.Is(err, apierr.Conflict) {
		t.Errorf("Extract over existing files: %v", err)
	}
	var archive bytes.Buffer
	if err := docs.Archive(t.Context(), &archive); err != nil {
		t.Fatal(err)
	}
	again, err := store.FromTarGz(t.Context(), &archive, "", "", false, TreeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if got := list(again); got != "a.md=a deep/b.md=b" {
		t.Errorf("archive: %s", got)
	}
	zipTree, err := store.FromZip(t.Context(), bytes.NewReader(zipped(t, member{name: "top/x", content: "y"}, member{name: "top/l", link: "x", kind: tar.TypeSymlink})), "", "", true, TreeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer zipTree.Close()
	if found, err := extractTree(t, zipTree); err != nil || strings.Join(found, " ") != "l -> x x" {
		t.Errorf("zip: %v, %v", found, err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := docs.Extract(cancelled, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := errors.Join(docs.Close(), docs.Close()); err != nil {
		t.Errorf("close twice: %v", err)
	}
}

// Property: whatever tree of files and links an archive holds, everything that
// is written stays inside, and every link that is written leads to something.
func TestExtractRandomLinkTrees(t *testing.T) {
	t.Parallel()
	elements := []string{"a", "b", "c", "d"}
	for seed := range uint64(150) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		pick := func() string { return elements[rnd.IntN(len(elements))] }
		var members []member
		used := map[string]bool{}
		for range 2 + rnd.IntN(12) {
			var parts []string
			for range 1 + rnd.IntN(3) {
				parts = append(parts, pick())
			}
			name := strings.Join(parts, "/")
			if used[name] || slices.ContainsFunc(members, func(m member) bool {
				return strings.HasPrefix(name, m.name+"/") || strings.HasPrefix(m.name, name+"/")
			}) {
				continue // collisions have tests of their own
			}
			used[name] = true
			if rnd.IntN(3) == 0 {
				members = append(members, member{name: name, content: "x"})
				continue
			}
			var target []string
			for range 1 + rnd.IntN(4) {
				target = append(target, []string{"..", "..", ".", pick(), pick(), "secret"}[rnd.IntN(6)])
			}
			link := strings.Join(target, "/")
			if rnd.IntN(10) == 0 {
				link = "/" + link
			}
			members = append(members, member{name: name, link: link, kind: tar.TypeSymlink})
		}
		// extractTree fails the test for every link that leads outside or nowhere.
		if _, err := extractTar(t, quietStore(t, Limits{}), members...); err != nil {
			t.Fatalf("seed %d: %v\n%+v", seed, err, members)
		}
	}
}

func FuzzExtract(f *testing.F) {
	f.Add(tarGz(f, member{name: "a/b", content: "x"}, member{name: "l", link: "a/../../x", kind: tar.TypeSymlink}))
	f.Add(tarGz(f, member{name: "../x"}))
	f.Add(zipped(f, member{name: "a/b", content: "x"}, member{name: "l", link: "a", kind: tar.TypeSymlink}))
	f.Add([]byte("no archive"))
	f.Fuzz(func(t *testing.T, data []byte) {
		store := quietStore(t, Limits{Total: 1 << 20, Entries: 100})
		for _, open := range []func(context.Context, io.Reader, string, string, bool, TreeOptions) (*Tree, error){store.FromTarGz, store.FromZip} {
			tree, err := open(t.Context(), bytes.NewReader(data), "", "", false, TreeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			extractTree(t, tree) // reports whatever is outside
			tree.Close()
		}
	})
}

func BenchmarkExtract(b *testing.B) {
	var members []member
	for i := range 1000 {
		members = append(members, member{name: fmt.Sprintf("d%d/f%d", i%50, i), content: strings.Repeat("x", 1000)})
	}
	data := tarGz(b, members...)
	for b.Loop() {
		tree, err := quietStore(b, Limits{}).FromTarGz(b.Context(), bytes.NewReader(data), "", "", false, TreeOptions{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := tree.Extract(b.Context(), ""); err != nil {
			b.Fatal(err)
		}
		tree.Close()
	}
}
