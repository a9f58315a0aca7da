package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/internal/logging"
	"github.com/callboard-dev/callboard/backend/internal/rootserver"
	"github.com/callboard-dev/callboard/backend/scm"
	"github.com/callboard-dev/callboard/backend/seal"
)

// coreSections is the configuration of the core services, decoded once.
type coreSections struct {
	Server    rootserver.Config
	Database  db.Config
	Logger    logging.Config
	Discovery discoveryConfig
	SCM       scm.Config
	Reading   scm.ReadingConfig
	Startup   bootConfig
	authSections
	telemetrySections
	sharedSections
	SecretKeys seal.Secrets
	// WorkingDirectory is where trees are unpacked while they are read.
	WorkingDirectory string
}

// readSections decodes what the core services need, and returns all that is wrong. What
// is wrong stays as it was, so that further checks can be made of the rest.
func (c *core) readSections() (problems []error) {
	s := &c.sections
	decode := func(path string, out any) {
		problems = append(problems, config.Problems(c.cfg.Decode(path, out))...)
	}
	s.Server = rootserver.Defaults()
	decode("backend", &s.Server)
	decode("backend.logger", &s.Logger)
	decode("backend.startup", &s.Startup)
	decode("discovery", &s.Discovery)
	decode("integrations", &s.SCM)
	decode("backend.reading", &s.Reading)
	decode("backend.workingDirectory", &s.WorkingDirectory)
	decode("backend.secretKeys", &s.SecretKeys)
	s.authSections.decode(decode)
	s.telemetrySections.decode(decode)
	s.sharedSections.decode(decode)
	if c.cfg.Has("backend.database") {
		decode("backend.database", &s.Database)
		problems = append(problems, c.noConnection()...)
	} else if c.env == ProductionEnvironment {
		problems = append(problems, c.noDatabase())
	}
	var failed error
	c.title, _, failed = c.cfg.String("app.title")
	_, _, base := c.cfg.String("app.baseUrl")
	problems = append(problems, config.Problems(errors.Join(failed, base))...)
	if c.title == "" {
		c.title = "Callboard"
	}
	if d := s.Server.Lifecycle.ServerShutdownDelay; d > 0 {
		c.stopTimeout += time.Duration(d)
	}
	return problems
}

// noConnection reports a PostgreSQL that nothing leads to; without a connection the
// client's own variables count.
func (c *core) noConnection() []error {
	d := c.sections.Database
	if d.Client != "pg" || c.cfg.Has("backend.database.connection") || len(d.Plugin) > 0 || c.settings.getenv("PGHOST") != "" || c.settings.getenv("PGSERVICE") != "" {
		return nil
	}
	const fix = "set backend.database.connection to a URL such as postgres://user:password@host:5432/database, or to {host, port, user, password}"
	return []error{c.cfg.Locate(config.AtWithFix("backend.database.connection", errors.New("required key is missing"), fix))}
}

// noDatabase is for the portal whose configuration was not found: without it the data
// would be in memory, and gone with the process.
func (c *core) noDatabase() error {
	read := "no file was read"
	if files := c.cfg.Files(); len(files) > 0 {
		read = "read: " + strings.Join(files, ", ")
	}
	return Fix(fmt.Sprintf("backend.database is not set, and a database in memory loses everything with the process (%s)", read),
		"name the file that sets it with --config FILE, or set backend.database in one of them; for a trial set NODE_ENV=development")
}

// furnish makes the parts, and adds what is wrong with their configuration to what is
// known of it already.
func (c *core) furnish(known []error) []error {
	decoding := slices.DeleteFunc(slices.Clone(known), func(err error) bool {
		ke, ok := err.(*config.KeyError)
		return !ok || ke.Path == ""
	})
	for _, err := range config.Problems(c.cfg.Locate(c.reset())) {
		if !config.Covered(err, decoding...) {
			known = append(known, err)
		}
	}
	return known
}

// checkReload refuses a new version of the configuration with a mistake that would have
// kept this backend from starting: what is in force is one version, or the other.
func (c *core) checkReload(ctx context.Context, comp *composition, next *config.Config) error {
	trial := &core{settings: c.settings, features: c.features, cfg: next, env: c.env, log: slog.New(slog.DiscardHandler)}
	var found problems
	for _, err := range trial.furnish(trial.readSections()) {
		found.add(nil, err)
	}
	trial.checkConfig(comp, &found)
	var errs []error
	for _, p := range found.list {
		errs = append(errs, p.Err)
	}
	return errors.Join(append(errs, trial.shared.close(), trial.db.Close())...)
}

// reload takes over what may change while the backend runs: log levels, and secrets
// that must not be logged. Listener settings need a restart (contract/backend.md 3.6).
func (c *core) reload(next *config.Config) {
	added := c.redactor.Add(next.Secrets()...)
	var l logging.Config
	err := next.Decode("backend.logger", &l)
	if err == nil {
		err = c.levels.Set(l, c.settings.getenv("LOG_LEVEL"))
	}
	if err != nil {
		c.log.Error("the new log levels are refused, the old ones stay", "error", err)
	}
	var d discoveryConfig
	if err := next.Decode("discovery", &d); err != nil {
		c.log.Error("the new discovery.endpoints are refused, the old ones stay", "error", err)
	} else {
		c.discovery.set(d.Endpoints)
	}
	c.log.Info("configuration has changed", "newSecrets", added)
}

