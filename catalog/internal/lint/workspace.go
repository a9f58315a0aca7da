package lint

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/scm"
)

// workspace reads URLs of the repository from the directory that it is checked out in.
// Symbolic links that lead out of it are refused by os.Root. Other hosts are read by
// next; without one, they have files with nothing in them.
type workspace struct {
	root  *os.Root
	base  string
	place scm.Place // of base, if an integration knows it
	known bool
	hosts *scm.Integrations
	next  scm.Reader

	mu      sync.Mutex
	skipped map[string]bool
}

var _ scm.Reader = (*workspace)(nil)

func openWorkspace(o Options) (*workspace, error) {
	root, err := os.OpenRoot(o.Root)
	if err != nil {
		return nil, err
	}
	w := &workspace{root: root, base: o.Base, hosts: o.Integrations, next: o.Online, skipped: map[string]bool{}}
	if host, ok := o.Integrations.For(o.Base); ok {
		if w.place, err = host.Parse(o.Base); err != nil {
			root.Close()
			return nil, err
		}
		w.known = true
	}
	return w, nil
}

// local is the path of a URL in the workspace.
func (w *workspace) local(rawURL string) (name string, ok bool) {
	target, _, _ := strings.Cut(rawURL, "#")
	target, _, _ = strings.Cut(target, "?")
	if rest, found := strings.CutPrefix(target, w.base); found {
		name, err := url.PathUnescape(rest)
		return name, err == nil && name != "" && !strings.ContainsAny(name, "\x00\\") && fs.ValidPath(path.Clean(name))
	}
	if !w.known {
		return "", false
	}
	host, ok := w.hosts.For(rawURL)
	if !ok {
		return "", false
	}
	p, err := host.Parse(rawURL)
	if err != nil || !strings.EqualFold(p.Repository, w.place.Repository) || p.Ref != w.place.Ref {
		return "", false
	}
	if same, comparable := w.hosts.SameRepository(w.base, rawURL); !comparable || !same {
		return "", false
	}
	name, ok = strings.CutPrefix(p.Path, w.place.Path)
	name = strings.TrimPrefix(name, "/")
	return name, ok && name != "" && fs.ValidPath(path.Clean(name))
}

// skip notes what is not read.
func (w *workspace) skip(rawURL string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.skipped[rawURL] = true
}

func (w *workspace) notRead() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for u := range w.skipped {
		out = append(out, u)
	}
	slices.Sort(out)
	return out
}

// unreadContent is what stands for a file of another host: as text, as JSON and as YAML it
// is something.
const unreadContent = "{}"

// ReadURL reads a file.
func (w *workspace) ReadURL(ctx context.Context, rawURL string, opts scm.ReadOptions) (*scm.Response, error) {
	name, ok := w.local(rawURL)
	switch {
	case ok:
		content, err := w.read(name, opts.MaxBytes)
		if err != nil {
			return nil, err
		}
		return scm.NewResponse(name, "", time.Time{}, io.NopCloser(bytes.NewReader(content)), opts.MaxBytes), nil
	case w.next != nil:
		return w.next.ReadURL(ctx, rawURL, opts)
	}
	w.skip(rawURL)
	return scm.NewResponse(rawURL, "", time.Time{}, io.NopCloser(strings.NewReader(unreadContent)), opts.MaxBytes), nil
}

func (w *workspace) read(name string, limit int64) ([]byte, error) {
	f, err := w.root.Open(path.Clean(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, apierr.NotFound.New("%s: no such file", name)
	}
	if err != nil {
		return nil, apierr.Input.New("%s cannot be read: %v", name, unwrapPath(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, apierr.Input.New("%s cannot be read: %v", name, unwrapPath(err))
	}
	if !info.Mode().IsRegular() {
		return nil, apierr.Input.New("%s cannot be read: it is no regular file", name)
	}
	if limit <= 0 {
		limit = scm.DefaultMaxBytes
	}
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, apierr.Input.New("%s cannot be read: %v", name, unwrapPath(err))
	}
	if int64(len(content)) > limit {
		return nil, apierr.Input.New("%s is larger than the limit of %d bytes", name, limit)
	}
	return content, nil
}

// ReadTree is not needed by anything that processes entities.
func (w *workspace) ReadTree(context.Context, string, scm.TreeOptions) (*scm.Tree, error) {
	return nil, apierr.NotImplemented.New("trees are not read while files are checked")
}

// Search finds the files of a glob.
func (w *workspace) Search(ctx context.Context, rawURL string, opts scm.SearchOptions) (*scm.SearchResult, error) {
	name, ok := w.local(rawURL)
	switch {
	case !ok && w.next != nil:
		return w.next.Search(ctx, rawURL, opts)
	case !ok:
		w.skip(rawURL)
		empty := scm.NewSearchFile(rawURL, time.Time{}, func(context.Context) ([]byte, error) { return nil, nil })
		return &scm.SearchResult{Files: []scm.SearchFile{empty}}, nil
	case !strings.ContainsAny(name, "*?{["):
		return scm.SearchOne(ctx, w, rawURL, opts)
	}
	names, err := doublestar.Glob(w.root.FS(), path.Clean(name), doublestar.WithFilesOnly())
	if err != nil {
		return nil, apierr.Input.New("%s is no valid glob", name)
	}
	slices.Sort(names)
	// What the glob stands for is written in the form of the searched URL.
	prefix := rawURL[:len(rawURL)-len(tail(rawURL, name))]
	out := &scm.SearchResult{}
	for _, n := range names {
		out.Files = append(out.Files, scm.NewSearchFile(prefix+(&url.URL{Path: n}).EscapedPath(), time.Time{}, func(context.Context) ([]byte, error) {
			return w.read(n, opts.MaxBytes)
		}))
	}
	return out, nil
}

// tail is the end of rawURL that names a file of the workspace.
func tail(rawURL, name string) string {
	slashes := strings.Count(name, "/") + 1
	rest := rawURL
	for range slashes {
		rest = rest[:max(strings.LastIndexByte(rest, '/'), 0)]
	}
	return strings.TrimPrefix(rawURL[len(rest):], "/")
}

// unwrapPath drops the path that package os repeats in its errors.
func unwrapPath(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
