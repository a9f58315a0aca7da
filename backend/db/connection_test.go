package db

import (
	"net/url"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/config"
)

func TestConnectionsBecomePgxs(t *testing.T) {
	t.Setenv("PGSSLMODE", "")
	t.Setenv("PGAPPNAME", "")
	yes, no := true, false
	for _, tt := range []struct {
		name  string
		c     Connection
		check func(*Plugin) bool
	}{
		{
			name: "without ssl there is no TLS", c: Connection{Host: "h"},
			check: func(p *Plugin) bool { return p.conn.TLSConfig == nil && len(p.conn.Fallbacks) == 0 },
		},
		{
			name: "ssl: true checks the certificate for the host", c: Connection{Host: "h", SSL: SSL{Set: true}},
			check: func(p *Plugin) bool {
				return p.conn.TLSConfig.ServerName == "h" && !p.conn.TLSConfig.InsecureSkipVerify && len(p.conn.Fallbacks) == 0
			},
		},
		{
			name: "rejectUnauthorized: true is the same", c: Connection{Host: "h", SSL: SSL{Set: true, RejectUnauthorized: &yes, ServerName: "other"}},
			check: func(p *Plugin) bool {
				return p.conn.TLSConfig.ServerName == "other" && !p.conn.TLSConfig.InsecureSkipVerify
			},
		},
		{
			name: "rejectUnauthorized: false does not check", c: Connection{Host: "h", SSL: SSL{Set: true, RejectUnauthorized: &no}},
			check: func(p *Plugin) bool { return p.conn.TLSConfig.InsecureSkipVerify },
		},
		{
			name: "ssl: false is no TLS", c: Connection{Host: "h", SSL: SSL{Set: true, Off: true}},
			check: func(p *Plugin) bool { return p.conn.TLSConfig == nil },
		},
		{
			name: "sslmode of a URL counts", c: Connection{ConnectionString: config.NewSecret("postgres://h/d?sslmode=verify-full")},
			check: func(p *Plugin) bool {
				return p.conn.TLSConfig != nil && p.conn.TLSConfig.ServerName == "h" && len(p.conn.Fallbacks) == 0
			},
		},
		{
			name: "ssl of a URL counts", c: Connection{ConnectionString: config.NewSecret("postgres://h/d?ssl=true")},
			check: func(p *Plugin) bool { return p.conn.TLSConfig != nil && p.conn.TLSConfig.ServerName == "h" },
		},
		{
			name: "the application has the plugin's name", c: Connection{Host: "h"},
			check: func(p *Plugin) bool {
				return p.conn.RuntimeParams["application_name"] == "backstage_plugin_user-settings"
			},
		},
		{
			name: "unless it is given", c: Connection{Host: "h", ApplicationName: "it's mine"},
			check: func(p *Plugin) bool { return p.conn.RuntimeParams["application_name"] == "it's mine" },
		},
		{
			name: "timeouts are the server's", c: Connection{Host: "h", StatementTimeout: 1000, LockTimeout: 20, IdleInTransaction: 3, ConnectionTimeoutMillis: 1500},
			check: func(p *Plugin) bool {
				r := p.conn.RuntimeParams
				return r["statement_timeout"] == "1000" && r["lock_timeout"] == "20" && r["idle_in_transaction_session_timeout"] == "3" && p.conn.ConnectTimeout.Milliseconds() == 1500
			},
		},
		{
			name: "a host may be the folder of a socket", c: Connection{Host: "/var/run/postgresql", User: `o'n\eil`},
			check: func(p *Plugin) bool { return p.conn.Host == "/var/run/postgresql" && p.conn.User == `o'n\eil` },
		},
		{
			name: "special characters of a URL's password are decoded", c: Connection{ConnectionString: config.NewSecret("postgres://u:a%40b%2F@h/d")},
			check: func(p *Plugin) bool { return p.end.secret() == "a@b/" && p.conn.Password == "" },
		},
		{
			name: "a password beside the URL serves where that has none", c: Connection{ConnectionString: config.NewSecret("postgres://u@h/d"), Password: config.NewSecret("p")},
			check: func(p *Plugin) bool { return p.end.secret() == "p" },
		},
	} {
		m, err := New(Config{Client: "pg", Connection: tt.c})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if !tt.check(m.Plugin("user-settings")) {
			t.Errorf("%s: it is %+v", tt.name, m.Plugin("user-settings").conn.Config.RuntimeParams)
		}
	}
}

