package scm

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// FromTarGz keeps body, a gzipped tar archive, and makes a tree of what lies
// below sub. With strip, the archive's one top directory, which hosts name after
// the repository, is not part of the names.
func (s *TreeStore) FromTarGz(ctx context.Context, body io.Reader, etag, sub string, strip bool, opts TreeOptions) (*Tree, error) {
	return s.spool(ctx, body, etag, sub, opts, func(file *os.File) func(context.Context) iter.Seq2[Entry, error] {
		return func(context.Context) iter.Seq2[Entry, error] { return tarEntries(file, strip) }
	})
}

// FromZip is FromTarGz for a zip archive.
func (s *TreeStore) FromZip(ctx context.Context, body io.Reader, etag, sub string, strip bool, opts TreeOptions) (*Tree, error) {
	return s.spool(ctx, body, etag, sub, opts, func(file *os.File) func(context.Context) iter.Seq2[Entry, error] {
		return func(context.Context) iter.Seq2[Entry, error] { return zipEntries(file, strip) }
	})
}

func (s *TreeStore) spool(ctx context.Context, body io.Reader, etag, sub string, opts TreeOptions, open func(*os.File) func(context.Context) iter.Seq2[Entry, error]) (*Tree, error) {
	dir, err := os.MkdirTemp(s.dir, "backstage-")
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(dir, "archive"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	done := func() error { return errors.Join(file.Close(), os.RemoveAll(dir)) }
	ctx, cancel := context.WithTimeout(ctx, s.limits.Time)
	defer cancel()
	if _, err := copyContext(ctx, file, body, s.limits.Archive); err != nil {
		if errors.Is(err, errTooMuch) {
			err = tooLarge("the archive", s.limits.Archive)
		}
		return nil, errors.Join(err, done())
	}
	tree := s.FromEntries(etag, sub, opts, open(file))
	tree.close = done
	return tree, nil
}

func tarEntries(file *os.File, strip bool) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			yield(Entry{}, err)
			return
		}
		compressed, err := gzip.NewReader(file)
		if err != nil {
			yield(Entry{}, apierr.Input.Wrap(err, "archive is refused: it is not gzip: %v", err))
			return
		}
		defer compressed.Close()
		archive := tar.NewReader(compressed)
		for {
			h, err := archive.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(Entry{}, apierr.Input.Wrap(err, "archive is refused: it is not a tar archive: %v", err))
				return
			}
			e := Entry{
				Name: h.Name, Link: h.Linkname, Size: h.Size, Mode: fs.FileMode(h.Mode), Modified: h.ModTime,
				Open: func() (io.ReadCloser, error) { return io.NopCloser(archive), nil },
			}
			switch h.Typeflag {
			case tar.TypeXGlobalHeader:
				continue // git writes the commit there
			case tar.TypeReg, tar.TypeGNUSparse:
			case tar.TypeDir:
				e.Type = Directory
			case tar.TypeSymlink:
				e.Type = Symlink
			default:
				e.Type = Irregular
			}
			if keep := stripTop(&e, strip); keep && !yield(e, nil) {
				return
			}
		}
	}
}

// maxLinkBytes is how long the target of a link in a zip archive may be.
const maxLinkBytes = 4096

func zipEntries(file *os.File, strip bool) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		info, err := file.Stat()
		if err != nil {
			yield(Entry{}, err)
			return
		}
		archive, err := zip.NewReader(file, info.Size())
		if err != nil && !errors.Is(err, zip.ErrInsecurePath) { // names are checked later, with a better text
			yield(Entry{}, apierr.Input.Wrap(err, "archive is refused: it is not a zip archive: %v", err))
			return
		}
		for _, f := range archive.File {
			e, err := zipEntry(f)
			if err != nil {
				yield(Entry{}, err)
				return
			}
			if keep := stripTop(&e, strip); keep && !yield(e, nil) {
				return
			}
		}
	}
}

func zipEntry(f *zip.File) (Entry, error) {
	e := Entry{Name: f.Name, Size: int64(f.UncompressedSize64), Mode: f.Mode(), Modified: f.Modified, Open: f.Open}
	if e.Size < 0 {
		return e, refused(f.Name, "claims an impossible size")
	}
	switch mode := f.Mode(); {
	case mode.IsDir() || strings.HasSuffix(f.Name, "/"):
		e.Type = Directory
	case mode.IsRegular():
	case mode&fs.ModeSymlink != 0:
		e.Type = Symlink
		content, err := f.Open()
		if err != nil {
			return e, apierr.Input.Wrap(err, "archive is refused: link %q cannot be read", f.Name)
		}
		defer content.Close()
		target, err := io.ReadAll(io.LimitReader(content, maxLinkBytes))
		if err != nil {
			return e, apierr.Input.Wrap(err, "archive is refused: link %q cannot be read", f.Name)
		}
		e.Link = string(target)
	default:
		e.Type = Irregular
	}
	return e, nil
}

// stripTop cuts the first directory off an entry's name, if asked to. The entry
// of that directory itself is dropped. A name that must be refused stays whole,
// so that whoever refuses it can quote it.
func stripTop(e *Entry, strip bool) bool {
	if !strip {
		return true
	}
	name := strings.TrimPrefix(e.Name, "./")
	if strings.HasPrefix(name, "/") || strings.HasPrefix(name, "../") {
		return true
	}
	_, rest, found := strings.Cut(name, "/")
	if !found || rest == "" {
		return e.Type == Irregular
	}
	e.Name = rest
	return true
}