// coreReference is the sections of the core services, with their defaults.
func coreReference() map[string]any {
	return map[string]any{
		"backend":          rootserver.Defaults(),
		"backend.logger":   coreSections{}.Logger,
		"backend.startup":  coreSections{}.Startup,
		"backend.database": coreSections{}.Database,
		"backend.reading":  coreSections{}.Reading,
		"backend.cache":    coreSections{}.Cache,
		"backend.actions":  coreSections{}.Actions,
		"discovery":        discoveryConfig{},
		"events":           coreSections{}.Events,
		"integrations":     coreSections{}.SCM,
		"backend.auth":     coreSections{}.authSections.Auth,
		"backend.auditor":  coreSections{}.Auditor,
		"backend.metrics":  coreSections{}.Metrics,
		"backend.tracing":  coreSections{}.Tracing,
		"auth.keyStore":    coreSections{}.UserKeys,
	}
}

// coreLeaves are keys that the core reads one by one.
func coreLeaves() []config.Key {
	return []config.Key{
		{Path: "app.title", Type: "text", Doc: "the name of the portal, on its pages"},
		{Path: "app.baseUrl", Type: "text", Doc: "where browsers find the frontend"},
		{Path: "auth.backstageTokenExpiration", Type: "duration", Default: `"1h"`, Doc: "how long user tokens are valid and their keys sign; at least 10 minutes, at most a day"},
		{Path: "auth.identityTokenAlgorithm", Type: "text", Default: `"ES256"`, Doc: "what user tokens are signed with: ES256, ES384, ES512, RS256 and so on, PS256 and so on, or EdDSA"},
		{Path: "backend.packages", Type: "any", Doc: "accepted, and without effect: what is part of a backend stands in its main"},
		{Path: "backend.secretKeys", Type: "list of secrets", Doc: "what plugins encrypt what they store with, at least 16 characters each; the first one seals, and all of them open. In production required by plugins that seal"},
		{Path: "backend.workingDirectory", Type: "text", Doc: "where trees are unpacked while they are read; the system's directory for temporary files if absent"},
	}
}

// unknownKeys are warnings for --check: the keys below sections of this backend that none
// of the sections has. A section may be within another one, as auth.keyStore is within
// auth, and several features may read the same.
func (c *core) unknownKeys(comp *composition) []error {
	type section struct {
		path    string
		unknown []*config.KeyError
	}
	var all []section
	for _, path := range slices.Sorted(maps.Keys(coreReference())) {
		if path == "events" && comp.find("events") == nil {
			continue // most of it belongs to a plugin that is not here
		}
		all = append(all, section{path, c.cfg.UnknownKeys(path, reflect.TypeOf(coreReference()[path]))})
	}
	for _, f := range comp.everything() {
		for _, s := range f.sections() {
			all = append(all, section{s.path, s.unknown(c.cfg)})
		}
	}
	for _, k := range coreLeaves() {
		all = append(all, section{path: k.Path})
	}
	within := func(key, section string) bool {
		return key == section || strings.HasPrefix(key, section+".") || strings.HasPrefix(key, section+"[")
	}
	var out []error
	seen := map[string]bool{}
	var look func(ke *config.KeyError)
	look = func(ke *config.KeyError) {
		if seen[ke.Path] {
			return
		}
		seen[ke.Path] = true
		var below []string // sections, by their next key
		for _, other := range all {
			if other.path != ke.Path && within(other.path, ke.Path) {
				next, _, _ := strings.Cut(strings.TrimPrefix(other.path, ke.Path+"."), ".")
				below = append(below, next)
				continue
			}
			if within(ke.Path, other.path) && !slices.ContainsFunc(other.unknown, func(u *config.KeyError) bool { return within(ke.Path, u.Path) }) {
				return // it is known there
			}
		}
		if below == nil {
			out = append(out, ke)
			return
		}
		for _, key := range c.cfg.Keys(ke.Path) {
			hint := ""
			if near := config.Suggest(key, below); near != "" && near != key {
				hint = "; did you mean " + near + "?"
			}
			child := &config.KeyError{Path: ke.Path + "." + key, Err: fmt.Errorf("unknown key%s", hint)}
			child.Pos = c.cfg.Pos(child.Path)
			look(child)
		}
	}
	for _, s := range all {
		for _, ke := range s.unknown {
			look(ke)
		}
	}
	for _, s := range all {
		for _, ke := range c.cfg.UnsetKeys(s.path) {
			if !seen[ke.Path] {
				seen[ke.Path] = true
				out = append(out, ke)
			}
		}
	}
	return append(out, c.absentFeatures(comp)...)
}

// absentFeatures are the plugins and modules that backend.startup names and nobody has
// added.
func (c *core) absentFeatures(comp *composition) []error {
	var out []error
	warn := func(path, what, id string, among []string) {
		hint := ""
		if near := config.Suggest(id, among); near != "" {
			hint = "; did you mean " + near + "?"
		}
		ke := &config.KeyError{Path: path, Err: fmt.Errorf("no %s of that name is part of this backend%s", what, hint)}
		out = append(out, c.cfg.Locate(ke))
	}
	var ids []string
	for _, g := range comp.plugins {
		ids = append(ids, string(g.id()))
	}
	for _, id := range slices.Sorted(maps.Keys(c.sections.Startup.Plugins)) {
		path := "backend.startup.plugins." + id
		i := slices.Index(ids, id)
		if i < 0 {
			warn(path, "plugin", id, ids)
			continue
		}
		var modules []string
		for _, m := range comp.plugins[i].modules {
			modules = append(modules, m.module)
		}
		for _, m := range slices.Sorted(maps.Keys(c.sections.Startup.Plugins[id].Modules)) {
			if !slices.Contains(modules, m) {
				warn(path+".modules."+m, "module", m, modules)
			}
		}
	}
	return out
}
