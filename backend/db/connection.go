package db

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/callboard-dev/callboard/backend/config"
)

// memory is the connection of a SQLite database that ends with the process.
const memory = ":memory:"

// Connection is backend.database.connection: an object, a URL
// (postgres://user:password@host:port/database?sslmode=require), or ":memory:".
type Connection struct {
	// ConnectionString is a URL; what it says wins over the other keys.
	ConnectionString config.Secret `config:"connectionString" doc:"connection string; what it says wins over the other keys"`

	// Type is "default", or names what signs in instead of a password: see [WithConnectionType].
	Type string `config:"type" doc:"default, or what signs in instead of a password"`

	Host     string        `config:"host" doc:"host name, with a port if it has one"` // or the folder of a socket
	Port     int           `config:"port" doc:"port"`
	User     string        `config:"user" doc:"user"`
	Password config.Secret `config:"password" doc:"password"`
	Database string        `config:"database" doc:"database"`
	SSL      SSL           `config:"ssl"`

	ApplicationName         string `config:"application_name" doc:"name that the server shows for the connection"`
	Options                 string `config:"options" doc:"command-line options for the server"`                                   // command-line options for the server
	StatementTimeout        int    `config:"statement_timeout" doc:"longest time of one statement, in ms"`                        // milliseconds, of one statement
	LockTimeout             int    `config:"lock_timeout" doc:"longest wait for one lock, in ms"`                                 // milliseconds, for one lock
	IdleInTransaction       int    `config:"idle_in_transaction_session_timeout" doc:"longest pause within a transaction, in ms"` // milliseconds
	ConnectionTimeoutMillis int    `config:"connectionTimeoutMillis" doc:"longest wait for a connection to be made, in ms"`       // to connect, instead of pool.createTimeoutMillis

	// Directory and Filename are for SQLite. Filename is ":memory:", or in a plugin's
	// connection the path of a file.
	Directory string `config:"directory" doc:"SQLite: folder of the files, one per plugin"`
	Filename  string `config:"filename" doc:"SQLite: :memory:, or in the connection of one plugin a file"`

	// The keys below are for connection types other than default.
	Region          string          `config:"region" doc:"region"`
	Instance        string          `config:"instance" doc:"Cloud SQL instance"`
	IPAddressType   string          `config:"ipAddressType" doc:"PUBLIC, PRIVATE or PSC"`
	TokenCredential TokenCredential `config:"tokenCredential"`
}

// TokenCredential is connection.tokenCredential of the type azure.
type TokenCredential struct {
	TokenRenewableOffsetTime config.Duration `config:"tokenRenewableOffsetTime" doc:"how long before its end a token is renewed"`
	TenantID                 string          `config:"tenantId" doc:"tenant id"`
	ClientID                 string          `config:"clientId" doc:"client id"`
	ClientSecret             config.Secret   `config:"clientSecret" doc:"client secret"`
}

// UnmarshalConfig accepts text and objects.
func (c *Connection) UnmarshalConfig(cfg *config.Config) error {
	if _, text := cfg.Value("").(string); !text {
		type plain Connection // without this method
		return cfg.Decode("", (*plain)(c))
	}
	secret, _, err := cfg.Secret("")
	if err != nil {
		return err
	}
	*c = connectionText(secret)
	return nil
}

// connectionText is a connection given as text.
func connectionText(text config.Secret) Connection {
	if text.Reveal() == memory {
		return Connection{Filename: memory}
	}
	return Connection{ConnectionString: text}
}

func (c Connection) isZero() bool { return reflect.ValueOf(c).IsZero() }

// ConnConfig is what the driver connects with, so that a TokenSource need not know the driver.
type ConnConfig = pgx.ConnConfig

// A TokenSource completes connections whose password is not in the configuration.
type TokenSource interface {
	// BeforeConnect is called before each new connection, from any goroutine, and
	// sets what the server wants in c: a fresh token as Password, and where needed
	// TLSConfig, or Host, or DialFunc. Its error becomes that of the connection.
	BeforeConnect(ctx context.Context, c *ConnConfig) error
}

// endpoint is where and how to connect, merged from a base connection and overrides.
type endpoint struct {
	host, user, database string
	port                 int
	hostKey              string // the config key that named the server, for errors
	password             config.Secret
	url                  config.Secret // whose password is the password, if set
	params               map[string]string
	ssl                  SSL
	sslKey               string
	connectMillis        int
	typ                  string
	typeKey              string
	whole                Connection // for a TokenSource
}

