package scm

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// extract writes directories and files first and links last: while files are
// written no link of the archive exists that a name could go through. os.Root
// guards against links that were in dir before.
func (t *Tree) extract(ctx context.Context, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	x := extraction{root: root, nodes: map[string]node{}, folded: map[string]string{}, left: t.limits.Total, limits: t.limits}
	for e, err := range t.selected(ctx) {
		if err != nil {
			return err
		}
		if err := x.add(ctx, e); err != nil {
			return err
		}
	}
	var links []string
	for _, name := range x.links {
		written, err := x.link(name)
		if err != nil {
			return err
		}
		if written {
			links = append(links, name)
		} else {
			t.store.log.WarnContext(ctx, "left out of a tree: the link leads outside or nowhere", "path", name, "link", x.nodes[name].link)
		}
	}
	return x.prune(links)
}

// An extraction knows what it has written, because the file system may not tell:
// on one that ignores case, "A" seems to exist after "a" was written.
type extraction struct {
	root   *os.Root
	nodes  map[string]node
	folded map[string]string // folded path → the path that took it
	links  []string
	left   int64
	limits Limits
}

type node struct {
	kind EntryType
	link string
}

func (x *extraction) add(ctx context.Context, e Entry) error {
	if e.Name == "." {
		return nil
	}
	for i := range len(e.Name) {
		if e.Name[i] == '/' {
			if err := x.claim(e.Name[:i], node{kind: Directory}); err != nil {
				return err
			}
		}
	}
	if err := x.claim(e.Name, node{kind: e.Type, link: e.Link}); err != nil {
		return err
	}
	switch e.Type {
	case Directory:
		return x.root.MkdirAll(e.Name, 0o755)
	case Symlink:
		// Its directory exists from now on even if the link is left out: other
		// links may lead to it.
		x.links = append(x.links, e.Name)
		return x.parents(e.Name)
	}
	return x.write(ctx, e)
}

// claim takes a path for a node. Directories may be claimed again, anything else
// only once, and no two paths may fold to the same.
func (x *extraction) claim(name string, n node) error {
	folded := foldName(name)
	holder, taken := x.folded[folded]
	if !taken {
		x.folded[folded] = name
		x.nodes[name] = n
		return nil
	}
	if holder != name {
		return refused(name, "differs only by case from "+holder)
	}
	if old := x.nodes[name]; old.kind != Directory || n.kind != Directory {
		return refused(name, "occurs twice, or both as a directory and as something else")
	}
	return nil
}

// parents makes the directories above name.
func (x *extraction) parents(name string) error {
	if dir := path.Dir(name); dir != "." {
		return x.root.MkdirAll(dir, 0o755)
	}
	return nil
}

func (x *extraction) write(ctx context.Context, e Entry) error {
	if err := x.parents(e.Name); err != nil {
		return err
	}
	content, err := e.Open()
	if err != nil {
		return err
	}
	defer content.Close()
	mode := fs.FileMode(0o644)
	if e.Mode&0o100 != 0 {
		mode = 0o755
	}
	// O_EXCL also refuses to write through a link that was there before.
	file, err := x.root.OpenFile(e.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return apierr.Conflict.New("%s already exists where the tree is to be written", e.Name)
	}
	if err != nil {
		return err
	}
	written, err := copyContext(ctx, file, content, min(x.left, x.limits.File))
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	x.left -= written
	if errors.Is(err, errTooMuch) {
		if x.left <= 0 {
			return exceeded("bytes", x.limits.Total)
		}
		return tooLarge(e.Name, x.limits.File)
	}
	return err
}

var errTooMuch = errors.New("more than the limit")

// copyContext copies at most limit bytes, whatever the archive's header said
// about the size, and stops when ctx is done.
func copyContext(ctx context.Context, w io.Writer, r io.Reader, limit int64) (int64, error) {
	written, err := io.Copy(w, io.LimitReader(contextReader{ctx, r}, limit))
	if err != nil {
		return written, err
	}
	if n, err := io.ReadFull(contextReader{ctx, r}, make([]byte, 1)); n > 0 {
		return written, errTooMuch
	} else if err != io.EOF {
		return written, err
	}
	return written, nil
}

// A contextReader lives as long as one copy, which is why it may hold a context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// link writes a link that resolves within the archive.
func (x *extraction) link(name string) (bool, error) {
	target := x.nodes[name].link
	if !x.resolves(path.Dir(name), target) {
		return false, nil
	}
	if err := x.root.Symlink(target, name); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return false, apierr.Conflict.New("%s already exists where the tree is to be written", name)
		}
		return false, err
	}
	return true, nil
}

// prune is a second opinion: it removes links that os.Root, which follows them
// on the file system, does not find inside the root. A link's directory may have
// been a link before the extraction began. It runs after all links are written,
// since they may lead through each other.
func (x *extraction) prune(written []string) error {
	for _, name := range written {
		if _, err := x.root.Stat(name); err != nil {
			if err := x.root.Remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxLinks is how many links one resolution may follow; kernels allow 40.
const maxLinks = 40

// resolves walks target from dir over the archive's own names, following its
// links component by component as a kernel would. It is false for a target that
// is absolute, climbs out of the root on the way, runs in circles, or does not
// exist: a dangling link is a trap for whoever writes to it later.
func (x *extraction) resolves(dir, target string) bool {
	if target == "" || path.IsAbs(target) || strings.Contains(target, `\`) {
		return false
	}
	var at []string
	if dir != "." {
		at = strings.Split(dir, "/")
	}
	rest := strings.Split(target, "/")
	for followed := 0; len(rest) > 0; {
		element := rest[0]
		rest = rest[1:]
		switch element {
		case "", ".":
			continue
		case "..":
			if len(at) == 0 {
				return false
			}
			at = at[:len(at)-1]
			continue
		}
		n, exists := x.nodes[strings.Join(append(at, element), "/")]
		switch {
		case !exists:
			return false
		case n.kind == Directory:
			at = append(at, element)
		case n.kind == RegularFile:
			return len(rest) == 0
		default:
			if followed++; followed > maxLinks || n.link == "" || path.IsAbs(n.link) {
				return false
			}
			rest = append(strings.Split(n.link, "/"), rest...)
		}
	}
	return true
}
