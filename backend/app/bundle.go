package app

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/callboard-dev/callboard/backend/config"
)

// bundle is where the files of the frontend are.
type bundle struct {
	fs.FS
	io.Closer
	where string
}

// locate finds the bundle, in the order that the package comment gives; nil if there is none.
func locate(cfg Config, embedded fs.FS) (*bundle, error) {
	if cfg.BundleDir != "" {
		b, err := openDir(cfg.BundleDir)
		if err != nil {
			return nil, config.AtWithFix("app.bundleDir", err,
				"build the frontend, and name the folder that the build left, usually packages/app/dist")
		}
		return b, nil
	}
	b, err := openDir(filepath.Join("packages", cfg.PackageName, "dist"))
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	if embedded == nil {
		return nil, nil
	}
	if !hasStatic(embedded) {
		return nil, errors.New("the bundle that app.Bundle was given has no folder static: give it what the build left in dist, with fs.Sub")
	}
	return &bundle{embedded, nil, "embedded"}, nil
}

// openDir opens a folder so that nothing outside of it can be read through it.
func openDir(dir string) (*bundle, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	if !hasStatic(root.FS()) {
		root.Close()
		return nil, fmt.Errorf("%s has no folder static: %w", dir, fs.ErrNotExist)
	}
	return &bundle{root.FS(), root, dir}, nil
}

func hasStatic(fsys fs.FS) bool {
	info, err := fs.Stat(fsys, "static")
	return err == nil && info.IsDir()
}

func (b *bundle) close() error {
	if b == nil || b.Closer == nil {
		return nil
	}
	return b.Close()
}
