package backend_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/internal/testbed/pgtest"
)

// vault is a db.TokenSource of one's own.
type vault struct{ region string }

// BeforeConnect implements db.TokenSource.
func (v vault) BeforeConnect(_ context.Context, c *db.ConnConfig) error {
	if err := db.NeedsTLS(c); err != nil {
		return err
	}
	c.Password = "token of " + c.User + " in " + v.region
	return nil
}

// TestADatabaseIsSignedInToWithTokens holds that what a connection type gives arrives at the
// server, for statements and for locks.
func TestADatabaseIsSignedInToWithTokens(t *testing.T) {
	t.Parallel()
	passwords := make(chan string, 100)
	port := pgtest.Fake(t, func(server *pgproto3.Backend) {
		server.Send(&pgproto3.AuthenticationCleartextPassword{})
		if server.Flush() != nil || server.SetAuthType(pgproto3.AuthTypeCleartextPassword) != nil {
			return
		}
		if m, err := server.Receive(); err == nil {
			if p, ok := m.(*pgproto3.PasswordMessage); ok {
				passwords <- p.Password
			}
		}
		server.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "28P01", Message: "no"})
		_ = server.Flush()
	})
	_, err := backendtest.Boot(t, fmt.Sprintf("backend: {database: {client: pg, pluginDivisionMode: schema, connection: {type: vault, host: 127.0.0.1, port: %d, user: portal, region: here}}}", port),
		backend.NewService(backend.DatabaseConnectionOption("vault", func(c db.Connection) (db.TokenSource, error) { return vault{c.Region}, nil })),
		backend.NewPlugin("things", fx.Invoke(func(d db.DB, life fx.Lifecycle) {
			life.Append(fx.StartHook(func(ctx context.Context) error {
				var n int
				return d.QueryRow(ctx, db.Same("SELECT 7")).Scan(&n)
			}))
		})))
	if err == nil || !strings.Contains(err.Error(), "28P01") {
		t.Errorf("got %v", err)
	}
	select {
	case got := <-passwords:
		if got != "token of portal in here" {
			t.Errorf("the server got %q", got)
		}
	default:
		t.Error("the server got no password")
	}
}

// TestAConnectionTypeThatNobodyBrings holds that a boot error says which module does.
func TestAConnectionTypeThatNobodyBrings(t *testing.T) {
	t.Parallel()
	for typ, fix := range map[string]string{
		"rds": "backend.Add(awsdb.Module())", "azure": "backend.Add(azuredb.Module())", "cloudsql": "backend.Add(cloudsqldb.Module())",
		"vault": "add a service with backend.DatabaseConnectionOption, or use a password and leave type out",
	} {
		_, err := backendtest.Boot(t, fmt.Sprintf("backend: {database: {client: pg, connection: {type: %s, host: x}}}", typ))
		want := fmt.Sprintf("backend.database.connection.type: is %q, but no connection type of that name is part of this backend", typ)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "fix: "+fix) {
			t.Errorf("%s: %v", typ, err)
		}
	}
}

// With this service in main, app-config.yaml may say backend.database.connection.type: vault.
func ExampleDatabaseConnectionOption() {
	service := backend.NewService(backend.DatabaseConnectionOption("vault", func(c db.Connection) (db.TokenSource, error) {
		return vault{c.Region}, nil
	}))
	cfg, err := config.Parse("app-config.yaml", []byte(`
backend:
  baseUrl: http://localhost:7007
  database: {client: pg, connection: {type: vault, host: db.internal, user: portal, region: here}}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	b := backend.New(backend.WithConfig(cfg), backend.WithLogger(slog.DiscardHandler))
	b.Add(service)
	fmt.Println(b.Check())
	// Output: <nil>
}
