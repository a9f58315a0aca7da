package app

import (
	"context"
	"log/slog"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend/app/internal/store"
	"github.com/callboard-dev/callboard/backend/config"
)

const (
	// keepFor is how long the files of a release outlive its last replica.
	keepFor = 7 * 24 * time.Hour
	// maxBatch is how many bytes of files are in memory and in one transaction at a time.
	maxBatch = 4 << 20
)

// keeping is how often each replica says that its files are in use. Upstream says so at the
// start only, and then files of a release that has run for a week are gone with its last
// replica. The first run, at the start, is the one that stores.
var keeping = config.Schedule{
	Frequency: config.Cadence{Every: config.Duration(time.Hour)},
	Timeout:   config.Duration(15 * time.Minute),
	Scope:     "local",
}

// keeper stores the files of this release, and deletes those of releases that have gone.
type keeper struct {
	store   *store.Store
	entries func() []*entry
	now     func() time.Time
	log     *slog.Logger
}

func (k *keeper) keep(ctx context.Context) error {
	now := k.now()
	for _, e := range k.entries() {
		var paths []string
		for name := range e.files.Names("static") {
			if ext := path.Ext(name); ext != ".map" && ext != ".br" && ext != ".gz" {
				paths = append(paths, strings.TrimPrefix(name, "static/"))
			}
		}
		stored, err := k.store.Touch(ctx, e.namespace, paths, now)
		if err != nil {
			return err
		}
		missing := slices.DeleteFunc(paths, func(p string) bool { return stored[p] })
		if err := k.add(ctx, e, missing, now); err != nil {
			return err
		}
		if len(missing) > 0 {
			k.log.InfoContext(ctx, "files of the frontend are stored for pages of this release", "namespace", e.namespace, "files", len(missing))
		}
	}
	deleted, err := k.store.Trim(ctx, now.Add(-keepFor))
	if deleted > 0 {
		k.log.InfoContext(ctx, "files of earlier releases of the frontend are deleted", "files", deleted)
	}
	return err
}

// add stores files in batches.
func (k *keeper) add(ctx context.Context, e *entry, paths []string, now time.Time) error {
	var batch []store.Asset
	size := 0
	flush := func() error {
		err := k.store.Add(ctx, e.namespace, batch, now)
		batch, size = batch[:0], 0
		return err
	}
	for _, p := range paths {
		content, err := e.files.Read("static/" + p)
		if err != nil {
			return err
		}
		if size+len(content) > maxBatch && len(batch) > 0 {
			if err := flush(); err != nil {
				return err
			}
		}
		batch = append(batch, store.Asset{Path: p, Content: content})
		size += len(content)
	}
	return flush()
}
