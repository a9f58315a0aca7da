package scm

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"strings"
	"time"
)

// TreeOptions are the options of ReadTree.
type TreeOptions struct {
	// ETag is what the last tree had.
	ETag string
	// Filter leaves out files for which it returns false; all are kept if nil.
	// The path is relative to the tree, the size in bytes.
	Filter func(path string, size int64) bool
	// Token replaces the integration's credential; see ReadOptions.
	Token string
}

// Limits bound one tree. A tree that exceeds one is an apierr.Input error that
// names it.
type Limits struct {
	Archive int64         // bytes of the archive as it is downloaded
	Total   int64         // bytes of all files
	File    int64         // bytes of one file
	Entries int           // files, directories and links
	Depth   int           // directories above a file
	Time    time.Duration // for the download, and for each use of the tree
}

// DefaultLimits are what applies where a limit is zero.
func DefaultLimits() Limits {
	return Limits{
		Archive: 1 << 30,
		Total:   2 << 30,
		File:    512 << 20,
		Entries: 200_000,
		Depth:   100,
		Time:    10 * time.Minute,
	}
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	if l.Archive > 0 {
		d.Archive = l.Archive
	}
	if l.Total > 0 {
		d.Total = l.Total
	}
	if l.File > 0 {
		d.File = l.File
	}
	if l.Entries > 0 {
		d.Entries = l.Entries
	}
	if l.Depth > 0 {
		d.Depth = l.Depth
	}
	if l.Time > 0 {
		d.Time = l.Time
	}
	return d
}

// A Tree is the content of a directory at one moment. It may be used any number
// of times, by one goroutine at a time, until it is closed.
type Tree struct {
	// ETag identifies the content for the next read: a commit, for repositories.
	ETag string

	entries func(context.Context) iter.Seq2[Entry, error]
	sub     string
	filter  func(string, int64) bool
	limits  Limits
	store   *TreeStore
	close   func() error
}

// A TreeFile is one file of a tree.
type TreeFile struct {
	Path     string // slash-separated, relative to the tree
	Size     int64
	Modified time.Time // zero if unknown

	open func() (io.ReadCloser, error)
}

// Open returns the content. It must be read before the iteration goes on.
func (f TreeFile) Open() (io.ReadCloser, error) { return f.open() }

// Files lists the regular files, in the order of the archive. Links and the
// insides of .git directories are left out. After an error the iteration ends.
func (t *Tree) Files(ctx context.Context) iter.Seq2[TreeFile, error] {
	return func(yield func(TreeFile, error) bool) {
		ctx, cancel := context.WithTimeout(ctx, t.limits.Time)
		defer cancel()
		for e, err := range t.selected(ctx) {
			if err != nil {
				yield(TreeFile{}, err)
				return
			}
			if e.Type != RegularFile {
				continue
			}
			if !yield(TreeFile{Path: e.Name, Size: e.Size, Modified: e.Modified, open: e.Open}, nil) {
				return
			}
		}
	}
}

// Extract writes the tree below dir and returns dir. An empty dir stands for a
// new directory "backstage-*" in the working directory, which then belongs to
// the caller. Existing files are never replaced. After an error, dir holds a part
// of the tree, except that a new directory is removed again.
//
// Links are written if they lead, through whatever other links, to something
// within the tree; else they are left out. An archive that no honest tool writes
// is refused: absolute names and names with "..", backslashes or control
// characters, hard links, devices, two names that differ by case only, and a name
// that is a file or link here and a directory there.
func (t *Tree) Extract(ctx context.Context, dir string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, t.limits.Time)
	defer cancel()
	created := dir == ""
	if created {
		var err error
		if dir, err = os.MkdirTemp(t.store.dir, "backstage-"); err != nil {
			return "", err
		}
	} else if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if err := t.extract(ctx, dir); err != nil {
		if created {
			os.RemoveAll(dir)
		}
		return "", err
	}
	return dir, nil
}

