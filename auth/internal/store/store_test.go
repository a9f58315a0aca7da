package store_test

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/callboard-dev/callboard/auth/internal/store"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// each runs a test with an empty store on every database.
func each(t *testing.T, test func(t *testing.T, s *store.Store)) {
	t.Parallel()
	dbtest.Each(t, store.Migrations(), func(t *testing.T, d db.DB) { test(t, store.New(d)) })
}

func TestClients(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		c := store.OAuthClient{ID: "c", SecretHash: "hash", Name: "A tool", RedirectURIs: []string{"http://localhost/a", "http://localhost/b?c=d&e"},
			Scope: "openid offline_access", GrantTypes: []string{"authorization_code", "refresh_token"}, ResponseTypes: []string{"code"}}
		if err := s.AddClient(t.Context(), c, noon); err != nil {
			t.Fatal(err)
		}
		got, ok, err := s.Client(t.Context(), "c")
		if err != nil || !ok || got.Name != c.Name || got.SecretHash != c.SecretHash || !slices.Equal(got.RedirectURIs, c.RedirectURIs) ||
			got.Scope != c.Scope || !slices.Equal(got.GrantTypes, c.GrantTypes) || !slices.Equal(got.ResponseTypes, c.ResponseTypes) {
			t.Errorf("%+v, %v, %v", got, ok, err)
		}
		if _, ok, err := s.Client(t.Context(), "d"); ok || err != nil {
			t.Error(ok, err)
		}
	})
}

func TestAuthorizations(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		a := store.Authorization{ID: "a", ClientID: "c", ClientName: "A tool", RedirectURI: "http://localhost/", Scope: "openid", State: "s", Nonce: "n",
			Challenge: "x", ChallengeMethod: "S256", ExpiresAt: noon.Add(time.Hour)}
		for _, id := range []string{"a", "b"} {
			a.ID = id
			if err := s.AddAuthorization(t.Context(), a, noon); err != nil {
				t.Fatal(err)
			}
		}
		pending := func(id string, now time.Time) bool {
			t.Helper()
			got, ok, err := s.PendingAuthorization(t.Context(), id, now)
			want := a
			want.ID, want.Status = id, store.AuthorizationPending
			if err != nil || ok && got != want {
				t.Errorf("%+v, %v", got, err)
			}
			return ok
		}
		if !pending("a", noon) || pending("a", noon.Add(time.Hour)) || pending("c", noon) {
			t.Error("what is pending is not what was asked and has not expired")
		}
		decide := func(ok bool, err error) bool {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		if decide(s.Approve(t.Context(), "a", "user:default/alice", "hash", noon.Add(time.Hour), noon)) {
			t.Error("approved after it had expired")
		}
		if !decide(s.Approve(t.Context(), "a", "user:default/alice", "hash", noon, noon.Add(10*time.Minute))) ||
			decide(s.Approve(t.Context(), "a", "user:default/bob", "other", noon, noon)) || decide(s.Reject(t.Context(), "a", "user:default/bob", noon)) {
			t.Error("not decided exactly once")
		}
		if !decide(s.Reject(t.Context(), "b", "user:default/bob", noon)) || pending("a", noon) || pending("b", noon) {
			t.Error("b was not rejected, or something is pending")
		}
		got, expires, used, ok, err := s.Code(t.Context(), "hash")
		if err != nil || !ok || used || !expires.Equal(noon.Add(10*time.Minute)) || got.ID != "a" || got.User != "user:default/alice" || got.Status != store.AuthorizationApproved || got.Challenge != "x" {
			t.Errorf("%+v, %v, %v, %v, %v", got, expires, used, ok, err)
		}
		if !decide(s.UseCode(t.Context(), "hash")) || decide(s.UseCode(t.Context(), "hash")) || decide(s.UseCode(t.Context(), "nope")) {
			t.Error("not used exactly once")
		}
		if _, _, used, ok, err := s.Code(t.Context(), "hash"); err != nil || !ok || !used {
			t.Error(used, ok, err)
		}
		if _, _, _, ok, err := s.Code(t.Context(), "nope"); err != nil || ok {
			t.Error(ok, err)
		}
	})
}

