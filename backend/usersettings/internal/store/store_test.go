package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/backend/usersettings/internal/store"
)

const (
	alice = "user:default/alice"
	bob   = "user:default/bob"
)

var plenty = store.Limits{Settings: 1000, Bytes: 1 << 20}

func name(bucket, key string) store.Name { return store.Name{Bucket: bucket, Key: key} }

func TestSettings(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		ctx, s := t.Context(), store.New(d)
		put := func(user, bucket, key, value string, most store.Limits, want error) {
			t.Helper()
			if err := s.Put(ctx, user, name(bucket, key), json.RawMessage(value), most); !errors.Is(err, want) {
				t.Fatalf("put %s %s/%s: %v, want %v", user, bucket, key, err, want)
			}
		}
		get := func(user, bucket, key, want string) {
			t.Helper()
			v, ok, err := s.Get(ctx, user, name(bucket, key))
			if err != nil || ok != (want != "") || string(v) != want {
				t.Errorf("%s %s/%s is %s, %v, %v, want %q", user, bucket, key, v, ok, err, want)
			}
		}
		get(alice, "theme", "mode", "")
		put(alice, "theme", "mode", `"dark"`, plenty, nil)
		put(alice, "theme", "mode", `{"b":1, "a":[null,"\u0000é"]}`, plenty, nil)
		put(alice, "theme", "Mode", `1`, plenty, nil)
		put(bob, "theme", "mode", `"light"`, plenty, nil)
		get(alice, "theme", "mode", `{"b":1, "a":[null,"\u0000é"]}`)
		get(alice, "theme", "Mode", `1`)
		get(bob, "theme", "mode", `"light"`)
		get(bob, "theme", "Mode", "")

		// What is replaced does not count, and what others have does not either.
		full := store.Limits{Settings: 1, Bytes: 9}
		put(bob, "theme", "mode", `"dark-"`, full, nil)
		put(bob, "theme", "mode", `"darkest-"`, full, store.ErrFull)
		put(bob, "theme", "other", `1`, full, store.ErrFull)
		put(bob, "theme", "mode", `"ééé"`, full, nil) // 8 bytes
		put(bob, "theme", "mode", `"éééé"`, full, store.ErrFull)
		get(bob, "theme", "mode", `"ééé"`)

		if ok, err := s.Delete(ctx, bob, name("theme", "Mode")); ok || err != nil {
			t.Errorf("bob deletes what is alice's: %v, %v", ok, err)
		}
		for _, want := range []bool{true, false} {
			if ok, err := s.Delete(ctx, alice, name("theme", "Mode")); ok != want || err != nil {
				t.Errorf("delete: %v, %v, want %v", ok, err, want)
			}
		}
		get(alice, "theme", "Mode", "")
	})
}

// counted counts the statements that go to a database.
type counted struct {
	db.DB
	n int
}

func (c *counted) Query(ctx context.Context, q db.SQL, args ...any) (db.Rows, error) {
	c.n++
	return c.DB.Query(ctx, q, args...)
}

func TestValuesAreOneStatement(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		c := &counted{DB: d}
		s := store.New(c)
		var names []store.Name
		for i := range 500 {
			n := name(fmt.Sprintf("b%d", i%7), fmt.Sprintf("k'%d\"/,{}\\", i))
			if i%2 == 0 {
				if err := s.Put(t.Context(), alice, n, json.RawMessage(fmt.Sprint(i)), plenty); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Put(t.Context(), bob, n, json.RawMessage(`"bob's"`), plenty); err != nil {
				t.Fatal(err)
			}
			names = append(names, n, n)
		}
		values, err := s.Values(t.Context(), alice, names)
		if err != nil || len(values) != 250 || c.n != 1 {
			t.Fatalf("%d values by %d statements, %v", len(values), c.n, err)
		}
		for i := range 500 {
			want := ""
			if i%2 == 0 {
				want = fmt.Sprint(i)
			}
			if got := string(values[names[2*i]]); got != want {
				t.Errorf("%v is %q, want %q", names[2*i], got, want)
			}
		}
		if values, err := s.Values(t.Context(), alice, nil); err != nil || len(values) != 0 || c.n != 1 {
			t.Errorf("no names: %v, %v", values, err)
		}
	})
}

// Names of the greatest length fit into the index of either database.
func TestLongNames(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) {
		s := store.New(d)
		// Not compressible, or the index would take more.
		var long strings.Builder
		for i := 0; long.Len() < 512; i++ {
			fmt.Fprintf(&long, "%x", uint64(i+1)*0x9e3779b97f4a7c15)
		}
		n := name(long.String()[:512], long.String()[:512])
		user := "user:" + long.String()[:63] + "/" + long.String()[:63]
		if err := s.Put(t.Context(), user, n, json.RawMessage("1"), plenty); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := s.Get(t.Context(), user, n); !ok || err != nil {
			t.Error(ok, err)
		}
	})
}