// Archive writes the regular files of the tree as a gzipped tar archive.
func (t *Tree) Archive(ctx context.Context, w io.Writer) error {
	compressed := gzip.NewWriter(w)
	archive := tar.NewWriter(compressed)
	for f, err := range t.Files(ctx) {
		if err != nil {
			return err
		}
		if err := archiveFile(archive, f); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return compressed.Close()
}

func archiveFile(archive *tar.Writer, f TreeFile) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: f.Path, Size: f.Size, Mode: 0o644, ModTime: f.Modified}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	content, err := f.Open()
	if err != nil {
		return err
	}
	defer content.Close()
	_, err = io.Copy(archive, content)
	return err
}

// Close removes what the tree was kept in. It may be called more than once.
func (t *Tree) Close() error {
	if t.close == nil {
		return nil
	}
	done := t.close
	t.close = nil
	return done()
}

// An EntryType is what an entry of an archive is.
type EntryType int

// Everything that is not one of the first three is Irregular: hard links,
// devices, sockets. A tree with one is refused.
const (
	RegularFile EntryType = iota
	Directory
	Symlink
	Irregular
)

// An Entry is one member of what a tree is made from.
type Entry struct {
	Name     string // slash-separated, as the archive has it
	Type     EntryType
	Link     string // target of a symbolic link
	Size     int64
	Mode     fs.FileMode // only the owner's execute bit matters
	Modified time.Time
	// Open returns the content of a regular file, until the next entry is asked for.
	Open func() (io.ReadCloser, error)
}

// selected yields the entries below the tree's sub path, renamed relative to it,
// checked, and within the limits.
func (t *Tree) selected(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		budget := t.limits
		for e, err := range t.entries(ctx) {
			if err == nil {
				err = ctx.Err()
			}
			if err == nil {
				e.Name, err = checkName(e.Name, t.limits.Depth)
			}
			if err == nil && e.Type == Irregular {
				err = refused(e.Name, "is a hard link or a device")
			}
			if err == nil {
				err = spend(&budget, e, t.limits)
			}
			if err != nil {
				yield(Entry{}, err)
				return
			}
			var ok bool
			if e.Name, ok = below(t.sub, e.Name); !ok {
				continue
			}
			if isProtected(e.Name) {
				t.store.log.WarnContext(ctx, "left out of a tree: it would configure git", "path", e.Name)
				continue
			}
			if e.Type == RegularFile && t.filter != nil && !t.filter(e.Name, e.Size) {
				continue
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// spend takes an entry from what is left of the limits.
func spend(left *Limits, e Entry, limits Limits) error {
	if left.Entries--; left.Entries < 0 {
		return exceeded("entries", int64(limits.Entries))
	}
	if e.Type != RegularFile {
		return nil
	}
	if e.Size > limits.File {
		return tooLarge(e.Name, limits.File)
	}
	if left.Total -= e.Size; left.Total < 0 {
		return exceeded("bytes", limits.Total)
	}
	return nil
}

// below makes name relative to sub. The file that sub names itself keeps its own
// last element as its name.
func below(sub, name string) (string, bool) {
	if sub == "" {
		return name, true
	}
	if name == sub {
		return name[strings.LastIndexByte(name, '/')+1:], true
	}
	return strings.CutPrefix(name, sub+"/")
}

// A TreeStore makes trees and keeps their archives below the working directory
// while they are in use.
type TreeStore struct {
	dir    string
	limits Limits
	log    *slog.Logger
}

func newTreeStore(dir string, limits Limits, log *slog.Logger) *TreeStore {
	if dir == "" {
		dir = os.TempDir()
	}
	return &TreeStore{dir: dir, limits: limits.orDefault(), log: log}
}

// FromEntries makes a tree of entries that the caller lists, such as the objects
// of a bucket. The function is called for every use of the tree.
func (s *TreeStore) FromEntries(etag, sub string, opts TreeOptions, entries func(context.Context) iter.Seq2[Entry, error]) *Tree {
	return &Tree{
		ETag: etag, entries: entries, sub: strings.Trim(sub, "/"), filter: opts.Filter,
		limits: s.limits, store: s,
	}
}
