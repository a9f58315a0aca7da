// Package site serves the files of a frontend bundle.
//
// A Site is the list of files that a bundle had when it was opened: a request is a
// lookup in that list, never a path that is given to a file system. Of every file that
// gets smaller by it there are variants, compressed with brotli and gzip, which come from
// the bundle (main.js.br, main.js.gz) or are made once and kept in memory, within a bound.
// Each variant has a strong ETag of its own bytes, so that ranges and conditional requests
// mean what they say under every encoding.
package site

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"path"
	"slices"
	"strings"
	"sync/atomic"
)

// DefaultMemory bounds the compressed variants and the small files that are kept in memory,
// for all sites that share a Budget. A stock bundle needs 8 MB.
const DefaultMemory = 64 << 20

// A Budget is memory that files may take. It is safe for concurrent use.
type Budget struct{ left atomic.Int64 }

// NewBudget returns a Budget of so many bytes.
func NewBudget(bytes int64) *Budget {
	b := &Budget{}
	b.left.Store(bytes)
	return b
}

func (b *Budget) take(n int) bool {
	if b.left.Add(-int64(n)) >= 0 {
		return true
	}
	b.left.Add(int64(n))
	return false
}

// A Site is the files of a bundle. It is safe for concurrent use.
type Site struct {
	fsys  fs.FS
	files map[string]*File
	skip  []string
}

// Open lists the files below the root of fsys. Left out are files and folders whose name
// begins with a dot, which no request gets, links that lead out of fsys, and what is
// neither a file nor a folder; Skipped lists those two.
func Open(fsys fs.FS, budget *Budget) (*Site, error) {
	s := &Site{fsys: fsys, files: map[string]*File{}}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == ".":
			return nil
		case strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return nil
		}
		info, err := fs.Stat(fsys, name) // of what a link leads to
		if err != nil || !info.Mode().IsRegular() {
			s.skip = append(s.skip, name)
			return nil
		}
		s.files[name] = &File{
			name: name, info: newInfo(name), size: info.Size(), modified: info.ModTime(), budget: budget,
			open: func() (fs.File, error) { return fsys.Open(name) },
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the files of the bundle: %w", err)
	}
	for name, f := range s.files {
		for e := range encodings {
			if f.info.compressible {
				f.disk[e] = s.files[name+encodings[e].suffix]
			}
		}
		f.setUp()
	}
	return s, nil
}

// Skipped lists what Open has left out because it is no file of the bundle.
func (s *Site) Skipped() []string { return s.skip }

// File returns the file at a path without a leading slash; nil if there is none.
func (s *Site) File(name string) *File { return s.files[name] }

// Read returns the content of a file of the bundle, dot files included.
func (s *Site) Read(name string) ([]byte, error) { return fs.ReadFile(s.fsys, name) }

// Names lists the files below a folder, sorted; "" for all.
func (s *Site) Names(folder string) iter.Seq[string] {
	names := slices.Sorted(maps.Keys(s.files))
	return func(yield func(string) bool) {
		for _, name := range names {
			if (folder == "" || strings.HasPrefix(name, folder+"/")) && !yield(name) {
				return
			}
		}
	}
}

// Replace puts another content in the place of a file, in memory only.
func (s *Site) Replace(files map[string]*File) *Site {
	out := &Site{fsys: s.fsys, files: maps.Clone(s.files), skip: s.skip}
	maps.Copy(out.files, files)
	return out
}

// Prepare makes the variants of all files but source maps, one after the other, until ctx
// is done. Requests that come earlier are served all the same. Its error joins what could
// not be read, and names variants of the bundle that are not those of their files.
func (s *Site) Prepare(ctx context.Context) error {
	var errs []error
	for name := range s.Names("") {
		f := s.files[name]
		if path.Ext(name) == ".map" {
			continue
		}
		if ctx.Err() != nil {
			break
		}
		errs = append(errs, f.Prepare(ctx))
	}
	return errors.Join(errs...)
}

// Memory is how many bytes the variants take that are there by now.
func (s *Site) Memory() (n int64) {
	for _, f := range s.files {
		for e := range encodings {
			if v := f.variants[e].Load(); v != nil {
				n += int64(len(v.body))
			}
		}
	}
	return n
}

func readAll(open func() (fs.File, error)) ([]byte, error) {
	f, err := open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}
