package db

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
)

// Config is the subtree backend.database (contract/backend.md section 8). The zero
// value is SQLite in memory.
type Config struct {
	// Client is "pg", "better-sqlite3", or its alias "sqlite3".
	Client     string     `config:"client" doc:"pg, better-sqlite3, or its alias sqlite3"`
	Connection Connection `config:"connection"`

	// Prefix starts the names of the plugins' databases, "backstage_plugin_" by default.
	Prefix string `config:"prefix" doc:"start of the names of plugin databases"`

	// PluginDivisionMode is "database" (default), one database per plugin, or
	// "schema", one schema per plugin in the connection's database. PostgreSQL only.
	PluginDivisionMode string `config:"pluginDivisionMode" doc:"database or schema: what each plugin has of its own"`

	// SchemaPrefix starts the names of the plugins' schemas, empty by default.
	SchemaPrefix string `config:"schemaPrefix" doc:"start of the names of plugin schemas"`

	// EnsureExists creates databases and schemas that do not exist; true if absent.
	EnsureExists *bool `config:"ensureExists" doc:"create databases and schemas that do not exist"`

	// EnsureSchemaExists creates schemas although EnsureExists is false.
	EnsureSchemaExists bool `config:"ensureSchemaExists" doc:"create schemas although ensureExists is false"`

	// Role is taken on with SET ROLE by every connection, and owns what is created.
	Role string `config:"role" doc:"role that connections take on, and that owns what is created"`

	KnexConfig Knex `config:"knexConfig"`

	// SkipMigrations leaves the tables as they are: somebody else migrates.
	SkipMigrations bool `config:"skipMigrations" doc:"leave the tables as they are"`

	// LockConnection overrides parts of Connection for sessions that hold locks:
	// migrations and the scheduler. Set it to a direct connection where Connection
	// leads to a pooler in transaction mode.
	LockConnection Connection `config:"lockConnection"`

	// Plugin overrides settings for single plugins, by plugin id.
	Plugin map[string]PluginConfig `config:"plugin"`
}

// PluginConfig is backend.database.plugin.<id>. What is absent is as in Config; the
// keys of Connection override those of the base connection one by one, unless
// Client names another database.
type PluginConfig struct {
	Client             string     `config:"client" doc:"pg, better-sqlite3, or its alias sqlite3"`
	Connection         Connection `config:"connection"`
	EnsureExists       *bool      `config:"ensureExists" doc:"create databases and schemas that do not exist"`
	EnsureSchemaExists *bool      `config:"ensureSchemaExists" doc:"create schemas although ensureExists is false"`
	Role               string     `config:"role" doc:"role that connections take on, and that owns what is created"`
	KnexConfig         Knex       `config:"knexConfig"`
	SkipMigrations     *bool      `config:"skipMigrations" doc:"leave the tables as they are"`
}

// Knex is knexConfig, of which the pool has a meaning here.
type Knex struct {
	Pool Pool `config:"pool"`
}

// Pool sizes the connection pool of one plugin. Times are in milliseconds.
type Pool struct {
	Min                  *int `config:"min" doc:"connections kept open"`                                             // connections kept open; 0
	Max                  *int `config:"max" doc:"connections at most"`                                               // 4
	AcquireTimeoutMillis *int `config:"acquireTimeoutMillis" doc:"longest wait for a free connection, in ms"`        // longest wait for a free connection; 60000
	CreateTimeoutMillis  *int `config:"createTimeoutMillis" doc:"longest wait for a new connection, in ms"`          // longest wait for a new connection; 10000
	IdleTimeoutMillis    *int `config:"idleTimeoutMillis" doc:"unused connections are closed after it, in ms"`       // unused connections are closed after it; 75000
	ReapIntervalMillis   *int `config:"reapIntervalMillis" doc:"how often unused connections are looked for, in ms"` // how often unused ones are looked for; 15000
}

