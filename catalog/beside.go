package catalog

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/scm"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// maxBeside bounds what a placeholder pulls into an entity.
const maxBeside = 10 << 20

// beside reads what an entity refers to, within the bounds of where it comes from
// (contract catalog.md, 3.8; SEC-53).
type beside struct {
	reader       scm.Reader
	integrations *scm.Integrations
}

// read returns the content of ref as seen from base, its address, and the refresh key
// for it.
func (b *beside) read(ctx context.Context, base, origin entity.Location, ref string) (content []byte, loc entity.Location, err error) {
	if u, err := url.Parse(ref); err == nil && u.IsAbs() {
		if u.Scheme != "http" && u.Scheme != "https" {
			return nil, loc, apierr.Input.New("%q cannot be referred to: expected a path or an http(s) URL", ref)
		}
	} else if base.Type == "file" {
		return readFileBeside(base, origin, ref)
	} else if base.Type != "url" {
		return nil, loc, apierr.Input.New("%q cannot be resolved against a location of type %s", ref, base.Type)
	}
	target := ref
	if base.Type == "url" {
		if target, err = b.integrations.ResolveURL(base.Target, ref); err != nil {
			return nil, loc, err
		}
		if same, comparable := b.integrations.SameRepository(base.Target, target); comparable && !same {
			return nil, loc, apierr.NotAllowed.New("%s is in another repository than %s, and cannot be referred to from there", target, base.Target)
		}
	}
	loc = entity.Location{Type: "url", Target: target}
	response, err := b.reader.ReadURL(ctx, target, scm.ReadOptions{MaxBytes: maxBeside})
	if err != nil {
		return nil, loc, err
	}
	content, err = response.Bytes()
	return content, loc, err
}

// readFileBeside reads below the directory of the configured location. Symbolic links
// that lead out of it are refused by os.Root.
func readFileBeside(base, origin entity.Location, ref string) ([]byte, entity.Location, error) {
	dir := filepath.Dir(base.Target)
	root := dir
	if origin.Type == "file" {
		// A glob's directory is what comes before its first meta character.
		configured, _ := doublestar.SplitPattern(filepath.ToSlash(origin.Target))
		configured = filepath.FromSlash(configured)
		if rel, err := filepath.Rel(configured, dir); err == nil && (rel == "." || filepath.IsLocal(rel)) {
			root = configured
		}
	}
	full := filepath.Join(dir, filepath.FromSlash(ref))
	if strings.HasPrefix(ref, "/") {
		full = filepath.Join(root, filepath.FromSlash(ref))
	}
	loc := entity.Location{Type: "file", Target: full}
	rel, err := filepath.Rel(root, full)
	if err != nil || !filepath.IsLocal(rel) {
		return nil, loc, apierr.NotAllowed.New("%q leads out of %s, where the location %s was configured", ref, root, origin)
	}
	content, err := readInRoot(root, rel, maxBeside)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, loc, apierr.NotFound.New("%s: no such file", full)
	case err != nil:
		return nil, loc, apierr.Input.New("%s cannot be read: %v", full, unwrapPath(err))
	}
	return content, loc, nil
}

func readInRoot(dir, name string, limit int64) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readLimited(f, limit)
}

func readLimited(f *os.File, limit int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
	}
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = apierr.Input.New("it is larger than the limit of %d bytes", limit)
	}
	return content, err
}

// unwrapPath drops the path that package os repeats in its errors.
func unwrapPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