// addGrant stores a grant the way it comes to be: with the code of a question that its
// user has answered with yes.
func addGrant(t *testing.T, s *store.Store, g store.Grant, most int) {
	t.Helper()
	err := s.AddAuthorization(t.Context(), store.Authorization{ID: "q-" + g.ID, ClientID: g.ClientID, ExpiresAt: g.CreatedAt.Add(time.Hour)}, noon)
	if err == nil {
		_, err = s.Approve(t.Context(), "q-"+g.ID, g.User, g.CodeHash, g.CreatedAt, g.CreatedAt)
	}
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := s.AddGrant(t.Context(), g, most); err != nil || !ok {
		t.Fatal(ok, err)
	}
}

// TestNoGrantOfAMisusedCode holds that a code that was used twice begins nothing, whichever
// comes first, and if both come at once.
func TestNoGrantOfAMisusedCode(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		for i := range 10 {
			id := fmt.Sprint(i)
			g := store.Grant{ID: id, User: "user:default/u" + id, ClientID: "x", CodeHash: "c-" + id, CreatedAt: noon}
			addGrant(t, s, g, 5)
			if _, err := s.EndGrant(t.Context(), id, ""); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				if _, err := s.AddGrant(t.Context(), g, 5); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				if err := s.EndGrantOfCode(t.Context(), g.CodeHash); err != nil {
					t.Error(err)
				}
			})
			wg.Wait()
			if ok, err := s.AddGrant(t.Context(), g, 5); ok || err != nil {
				t.Error("after the misuse", ok, err)
			}
		}
		if all, err := s.Grants(t.Context(), "", "", 10); len(all) != 0 || err != nil {
			t.Error(all, err)
		}
		if ok, err := s.AddGrant(t.Context(), store.Grant{ID: "x", CodeHash: "nope", CreatedAt: noon}, 5); ok || err != nil {
			t.Error("without a code", ok, err)
		}
	})
}

func TestGrants(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		add := func(id, user, client string, at time.Time) {
			t.Helper()
			g := store.Grant{ID: id, User: user, ClientID: client, ClientName: "A tool", Scope: "openid", TokenHash: "t-" + id, CodeHash: "c-" + id, CreatedAt: at}
			addGrant(t, s, g, 2)
		}
		ids := func(user string) string {
			t.Helper()
			list, err := s.Grants(t.Context(), user, "", 10)
			if err != nil {
				t.Fatal(err)
			}
			var out []string
			for _, g := range list {
				out = append(out, g.ID)
			}
			return fmt.Sprint(out)
		}
		const alice, bob = "user:default/alice", "user:default/bob"
		add("1", alice, "x", noon)
		add("2", alice, "x", noon.Add(time.Minute)) // in place of the first
		add("3", alice, "y", noon.Add(2*time.Minute))
		add("4", bob, "x", noon)
		if ids(alice) != "[2 3]" || ids("") != "[2 3 4]" {
			t.Error(ids(alice), ids(""))
		}
		if list, err := s.Grants(t.Context(), "", "2", 1); err != nil || len(list) != 1 || list[0].ID != "3" {
			t.Error(list, err)
		}
		ok, err := s.RotateGrant(t.Context(), "2", "t-2", "next", noon.Add(3*time.Minute))
		if !ok || err != nil {
			t.Error(ok, err)
		}
		if ok, err := s.RotateGrant(t.Context(), "2", "t-2", "again", noon); ok || err != nil {
			t.Error("an old token was rotated", err)
		}
		g, ok, err := s.Grant(t.Context(), "2")
		if err != nil || !ok || g.TokenHash != "next" || !g.LastUsedAt.Equal(noon.Add(3*time.Minute)) || !g.CreatedAt.Equal(noon.Add(time.Minute)) {
			t.Errorf("%+v, %v, %v", g, ok, err)
		}
		add("5", alice, "z", noon.Add(4*time.Minute)) // one too many: 3 was not used for the longest time
		if ids(alice) != "[2 5]" {
			t.Error(ids(alice))
		}
		if ok, err := s.EndGrant(t.Context(), "2", bob); ok || err != nil {
			t.Error("bob ended a grant of alice", err)
		}
		if ok, err := s.EndGrant(t.Context(), "2", alice); !ok || err != nil {
			t.Error(ok, err)
		}
		if err := s.EndGrantOfCode(t.Context(), "c-5"); err != nil || ids(alice) != "[]" {
			t.Error(ids(alice), err)
		}
		if n, err := s.EndGrantsOf(t.Context(), bob); n != 1 || err != nil {
			t.Error(n, err)
		}
	})
}

