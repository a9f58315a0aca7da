package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"golang.org/x/sync/errgroup"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/scm"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// fileReader reads locations of type file, whose target may be a glob. The engine
// lets files be read only on behalf of the configuration, and of other files.
type fileReader struct{ limit int64 }

var _ LocationReader = (*fileReader)(nil)

func (*fileReader) ProcessorName() string { return "FileReaderProcessor" }

func (r *fileReader) ReadLocation(ctx context.Context, loc entity.Location, emit Emit) (bool, error) {
	if loc.Type != "file" {
		return false, nil
	}
	run := RunOf(ctx)
	emit(RefreshOn(loc.String()))
	names, err := expand(loc.Target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if run.Optional() {
			return true, nil
		}
		return true, apierr.NotFound.New("%s: no such file", loc.Target)
	case err != nil:
		return true, err
	}
	files := make([]foundFile, len(names))
	for i, name := range names {
		content, err := r.read(name)
		if err != nil {
			return true, err
		}
		at := entity.Location{Type: "file", Target: name}
		emit(RefreshOn(at.String()))
		files[i] = foundFile{at, content}
	}
	emitFiles(run, emit, files, "")
	return true, nil
}

// expand lists the files that a target names. A glob may match nothing, but the
// directory that it starts in has to be there: it may be a volume that is not mounted.
func expand(target string) ([]string, error) {
	if !hasMeta(target) {
		return []string{target}, nil
	}
	dir, pattern := doublestar.SplitPattern(filepath.ToSlash(target))
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	matches, err := doublestar.Glob(os.DirFS(dir), pattern, doublestar.WithFilesOnly(), doublestar.WithFailOnIOErrors())
	if errors.Is(err, doublestar.ErrBadPattern) {
		return nil, apierr.Input.New("%s is no valid glob", target)
	}
	for i, m := range matches {
		matches[i] = filepath.Join(dir, filepath.FromSlash(m))
	}
	slices.Sort(matches)
	return matches, err
}

func hasMeta(target string) bool { return strings.ContainsAny(target, "*?{[") }

func (r *fileReader) read(name string) ([]byte, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, apierr.NotFound.New("%s: no such file", name)
	}
	if err != nil {
		return nil, apierr.Input.New("%s cannot be read: %v", name, unwrapPath(err))
	}
	defer f.Close()
	content, err := readLimited(f, r.limit)
	if err != nil {
		return nil, apierr.Input.New("%s cannot be read: %v", name, unwrapPath(err))
	}
	return content, nil
}

// foundFile is a file that a reader found.
type foundFile struct {
	at      entity.Location
	content []byte
}

// Versions have a letter in front: what a host called the state, or a digest of the
// contents where nobody names it.
const (
	versionETag   = "E"
	versionDigest = "S"
)

// emitFiles parses files, unless they are what they were in the run before.
func emitFiles(run Run, emit Emit, files []foundFile, etag string) {
	version := versionETag + etag
	if etag == "" {
		version = versionDigest + digestOf(files)
		if version == run.Version() {
			emit(Unchanged())
			return
		}
	}
	emit(AtVersion(version))
	for _, f := range files {
		run.Parse(f.at, f.content)
	}
}

func digestOf(files []foundFile) string {
	h := sha256.New()
	for _, f := range files {
		h.Write([]byte(f.at.String() + "\x00"))
		sum := sha256.Sum256(f.content)
		h.Write(sum[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// urlReader reads locations of type url, whose path may be a glob.
type urlReader struct {
	reader scm.Reader
	limit  int64
}

var _ LocationReader = (*urlReader)(nil)

func (*urlReader) ProcessorName() string { return "url-reader" }

// concurrentReads is how many files of one glob are read at once.
const concurrentReads = 5

func (r *urlReader) ReadLocation(ctx context.Context, loc entity.Location, emit Emit) (bool, error) {
	if loc.Type != "url" {
		return false, nil
	}
	run := RunOf(ctx)
	emit(RefreshOn(loc.String()))
	etag, _ := strings.CutPrefix(run.Version(), versionETag)
	if !strings.HasPrefix(run.Version(), versionETag) {
		etag = ""
	}
	result, err := r.reader.Search(ctx, loc.Target, scm.SearchOptions{ETag: etag, MaxBytes: r.limit})
	switch {
	case errors.Is(err, apierr.NotModified) && etag != "":
		emit(Unchanged())
		return true, nil
	case errors.Is(err, apierr.NotFound):
		return true, r.missing(run, loc)
	case err != nil:
		return true, err
	}
	defer result.Close()
	if len(result.Files) == 0 && !hasMeta(loc.Target) {
		return true, r.missing(run, loc)
	}
	files, err := readAll(ctx, result.Files)
	if err != nil {
		return true, err
	}
	emitFiles(run, emit, files, result.ETag)
	return true, nil
}

func (r *urlReader) missing(run Run, loc entity.Location) error {
	if run.Optional() {
		return nil
	}
	return apierr.NotFound.New("%s was not found", loc.Target)
}

func readAll(ctx context.Context, found []scm.SearchFile) ([]foundFile, error) {
	out := make([]foundFile, len(found))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrentReads)
	for i, f := range found {
		group.Go(func() error {
			content, err := f.Content(ctx)
			out[i] = foundFile{entity.Location{Type: "url", Target: f.URL}, content}
			return err
		})
	}
	return out, group.Wait()
}