// The defaults of Pool. An unused connection outlives the keep-alive interval, so
// that a plugin at rest keeps one connection instead of opening one each time.
const (
	defaultPoolMax        = 4
	defaultAcquireTimeout = time.Minute
	defaultCreateTimeout  = 10 * time.Second
	defaultIdleTimeout    = 75 * time.Second
	defaultReapInterval   = 15 * time.Second
	defaultPrefix         = "backstage_plugin_"
	maxIdentifier         = 63 // bytes; PostgreSQL cuts longer names, so that two could become one
	rootKey               = "backend.database"
)

const (
	divideByDatabase = "database"
	divideBySchema   = "schema"
)

// Validate checks what does not depend on what the program provides.
func (c *Config) Validate() error {
	var errs []error
	add := func(key, format string, args ...any) {
		errs = append(errs, config.At(key, fmt.Errorf(format, args...)))
	}
	if c.Client == "" && !c.Connection.isZero() && c.Connection.Filename != memory {
		add("client", "required key is missing: use %s", supportedClients)
	}
	dialect, err := dialectOf(c.Client)
	if err != nil {
		errs = append(errs, config.At("client", err))
	}
	switch c.PluginDivisionMode {
	case "", divideByDatabase, divideBySchema:
	default:
		add("pluginDivisionMode", "is %q, use database or schema", c.PluginDivisionMode)
	}
	if c.SchemaPrefix != "" && !schemaPrefix.MatchString(c.SchemaPrefix) {
		add("schemaPrefix", "is %q, want letters, digits and underscores, not starting with a digit", c.SchemaPrefix)
	}
	if err == nil && dialect == SQLite {
		if c.PluginDivisionMode == divideBySchema {
			add("pluginDivisionMode", "schema needs PostgreSQL: SQLite has one file per plugin")
		}
		if c.Connection.Filename != "" && c.Connection.Filename != memory {
			add("connection.filename", "one file cannot serve all plugins: use connection.directory, or ':memory:'")
		}
		if c.Client != "" && c.Connection.isZero() {
			add("connection", "required key is missing: use ':memory:' or {directory: PATH}")
		}
	}
	errs = append(errs, c.KnexConfig.Pool.problems("knexConfig.pool")...)
	ids := make([]string, 0, len(c.Plugin))
	for id := range c.Plugin {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		p := c.Plugin[id]
		if _, err := dialectOf(p.Client); err != nil {
			errs = append(errs, config.At("plugin."+id+".client", err))
		}
		errs = append(errs, p.KnexConfig.Pool.problems("plugin."+id+".knexConfig.pool")...)
	}
	return errors.Join(errs...)
}

var schemaPrefix = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

const supportedClients = "pg, or better-sqlite3 (alias sqlite3)"

// dialectOf maps client to a dialect; an empty one is SQLite.
func dialectOf(client string) (Dialect, error) {
	switch client {
	case "pg":
		return Postgres, nil
	case "", "better-sqlite3", "sqlite3":
		return SQLite, nil
	case "embedded-postgres":
		return SQLite, fmt.Errorf("%q is not supported: run a PostgreSQL server and use pg, or use better-sqlite3 (alias sqlite3), which needs no server", client)
	default:
		return SQLite, fmt.Errorf("%q is not supported, use %s", client, supportedClients)
	}
}

func (p Pool) problems(key string) []error {
	var errs []error
	check := func(name string, v *int, least int) {
		if v != nil && *v < least {
			errs = append(errs, config.At(key+"."+name, fmt.Errorf("is %d, want at least %d", *v, least)))
		}
	}
	check("min", p.Min, 0)
	check("max", p.Max, 1)
	check("acquireTimeoutMillis", p.AcquireTimeoutMillis, 1)
	check("createTimeoutMillis", p.CreateTimeoutMillis, 1)
	check("idleTimeoutMillis", p.IdleTimeoutMillis, 1)
	check("reapIntervalMillis", p.ReapIntervalMillis, 1)
	if p.Min != nil && p.Max != nil && *p.Min > *p.Max {
		errs = append(errs, config.At(key+".min", fmt.Errorf("is %d, more than max, which is %d", *p.Min, *p.Max)))
	}
	return errs
}

