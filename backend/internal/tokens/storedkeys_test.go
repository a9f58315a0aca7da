package tokens

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/db/dbtest"
	"github.com/callboard-dev/callboard/backend/principal"
)

// eachTable runs test with both tables, on both databases.
func eachTable(t *testing.T, test func(t *testing.T, d db.DB, table KeyTable)) {
	t.Parallel()
	for name, table := range map[string]KeyTable{"Plugins": PluginKeyTable(), "Users": UserKeyTable()} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, nil, func(t *testing.T, d db.DB) { test(t, d, table) })
		})
	}
}

func ids(t *testing.T, s KeyStore) string {
	t.Helper()
	keys, err := s.PublicKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, k := range keys {
		out = append(out, k.ID)
	}
	return strings.Join(out, " ")
}

func TestReplicasSeeEachOthersKeys(t *testing.T) {
	eachTable(t, func(t *testing.T, d db.DB, table KeyTable) {
		a, b := NewStoredKeys(d, table, time.Hour, nil), NewStoredKeys(d, table, time.Hour, nil)
		if got := ids(t, a); got != "" {
			t.Fatalf("a new database lists %s", got)
		}
		key, err := a.SigningKey(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := ids(t, b); got != key.ID {
			t.Errorf("the other replica lists %q, want %q", got, key.ID)
		}
		pub, err := b.PublicKey(t.Context(), key.ID)
		if err != nil || !key.Key.Public().(*ecdsa.PublicKey).Equal(pub.Key) || pub.Algorithm != "ES256" {
			t.Errorf("the other replica finds %+v, %v", pub, err)
		}
		other, err := b.SigningKey(t.Context())
		if err != nil || other.ID == key.ID {
			t.Errorf("replicas share a private key: %v", err)
		}
		if again, err := a.SigningKey(t.Context()); err != nil || again.ID != key.ID {
			t.Errorf("a key is not used again: %v", err)
		}
		if _, err := a.PublicKey(t.Context(), "nope"); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("unknown key: %v", err)
		}
	})
}

