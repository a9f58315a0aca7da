package db

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
)

// busyTimeout is how long whoever needs a file that somebody else is writing waits.
const busyTimeout = 5 * time.Second

// newLite opens the plugin's SQLite database, without touching the disk yet.
func (p *Plugin) newLite() (*liteDB, error) {
	query := url.Values{"_txlock": {"immediate"}, "_pragma": {fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), "foreign_keys(1)"}}
	if p.file == memory {
		// A name of its own, so that the handle of SQL() sees the same database,
		// and no other Manager does.
		query.Set("mode", "memory")
		query.Set("cache", "shared")
		writes, err := p.openLite("callboard-"+url.PathEscape(p.id)+"-"+rand.Text(), query)
		if err != nil {
			return nil, err
		}
		return newLiteDB(p.id, p.m.opts.observe, p.set.pool.acquire, writes, nil), nil
	}
	query.Add("_pragma", "journal_mode(WAL)")
	query.Add("_pragma", "synchronous(NORMAL)")
	file, err := filepath.Abs(p.file)
	if err != nil {
		return nil, err
	}
	name := (&url.URL{Path: filepath.ToSlash(file)}).EscapedPath()
	writes, err := p.openLite(name, query)
	if err != nil {
		return nil, err
	}
	query.Add("_pragma", "query_only(1)")
	reads, err := p.openLite(name, query)
	if err != nil {
		return nil, err
	}
	return newLiteDB(p.id, p.m.opts.observe, p.set.pool.acquire, writes, reads), nil
}

func (p *Plugin) openLite(name string, query url.Values) (*sql.DB, error) {
	connector, err := sqlite.NewConnector("file:" + name + "?" + query.Encode())
	if err != nil {
		return nil, err
	}
	handle := sql.OpenDB(&liteConnector{Connector: connector, plugin: p})
	handle.SetConnMaxIdleTime(p.set.pool.idle)
	return handle, nil
}

// liteConnector makes sure that the folder is there and is ours before it opens a file.
type liteConnector struct {
	driver.Connector
	plugin *Plugin
}

func (c *liteConnector) Connect(ctx context.Context) (driver.Conn, error) {
	p := c.plugin
	if p.file != memory {
		dir := filepath.Dir(p.file)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("%s: create the folder of the SQLite files: %w", p.fileKey(), err)
		}
		if err := p.m.files.take(dir); err != nil {
			return nil, fmt.Errorf("%s: %w", p.fileKey(), err)
		}
	}
	// The first connection makes the file a write-ahead one. Who opens it at that moment is
	// told at once that it is busy, whatever busy_timeout says.
	for began := time.Now(); ; {
		conn, err := c.Connector.Connect(ctx)
		if err == nil {
			return conn, nil
		}
		if !IsRetryable(err) || time.Since(began) > busyTimeout || ctx.Err() != nil {
			return nil, fmt.Errorf("%s: open %s: %w", p.fileKey(), p.file, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryPause):
		}
	}
}

// fileKey is the config key that names the plugin's file.
func (p *Plugin) fileKey() string {
	switch {
	case p.set.override.Filename != "":
		return p.set.overrideKey + ".filename"
	case p.set.override.Directory != "":
		return p.set.overrideKey + ".directory"
	}
	return p.set.baseKey + ".directory"
}