// poolSettings is Pool with the defaults filled in.
type poolSettings struct {
	min, max                    int32
	acquire, create, idle, reap time.Duration
}

// settings applies pools from the least to the most specific.
func settings(pools ...Pool) poolSettings {
	s := poolSettings{max: defaultPoolMax, acquire: defaultAcquireTimeout, create: defaultCreateTimeout, idle: defaultIdleTimeout, reap: defaultReapInterval}
	millis := func(d *time.Duration, v *int) {
		if v != nil {
			*d = time.Duration(*v) * time.Millisecond
		}
	}
	for _, p := range pools {
		if p.Min != nil {
			s.min = int32(*p.Min)
		}
		if p.Max != nil {
			s.max = int32(*p.Max)
		}
		millis(&s.acquire, p.AcquireTimeoutMillis)
		millis(&s.create, p.CreateTimeoutMillis)
		millis(&s.idle, p.IdleTimeoutMillis)
		millis(&s.reap, p.ReapIntervalMillis)
	}
	s.max = max(s.max, s.min)
	return s
}

// settled is what Config says about one plugin.
type settled struct {
	dialect        Dialect
	base, override Connection
	baseKey        string // config key of base
	overrideKey    string
	ensureDatabase bool
	ensureSchema   bool
	role           string
	pool           poolSettings
	skipMigrations bool
	ownDatabase    bool   // division mode database
	schema         string // empty in division mode database, and on SQLite
	database       string // PostgreSQL; empty if the connection names it
}

// settle works out the settings of the plugin id.
func (c *Config) settle(id string) (settled, error) {
	p := c.Plugin[id]
	key := rootKey + ".plugin." + id
	client := c.Client
	s := settled{
		base: c.Connection, baseKey: rootKey + ".connection", override: p.Connection, overrideKey: key + ".connection",
		role: c.Role, pool: settings(c.KnexConfig.Pool, p.KnexConfig.Pool), skipMigrations: c.SkipMigrations,
	}
	baseDialect, err := dialectOf(c.Client)
	if err != nil {
		return s, config.At(rootKey+".client", err)
	}
	if p.Client != "" {
		client = p.Client
	}
	if s.dialect, err = dialectOf(client); err != nil {
		return s, config.At(key+".client", err)
	}
	if s.dialect != baseDialect {
		s.base, s.baseKey = Connection{}, key+".connection"
	}
	ensure := c.EnsureExists == nil || *c.EnsureExists
	if p.EnsureExists != nil {
		ensure = *p.EnsureExists
	}
	ensureSchema := c.EnsureSchemaExists
	if p.EnsureSchemaExists != nil {
		ensureSchema = *p.EnsureSchemaExists
	}
	if p.Role != "" {
		s.role = p.Role
	}
	if p.SkipMigrations != nil {
		s.skipMigrations = *p.SkipMigrations
	}
	s.ensureDatabase, s.ensureSchema = ensure, ensure || ensureSchema
	if s.dialect != Postgres {
		return s, nil
	}
	if c.PluginDivisionMode == divideBySchema {
		s.schema = c.SchemaPrefix + id
		return s, checkName("schema", s.schema)
	}
	prefix := c.Prefix
	if prefix == "" {
		prefix = defaultPrefix
	}
	s.ownDatabase, s.database = true, prefix+id
	return s, checkName("database", s.database)
}

func checkName(what, name string) error {
	if len(name) > maxIdentifier {
		return fmt.Errorf("the %s name %q has %d bytes, PostgreSQL allows %d", what, name, len(name), maxIdentifier)
	}
	if strings.ContainsRune(name, 0) {
		return fmt.Errorf("the %s name %q contains a zero byte", what, name)
	}
	return nil
}
