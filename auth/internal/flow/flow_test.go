package flow

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/apierr"
)

func sign(key string) Signer {
	return func(text string) ([]byte, error) {
		h := hmac.New(sha256.New, []byte(key))
		h.Write([]byte(text))
		return h.Sum(nil), nil
	}
}

func check(key string) Checker {
	return func(text string, signature []byte) bool {
		want, _ := sign(key)(text)
		return hmac.Equal(want, signature)
	}
}

func encode(t testing.TB, s State, key string) string {
	t.Helper()
	out, err := s.Encode(sign(key))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestStateOnTheWire holds the form of states that contract/auth.md section 2.4 shows.
func TestStateOnTheWire(t *testing.T) {
	t.Parallel()
	s := State{Nonce: "q83vEjRWeJCrze8SNFZ4kA==", Env: "production", Origin: "https://portal.acme.com", Flow: "popup", Scope: "openid profile email"}
	encoded := encode(t, s, "k")
	const want = "6e6f6e63653d71383376456a5257654a43727a6538534e465a346b4125334425334426656e763d70726f64756374696f6e266f726967696e3d68747470732533412532462532" +
		"46706f7274616c2e61636d652e636f6d26666c6f773d706f7075702673636f70653d6f70656e69642b70726f66696c652b656d61696c"
	if !strings.HasPrefix(encoded, want+hex.EncodeToString([]byte("&sig="))) {
		t.Errorf("encoded %s", encoded)
	}
	if got, err := DecodeState(encoded, check("k")); err != nil || got != s {
		t.Errorf("decoded %+v, %v", got, err)
	}
	s.RedirectURL = "https://portal.acme.com/a?b=c&sig=00#d"
	if got, err := DecodeState(encode(t, s, "k"), check("k")); err != nil || got != s {
		t.Errorf("decoded %+v, %v", got, err)
	}
}

// TestStatesThatAreRefused holds that every change of a state shows.
func TestStatesThatAreRefused(t *testing.T) {
	t.Parallel()
	good := encode(t, State{Nonce: "n", Env: "production", Origin: "https://portal.acme.com"}, "k")
	raw, _ := hex.DecodeString(good)
	text := string(raw)
	in := func(s string) string { return hex.EncodeToString([]byte(s)) }
	for name, encoded := range map[string]string{
		"nothing":           "",
		"no hexadecimal":    "zz",
		"odd":               good[:len(good)-1],
		"another secret":    encode(t, State{Nonce: "n", Env: "production"}, "other"),
		"no nonce":          encode(t, State{Env: "production"}, "k"),
		"no env":            encode(t, State{Nonce: "n"}, "k"),
		"no signature":      in(text[:strings.Index(text, "&sig=")]),
		"changed":           in(strings.Replace(text, "portal", "evil00", 1)),
		"added in front":    in("origin=https%3A%2F%2Fevil.example&" + text),
		"added at the end":  in(text + "&origin=https%3A%2F%2Fevil.example"),
		"signature emptied": in(text[:strings.Index(text, "&sig=")] + "&sig="),
		"bad escapes":       in("nonce=%zz&env=x"),
		"too long":          strings.Repeat("00", 9<<10),
	} {
		if s, err := DecodeState(encoded, check("k")); !errors.Is(err, apierr.NotAllowed) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

// FuzzDecodeState holds that what decodes was encoded with the secret.
func FuzzDecodeState(f *testing.F) {
	f.Add(encode(f, State{Nonce: "n", Env: "production", Scope: "a b"}, "k"))
	f.Add("6e6f6e6365")
	f.Fuzz(func(t *testing.T, encoded string) {
		s, err := DecodeState(encoded, check("k"))
		if err != nil {
			return
		}
		if again, err := DecodeState(encode(t, s, "k"), check("k")); err != nil || again != s {
			t.Errorf("%+v becomes %+v, %v", s, again, err)
		}
	})
}

func TestOriginPatterns(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pattern string
		yes, no []string
	}{
		{"https://*.acme.com", []string{"https://a.acme.com", "https://.acme.com"}, []string{"https://a.b.acme.com", "http://a.acme.com", "https://acme.com", "https://a.acme.com:8443", "https://a.acme.com.evil"}},
		{"https://pr-*.acme.com", []string{"https://pr-1.acme.com"}, []string{"https://pr-1.x.acme.com", "https://xpr-1.acme.com"}},
		{"http://localhost:*", []string{"http://localhost:3000"}, []string{"http://localhost", "http://localhost.evil:1"}},
		{"https://{a,b}.acme.com", []string{"https://a.acme.com", "https://B.acme.com"}, []string{"https://c.acme.com", "https://a,b.acme.com"}},
		{"https://a?.acme.com/", []string{"https://ab.acme.com"}, []string{"https://a.acme.com", "https://a..acme.com"}},
	} {
		o, err := NewOrigins("", []string{tt.pattern})
		if err != nil {
			t.Errorf("%s: %v", tt.pattern, err)
			continue
		}
		for _, origin := range tt.yes {
			if !o.Allowed(strings.ToLower(origin)) {
				t.Errorf("%s does not match %s", tt.pattern, origin)
			}
		}
		for _, origin := range append(tt.no, "null", "") {
			if o.Allowed(origin) {
				t.Errorf("%s matches %s", tt.pattern, origin)
			}
		}
	}
	for _, pattern := range []string{"*.acme.com", "acme.com", "*", "ftp://a", "https://", "https://a/b", "https://u@a", "https://{a.acme.com", "https://[a-z].acme.com", "https://a-*\u3002acme.com", "https://%61.acme.com"} {
		if _, err := OriginPattern(pattern); err == nil {
			t.Errorf("%s is accepted", pattern)
		}
	}
}

func TestUnion(t *testing.T) {
	t.Parallel()
	got := Union(SplitScopes(" a,b|c\td\n"), nil, []string{"b", "e"}, SplitScopes(""))
	if strings.Join(got, " ") != "a b c d e" {
		t.Errorf("union %q", got)
	}
}