func TestCleanOAuth(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		fatal := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range []string{"idle", "granted", "asked"} {
			fatal(s.AddClient(t.Context(), store.OAuthClient{ID: id, RedirectURIs: []string{}}, noon))
		}
		fatal(s.AddAuthorization(t.Context(), store.Authorization{ID: "old", ClientID: "granted", ExpiresAt: noon}, noon))
		fatal(s.AddAuthorization(t.Context(), store.Authorization{ID: "new", ClientID: "asked", ExpiresAt: noon.Add(3 * time.Hour)}, noon.Add(2*time.Hour)))
		_, err := s.Approve(t.Context(), "old", "u", "code", noon.Add(-time.Hour), noon)
		fatal(err)
		for i, user := range []string{"unused", "long", "good"} {
			addGrant(t, s, store.Grant{ID: user, User: user, ClientID: "granted", CodeHash: "c-" + user, CreatedAt: noon.Add(time.Duration(i) * time.Hour)}, 5)
		}
		_, err = s.RotateGrant(t.Context(), "long", "", "", noon.Add(9*time.Hour))
		fatal(err)
		fatal(s.CleanOAuth(t.Context(), noon, noon, noon.Add(time.Hour), noon.Add(time.Hour)))
		var left []string
		for _, id := range []string{"idle", "granted", "asked"} {
			if _, ok, err := s.Client(t.Context(), id); ok && err == nil {
				left = append(left, id)
			}
		}
		if _, ok, _ := s.PendingAuthorization(t.Context(), "new", noon); ok {
			left = append(left, "new")
		}
		if _, _, _, ok, _ := s.Code(t.Context(), "code"); ok {
			left = append(left, "code")
		}
		grants, err := s.Grants(t.Context(), "", "", 10)
		fatal(err)
		for _, g := range grants {
			left = append(left, g.ID)
		}
		if !slices.Equal(left, []string{"granted", "asked", "new", "good"}) {
			t.Error(left)
		}
	})
}

func TestUserInfo(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		var before []string
		for i, doc := range []string{`{"claims":{}}`, `{"claims":{"a":"\u0000é"}}`, `{}`} {
			was, err := s.SetUserInfo(t.Context(), "user:default/alice", []byte(doc), noon.Add(time.Duration(i)*time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			before = append(before, string(was))
		}
		if !slices.Equal(before, []string{"", `{"claims":{}}`, `{"claims":{"a":"\u0000é"}}`}) {
			t.Errorf("%q", before)
		}
		if doc, ok, err := s.UserInfo(t.Context(), "user:default/alice"); string(doc) != "{}" || !ok || err != nil {
			t.Error(string(doc), ok, err)
		}
		if _, ok, err := s.UserInfo(t.Context(), "user:default/bob"); ok || err != nil {
			t.Error(ok, err)
		}
	})
}

// TestTheTableOfTheReferenceStaysInUse migrates a database that has user_info already.
func TestTheTableOfTheReferenceStaysInUse(t *testing.T) {
	t.Parallel()
	const before = "-- +goose Up\nCREATE TABLE user_info (user_entity_ref varchar(255) PRIMARY KEY, user_info text NOT NULL, created_at %[1]s NOT NULL, updated_at %[1]s NOT NULL);\n" +
		"INSERT INTO user_info VALUES ('user:default/alice', '{\"claims\":{\"sub\":\"user:default/alice\"}}', '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z');\n"
	all := fstest.MapFS{
		"postgres/00001_reference.sql": {Data: fmt.Appendf(nil, before, "timestamptz")},
		"sqlite/00001_reference.sql":   {Data: fmt.Appendf(nil, before, "datetime")},
	}
	err := fs.WalkDir(store.Migrations(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := fs.ReadFile(store.Migrations(), name)
		all[strings.Replace(name, "/0000", "/0001", 1)] = &fstest.MapFile{Data: text}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	dbtest.Each(t, all, func(t *testing.T, d db.DB) {
		was, err := store.New(d).SetUserInfo(t.Context(), "user:default/alice", []byte("{}"), noon)
		if err != nil || string(was) != `{"claims":{"sub":"user:default/alice"}}` {
			t.Error(string(was), err)
		}
	})
}
