package db_test

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
)

// TestForValues holds that what is planned for its values is so in pgx's own mode, and
// that an operator's query mode, which poolers may need, is left alone.
func TestForValues(t *testing.T) {
	t.Parallel()
	for setting, overridden := range map[string]bool{
		"": true,
		"?default_query_exec_mode=cache_statement": true,
		"?default_query_exec_mode=exec":            false,
		"?default_query_exec_mode=simple_protocol": false,
		"?default_query_exec_mode=describe_exec":   false,
		"?default_query_exec_mode=cache_describe":  false,
		"?description_cache_capacity=0":            false,
	} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			m, err := db.New(db.Config{Client: "pg", Connection: db.Connection{ConnectionString: config.NewSecret("postgres://u@127.0.0.1:1/x" + setting)}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = m.Close() })
			p := m.Plugin("test")
			for _, forValues := range []bool{false, true} {
				want := []any{"a", 1}
				if forValues && overridden {
					want = []any{pgx.QueryExecModeCacheDescribe, "a", 1}
				}
				if got := p.PgArgs(db.SQL{Postgres: "SELECT $1, $2", ForValues: forValues}, "a", 1); !slices.Equal(got, want) {
					t.Errorf("for values %t: %v, want %v", forValues, got, want)
				}
			}
		})
	}
}
