package app

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/app/internal/store"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
)

// Plugin serves the frontend at every path outside of /api, and below /api/app. Modules
// extend it through *Extensions.
func Plugin() backend.Feature {
	return backend.NewPlugin("app",
		backend.Section("app", defaults),
		backend.ExtensionPoint[Extensions](),
		backend.Migrations(store.Migrations()),
		fx.Invoke(register),
	)
}

// Bundle embeds a frontend in the binary. fsys has what the build left in dist at its root:
//
//	//go:embed all:dist
//	var dist embed.FS
//
// and then fs.Sub(dist, "dist"). The prefix all: is needed for .config-schema.json, without
// which the frontend gets no configuration. A bundle that is found on disk goes first.
func Bundle(fsys fs.FS) backend.Feature {
	return backend.NewModule("app", "bundle", fx.Invoke(func(x *Extensions) { x.SetBundle(fsys) }))
}

// Extensions is the extension point of the app plugin. The zero value is ready to use.
type Extensions struct {
	bundle   fs.FS
	fallback backend.Handler
	errs     []error
}

// SetBundle is what Bundle calls.
func (x *Extensions) SetBundle(fsys fs.FS) {
	if x.bundle != nil {
		x.errs = append(x.errs, errors.New("two modules set the bundle of the frontend"))
	}
	x.bundle = fsys
}

// SetStaticFallback sets what answers requests for files below static that neither the
// bundle has nor the database, such as a store of all releases. It gets requests for
// /static/...; everybody may make them.
func (x *Extensions) SetStaticFallback(h backend.Handler) {
	if x.fallback != nil {
		x.errs = append(x.errs, errors.New("two modules set the fallback for static files"))
	}
	x.fallback = h
}

type params struct {
	fx.In

	Config      Config
	Extensions  *Extensions
	Watcher     *config.Watcher
	Environment backend.Environment
	DB          db.DB
	Router      backend.Router
	Index       backend.Index
	Local       *backend.Local
	Cookie      backend.UserCookie
	Scheduler   backend.Scheduler
	Background  *backend.Background
	Lifecycle   fx.Lifecycle
	Log         *slog.Logger
}

func register(p params) error {
	if err := errors.Join(p.Extensions.errs...); err != nil {
		return err
	}
	s := &server{cfg: p.Config, cookie: p.Cookie, fallback: p.Extensions.fallback, log: p.Log}
	if !p.Config.DisableStaticFallbackCache {
		s.store = store.New(p.DB)
		k := &keeper{store: s.store, entries: s.entries, now: time.Now, log: p.Log}
		if err := p.Scheduler.Schedule("keep-assets", keeping, k.keep); err != nil {
			return err
		}
	}
	p.Router.Handle("/{path...}", s.api, backend.AllowUnauthenticated)
	p.Index.Handle(s.page)
	schemas := &offeredSchemas{}
	backend.Offer[backend.ConfigSchemas](p.Local, "app", schemas)
	p.Lifecycle.Append(fx.Hook{
		OnStart: func(context.Context) error {
			err := s.start(p)
			schemas.set(s.main)
			return err
		},
		OnStop: func(context.Context) error { return s.stop() },
	})
	return nil
}