// add takes over what c says; key is where c stands in the configuration.
func (e *endpoint) add(c Connection, key string) error {
	if e.params == nil {
		e.params = map[string]string{}
	}
	if c.Host != "" {
		e.host, e.hostKey = c.Host, key+".host"
	}
	if c.Port != 0 {
		if c.Port < 0 || c.Port > 65535 {
			return config.At(key+".port", fmt.Errorf("is %d, want a number from 1 to 65535", c.Port))
		}
		e.port = c.Port
		e.hostKey = cmpOr(e.hostKey, key+".port")
	}
	if c.User != "" {
		e.user = c.User
	}
	if !c.Password.IsZero() {
		e.password, e.url = c.Password, config.Secret{}
	}
	if c.Database != "" {
		e.database = c.Database
	}
	if c.SSL.Set {
		e.ssl, e.sslKey = c.SSL, key+".ssl"
	}
	if c.Type != "" {
		e.typ, e.typeKey = c.Type, key+".type"
	}
	if c.ConnectionTimeoutMillis > 0 {
		e.connectMillis = c.ConnectionTimeoutMillis
	}
	for name, value := range map[string]string{"application_name": c.ApplicationName, "options": c.Options} {
		if value != "" {
			e.params[name] = value
		}
	}
	for name, value := range map[string]int{"statement_timeout": c.StatementTimeout, "lock_timeout": c.LockTimeout, "idle_in_transaction_session_timeout": c.IdleInTransaction} {
		if value != 0 {
			e.params[name] = fmt.Sprint(value)
		}
	}
	e.whole = overlay(e.whole, c)
	if !c.ConnectionString.IsZero() {
		return e.addURL(c.ConnectionString, key)
	}
	return nil
}

// addURL takes over what a URL says. Its errors do not quote it: it holds a password.
func (e *endpoint) addURL(text config.Secret, key string) error {
	u, err := parseURL(text)
	if err != nil {
		return config.At(key, err)
	}
	if host := u.Hostname(); host != "" {
		e.host, e.hostKey = host, key
	}
	if port := u.Port(); port != "" {
		if _, err := fmt.Sscan(port, &e.port); err != nil || e.port > 65535 {
			return config.At(key, fmt.Errorf("the URL's port is %q, want a number from 1 to 65535", port))
		}
	}
	if name := u.User.Username(); name != "" {
		e.user = name
	}
	if _, ok := u.User.Password(); ok {
		e.url, e.password = text, config.Secret{}
	}
	if name := strings.TrimPrefix(u.Path, "/"); name != "" {
		e.database = name
	}
	query := u.Query()
	for name := range query {
		value := query.Get(name)
		switch name {
		case "host":
			e.host, e.hostKey = value, key
		case "ssl":
			e.ssl = SSL{Set: true, Off: value == "false" || value == "0"}
			e.sslKey = key
		case "sslmode":
			if value == "no-verify" { // what drivers of the Node world call it
				value = "require"
			}
			if !slices.Contains([]string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}, value) {
				return config.At(key, fmt.Errorf("the URL's sslmode is %q, use disable, allow, prefer, require, verify-ca, verify-full or no-verify", value))
			}
			e.params[name] = value
			e.ssl = SSL{}
		case "uselibpqcompat": // a switch of Node's driver; this is what pgx does anyway
		case "password":
			return config.At(key, errors.New("the URL has the password among its parameters: write postgres://user:password@host"))
		default:
			e.params[name] = value
		}
	}
	return nil
}

// parseURL parses without showing anything of the text in its error.
func parseURL(text config.Secret) (*url.URL, error) {
	u, err := url.Parse(text.Reveal())
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return nil, errors.New("want a URL like postgres://user:password@host:5432/database; special characters in the password are written in percent-encoding")
	}
	return u, nil
}

// secret returns the password as it is now: it may come from a file that changes.
func (e *endpoint) secret() string {
	if !e.url.IsZero() {
		if u, err := parseURL(e.url); err == nil {
			password, _ := u.User.Password()
			return password
		}
	}
	return e.password.Reveal()
}

// config makes the configuration of pgx for a connection to database.
func (e *endpoint) config(database string) (*pgx.ConnConfig, error) {
	words := maps.Clone(e.params)
	if words == nil {
		words = map[string]string{}
	}
	set := func(name, value string) {
		if value != "" {
			words[name] = value
		}
	}
	set("host", e.host)
	set("user", e.user)
	set("dbname", database)
	if e.port != 0 {
		words["port"] = fmt.Sprint(e.port)
	}
	tls, err := e.ssl.tlsConfig(e.host)
	if err != nil {
		var at *config.KeyError
		if errors.As(err, &at) {
			return nil, config.At(e.sslKey+"."+at.Path, at.Err)
		}
		return nil, config.At(e.sslKey, err)
	}
	if e.ssl.Set || (words["sslmode"] == "" && lookupEnv("PGSSLMODE") == "") {
		words["sslmode"] = "disable" // as upstream: no TLS unless it is asked for
	}
	cc, err := pgx.ParseConfig(keywords(words))
	if err != nil {
		// pgconn quotes its input; the cause alone is enough.
		if cause := errors.Unwrap(err); cause != nil {
			err = cause
		}
		return nil, config.At(cmpOr(e.hostKey, rootKey+".connection"), err)
	}
	if tls != nil {
		cc.TLSConfig, cc.Fallbacks = tls, nil
	}
	return cc, nil
}

// keywords writes a libpq connection string.
func keywords(words map[string]string) string {
	var b strings.Builder
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	for _, name := range slices.Sorted(maps.Keys(words)) {
		fmt.Fprintf(&b, "%s='%s' ", name, quote.Replace(words[name]))
	}
	return b.String()
}

// overlay returns base with every key that over sets.
func overlay(base, over Connection) Connection {
	out := reflect.ValueOf(&base).Elem()
	in := reflect.ValueOf(over)
	for i := range in.NumField() {
		if !in.Field(i).IsZero() {
			out.Field(i).Set(in.Field(i))
		}
	}
	return base
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