// FuzzConnectionURL: whatever text is given as the connection, New does not crash and
// does not show the password that it contains.
func FuzzConnectionURL(f *testing.F) {
	for _, seed := range []string{
		"postgres://user:password@host:5432/database?sslmode=require", "postgres:///x?host=/run&port=1", ":memory:",
		"postgres://u:canary%zz@h/d", "postgres://u:canary@h:port/d", "postgresql://[::1]:5/d", "postgres://h/d?options=-c%20a%3Db", "host=x password=canary", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cfg := Config{Client: "pg", PluginDivisionMode: "schema", Connection: connectionText(config.NewSecret(text))}
		m, err := New(cfg)
		if err == nil {
			m.Plugin("x").Where()
			return
		}
		if u, parseErr := url.Parse(text); parseErr == nil {
			if password, ok := u.User.Password(); ok && len(password) > 8 && strings.Contains(err.Error(), password) && !strings.Contains(u.Redacted(), password) {
				t.Errorf("%q: the error shows the password: %v", text, err)
			}
		}
	})
}

func TestReadersOnlyGetQueries(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"SELECT 1":                      true,
		"\n\t-- why\n select 1":         true,
		"(SELECT 1) UNION (SELECT 2)":   true,
		"VALUES (1)":                    true,
		"WITH x AS (SELECT 1) SELECT 1": true,
		"EXPLAIN SELECT 1":              true,
		"WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x RETURNING 1": false,
		"INSERT INTO t VALUES (1) RETURNING 1":                           false,
		"UPDATE t SET a = 1 RETURNING a":                                 false,
		"PRAGMA user_version = 1":                                        false,
		"":                                                               false,
		"-- only a comment":                                              false,
	} {
		if got := readsOnly(text); got != want {
			t.Errorf("readsOnly(%q) is %v", text, got)
		}
	}
}

func TestSQLiteValuesFitTheirTargets(t *testing.T) {
	t.Parallel()
	type kind string
	for _, tt := range []struct {
		src  any
		dest any
		want string // of the error
	}{
		{src: int64(1), dest: new(int)},
		{src: int64(1), dest: new(bool)},
		{src: int64(1), dest: new(uint8)},
		{src: int64(1), dest: new(float64)},
		{src: int64(1), dest: new(*int32)},
		{src: nil, dest: new(*int32)},
		{src: "x", dest: new(kind)},
		{src: `["x"]`, dest: new([]string)},
		{src: `{"x":1}`, dest: new(map[string]int)},
		{src: "x", dest: new([]byte)},
		{src: []byte("x"), dest: new(string)},
		{src: 2.0, dest: new(int)},
		{src: int64(2), dest: new(bool), want: "cannot scan a int64 into *bool"},
		{src: int64(300), dest: new(uint8), want: "cannot scan a int64 into *uint8"},
		{src: int64(-1), dest: new(uint), want: "cannot scan a int64 into *uint"},
		{src: "x", dest: new(int), want: "cannot scan a string into *int"},
		{src: nil, dest: new(int), want: "cannot scan NULL into *int"},
		{src: 1.5, dest: new(int), want: "cannot scan a float64 into *int"},
		{src: "{", dest: new([]string), want: "scan into *[]string: unexpected end of JSON input"},
		{src: int64(1), dest: 1, want: "scan target is a int, want a pointer"},
	} {
		err := assign(tt.dest, tt.src)
		if got := errorText(err); got != tt.want {
			t.Errorf("%v into %T: %q, want %q", tt.src, tt.dest, got, tt.want)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
