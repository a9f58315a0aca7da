package backend_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
)

// sealerOf boots a backend with one plugin that seals, and returns its Sealer.
func sealerOf(t *testing.T, plugin backend.PluginID, yaml string, opts ...backend.Option) (backend.Sealer, error) {
	t.Helper()
	cfg, err := backendtest.Config(t, yaml)
	if err != nil {
		t.Fatal(err)
	}
	var sealer backend.Sealer
	b := backend.New(append(opts, backend.WithConfig(cfg), backend.WithLogger(slog.DiscardHandler))...)
	b.Add(backend.NewPlugin(string(plugin), fx.Invoke(func(keys backend.SecretKeys) (err error) {
		sealer, err = keys.Sealer()
		return err
	})))
	if err := b.Start(t.Context()); err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if err := b.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return sealer, nil
}

const productionDatabase = "backend:\n  database: {client: better-sqlite3, connection: ':memory:'}\n"

func TestSecretKeys(t *testing.T) {
	t.Parallel()
	start := func(plugin backend.PluginID, keys string) backend.Sealer {
		t.Helper()
		s, err := sealerOf(t, plugin, productionDatabase+"  secretKeys: "+keys+"\n")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := start("notes", "[the-older-key-of-this-portal]")
	sealed, err := before.Seal("rows", []byte("row 1"), []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, keys string
		plugin     backend.PluginID
		opens      bool
		newest     bool
	}{
		{"another replica", "[the-older-key-of-this-portal]", "notes", true, true},
		{"a key instead of a list", "the-older-key-of-this-portal", "notes", true, true},
		{"a newer key in front", "[a-newer-key-of-this-portal, the-older-key-of-this-portal]", "notes", true, false},
		{"a newer key that does not seal yet", "[the-older-key-of-this-portal, a-newer-key-of-this-portal]", "notes", true, true},
		{"the older key taken out", "[a-newer-key-of-this-portal]", "notes", false, false},
		{"another plugin", "[the-older-key-of-this-portal]", "letters", false, false},
	} {
		s := start(tt.plugin, tt.keys)
		plain, err := s.Open("rows", []byte("row 1"), sealed)
		if tt.opens != (err == nil) || tt.opens && string(plain) != "plain" {
			t.Errorf("%s: %q, %v", tt.name, plain, err)
		}
		if got := s.Newest("rows", []byte("row 1"), sealed); got != tt.newest {
			t.Errorf("%s: sealed with the newest: %v", tt.name, got)
		}
	}
}

func TestWhoSealsNeedsKeysInProduction(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, yaml, want string }{
		{"no key", productionDatabase, "backend.secretKeys: required key is missing: plugin notes encrypts what it stores with it"},
		{"an empty list", productionDatabase + "  secretKeys: []\n", "backend.secretKeys: required key is missing"},
		{"a key that is none", productionDatabase + "  secretKeys: [a-good-key-of-this-portal, changeme]\n", "backend.secretKeys: is shorter than 16 characters; make one with: openssl rand -base64 32"},
	} {
		_, err := sealerOf(t, "notes", tt.yaml)
		var boot *backend.BootError
		if !errors.As(err, &boot) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "changeme") {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	s, err := sealerOf(t, "notes", "", backend.Development())
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := s.Seal("rows", nil, []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := sealerOf(t, "notes", "", backend.Development())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Open("rows", nil, sealed); err == nil {
		t.Error("development without keys: another process opens what this one sealed")
	}
}

// What a plugin stores for somebody is tied to its row: nobody can put it elsewhere.
func ExampleSecretKeys() {
	ready := make(chan struct{})
	runExample(ready, backend.NewPlugin("vault", fx.Invoke(func(keys backend.SecretKeys) error {
		defer close(ready)
		sealer, err := keys.Sealer()
		if err != nil {
			return err
		}
		sealed, err := sealer.Seal("passwords", []byte("user:default/alice"), []byte("correct horse"))
		if err != nil {
			return err
		}
		plain, err := sealer.Open("passwords", []byte("user:default/alice"), sealed)
		fmt.Println(string(plain), err)
		_, err = sealer.Open("passwords", []byte("user:default/mallory"), sealed)
		fmt.Println(err)
		return nil
	})))
	// Output:
	// correct horse <nil>
	// not sealed with any of the secrets, or changed since
}