func TestStoredKeysRotate(t *testing.T) {
	eachTable(t, func(t *testing.T, d db.DB, table KeyTable) {
		var now atomic.Pointer[time.Time]
		set := func(at string) {
			v, err := time.Parse("15:04", at)
			if err != nil {
				t.Fatal(err)
			}
			v = v.AddDate(2026, 0, 0)
			now.Store(&v)
		}
		s := NewStoredKeys(d, table, time.Hour, func() time.Time { return *now.Load() })
		sign := func() string {
			k, err := s.SigningKey(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return k.ID
		}
		set("10:00")
		first := sign()
		set("10:59")
		if sign() != first {
			t.Error("a key signs for less than an hour")
		}
		set("11:00")
		second := sign()
		if second == first {
			t.Error("a key signs for more than an hour")
		}
		set("12:59")
		if got := ids(t, s); got != first+" "+second {
			t.Errorf("before three hours are over %q is listed", got)
		}
		set("13:00")
		if got := ids(t, s); got != second {
			t.Errorf("after three hours %q is listed", got)
		}
		third := sign()
		var n int
		count := strings.Replace(table.list.Postgres, "SELECT", "SELECT count(*) FROM (SELECT", 1)
		if err := d.QueryRow(t.Context(), db.Same(count+") AS k"), table.oldest(time.Time{}.AddDate(1, 0, 0), 0)).Scan(&n); err != nil || n != 2 {
			t.Errorf("the table has %d keys, want %s and %s: %v", n, second, third, err)
		}
	})
}

func TestManyWhoNeedAKeyGetOne(t *testing.T) {
	eachTable(t, func(t *testing.T, d db.DB, table KeyTable) {
		s, other := NewStoredKeys(d, table, time.Hour, nil), NewStoredKeys(d, table, time.Hour, nil)
		var wg sync.WaitGroup
		for range 20 {
			for _, store := range []*StoredKeys{s, other} {
				wg.Go(func() {
					if _, err := store.SigningKey(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		if got := strings.Fields(ids(t, s)); len(got) != 2 {
			t.Errorf("two replicas made %d keys", len(got))
		}
	})
}

// brokenDB fails while broken is set.
type brokenDB struct {
	db.DB
	broken atomic.Bool
	tried  atomic.Int64
}

var errAway = errors.New("the database is away")

func (b *brokenDB) Exec(ctx context.Context, q db.SQL, args ...any) (int64, error) {
	if b.broken.Load() {
		b.tried.Add(1)
		return 0, errAway
	}
	return b.DB.Exec(ctx, q, args...)
}

func TestAnOldKeySignsWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	d := &brokenDB{DB: dbtest.Memory(t, nil)}
	var offset atomic.Int64
	start := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	s := NewStoredKeys(d, PluginKeyTable(), time.Hour, func() time.Time { return start.Add(time.Duration(offset.Load())) })
	first, err := s.SigningKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.broken.Store(true)
	offset.Store(int64(90 * time.Minute))
	for range 100 {
		if k, err := s.SigningKey(t.Context()); err != nil || k.ID != first.ID {
			t.Fatalf("after 90 minutes: %v", err)
		}
	}
	if n := d.tried.Load(); n != 1 {
		t.Errorf("100 tokens tried the database %d times", n)
	}
	offset.Store(int64(2 * time.Hour)) // a token signed now would outlive the public key
	if _, err := s.SigningKey(t.Context()); !errors.Is(err, errAway) {
		t.Errorf("after two hours: %v", err)
	}
	d.broken.Store(false)
	if k, err := s.SigningKey(t.Context()); err != nil || k.ID == first.ID {
		t.Errorf("when the database is back: %v", err)
	}
}

func TestTokensOfOneReplicaAreValidOnAnother(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, nil, func(t *testing.T, d db.DB) {
		issuer := &PluginIssuer{Plugin: "catalog", Keys: NewStoredKeys(d, PluginKeyTable(), time.Hour, nil)}
		replica := NewStoredKeys(d, PluginKeyTable(), time.Hour, nil)
		checker := NewChecker(Options{PluginKeys: func(string) (Keys, error) { return replica, nil }})
		token, err := issuer.TokenFor(t.Context(), issuer.Own(), "search")
		if err != nil {
			t.Fatal(err)
		}
		creds, err := checker.Check(t.Context(), token, "search", false)
		if err != nil || creds.Principal.String() != "plugin:catalog" || creds.Type() != principal.TypeService {
			t.Errorf("got %v, %v", creds, err)
		}
	})
}

// keyFiles writes a key pair and returns the names of its files.
func keyFiles(t *testing.T, key any, public any) (pub, private string) {
	t.Helper()
	write := func(name, kind string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	pub = write("public.pem", "PUBLIC KEY", der, err)
	der, err = x509.MarshalPKCS8PrivateKey(key)
	return pub, write("private.pem", "PRIVATE KEY", der, err)
}

func TestKeysInFiles(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	old, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pub, private := keyFiles(t, key, &key.PublicKey)
	oldPub, oldPrivate := keyFiles(t, old, &old.PublicKey)
	good := StaticKeys{Keys: []KeyFile{{PublicKeyFile: pub, PrivateKeyFile: private, KeyID: "a"}, {PublicKeyFile: oldPub, KeyID: "b", Algorithm: "RS256"}}}
	f := NewFileKeys(good)
	if err := f.Load(); err != nil {
		t.Fatal(err)
	}
	if k, err := f.SigningKey(t.Context()); err != nil || k.ID != "a" || !key.Equal(k.Key) {
		t.Errorf("signs with %q, %v", k.ID, err)
	}
	rec := httptest.NewRecorder()
	if err := KeySet(f)(rec, httptest.NewRequest("GET", "/", nil)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"kid":"a"`, `"kid":"b"`, `"use":"sig"`, `"alg":"RS256"`} {
		if !strings.Contains(rec.Body.String(), want) {
			t.Errorf("the key set lacks %s: %s", want, rec.Body)
		}
	}
	for _, tt := range []struct {
		name, want string
		keys       []KeyFile
	}{
		{"a file that is missing", "no such file", []KeyFile{{PublicKeyFile: pub + "x", PrivateKeyFile: private, KeyID: "a"}}},
		{"a private key as public one", "BEGIN PUBLIC KEY", []KeyFile{{PublicKeyFile: private, PrivateKeyFile: private, KeyID: "a"}}},
		{"a signing key that is RSA", "P-256", []KeyFile{{PublicKeyFile: pub, PrivateKeyFile: oldPrivate, KeyID: "a"}}},
		{"an algorithm of other keys", "cannot verify ES256", []KeyFile{{PublicKeyFile: oldPub, PrivateKeyFile: oldPrivate, KeyID: "a"}}},
	} {
		if err := NewFileKeys(StaticKeys{Keys: tt.keys}).Load(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestKeyStoreConfig(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ yaml, want string }{
		{"{}", ""},
		{"{type: database}", ""},
		{"{type: static, static: {keys: [{publicKeyFile: a, privateKeyFile: b, keyId: k}, {publicKeyFile: c, keyId: l, algorithm: RS256}]}}", ""},
		{"{type: memory}", "type"},
		{"{type: static}", "static.keys: required"},
		{"{type: static, static: {keys: [{publicKeyFile: a, keyId: k}]}}", "static.keys[0].privateKeyFile: required"},
		{"{type: static, static: {keys: [{publicKeyFile: a, privateKeyFile: b}]}}", "keyId"},
		{"{type: static, static: {keys: [{publicKeyFile: a, privateKeyFile: b, keyId: k, algorithm: RS256}]}}", "only ES256 can sign"},
		{"{type: static, static: {keys: [{publicKeyFile: a, privateKeyFile: b, keyId: k}, {publicKeyFile: c, keyId: l, algorithm: HS256}]}}", "static.keys[1].algorithm"},
		{"{type: static, static: {keys: [{publicKeyFile: a, privateKeyFile: b, keyId: k}, {publicKeyFile: c, keyId: k}]}}", "static.keys[1].keyId"},
	} {
		cfg, err := config.Parse("app-config.yaml", []byte("store: "+tt.yaml))
		if err != nil {
			t.Fatal(err)
		}
		var c KeyStoreConfig
		err = cfg.Decode("store", &c)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.yaml, err, tt.want)
		}
	}
}

// awayError is of a database that is away.
type awayError struct{}

func (awayError) Error() string     { return "the database is away" }
func (awayError) Unavailable() bool { return true }

type awayKeys struct{}

func (awayKeys) PublicKey(context.Context, string) (PublicKey, error) {
	return PublicKey{}, fmt.Errorf("look up: %w", awayError{})
}

// A client that were told that its token is wrong would sign its user out.
func TestTokensThatCannotBeVerifiedNowAreNotRefused(t *testing.T) {
	t.Parallel()
	users := &UserIssuer{Issuer: "https://portal/api/auth", Keys: NewMemoryKeys(time.Hour, nil)}
	user, _, err := users.Issue(t.Context(), UserClaims{Sub: "user:default/alice"})
	if err != nil {
		t.Fatal(err)
	}
	plugins := &PluginIssuer{Plugin: "catalog", Keys: NewMemoryKeys(time.Hour, nil)}
	plugin, err := plugins.TokenFor(t.Context(), plugins.Own(), "search")
	if err != nil {
		t.Fatal(err)
	}
	c := NewChecker(Options{UserKeys: awayKeys{}, PluginKeys: func(string) (Keys, error) { return awayKeys{}, nil }, Issuer: users.Issuer})
	for name, token := range map[string]string{"user": user, "plugin": plugin} {
		if _, err := c.Check(t.Context(), token, "search", false); apierr.StatusOf(err) != 503 {
			t.Errorf("%s token: %v", name, err)
		}
	}
}
