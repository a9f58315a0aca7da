package flow

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// TestSEC5_NoOriginEndsTheScript holds the bytes of the page for origins and messages that
// are not as harmless as those that get here today.
func TestSEC5_NoOriginEndsTheScript(t *testing.T) {
	t.Parallel()
	for _, hostile := range []string{
		`https://a'),alert(1),('`, `https://a</script><script>alert(1)</script>`, `https://a\'`, "https://a\n\u2028", `https://a%27`, `https://a"<!--`, `https://ä.example`,
	} {
		for _, in := range []struct{ origin, message string }{{hostile, "x"}, {"https://portal.acme.com", hostile}} {
			w := httptest.NewRecorder()
			if err := Popup(w, in.origin, Response(in.message)); err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(Response(in.message))
			if err != nil {
				t.Fatal(err)
			}
			page := w.Body.String()
			const head, tail = "<!DOCTYPE html><html><head><title>Sign-in</title></head><body><script>", "</script></body></html>"
			script, ok1 := strings.CutPrefix(page, head)
			script, ok2 := strings.CutSuffix(script, tail)
			rest, ok3 := strings.CutPrefix(script, scriptHead)
			rest, ok4 := strings.CutSuffix(rest, scriptTail)
			message, origin, ok5 := strings.Cut(rest, scriptMiddle)
			if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
				t.Fatalf("%+v: the page is %s", in, page)
			}
			for _, part := range []string{message, origin} {
				if strings.ContainsFunc(part, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`'"<>\&`, r) }) {
					t.Errorf("%+v: %s is in the script as it is", in, part)
				}
			}
			if got, err := url.PathUnescape(origin); err != nil || got != in.origin {
				t.Errorf("the origin %q becomes %q, %v", in.origin, got, err)
			}
			var got, want any
			decoded, err := url.PathUnescape(message)
			if err != nil || json.Unmarshal([]byte(decoded), &got) != nil || json.Unmarshal(text, &want) != nil || got.(map[string]any)["response"] != want.(map[string]any)["response"] {
				t.Errorf("the message %q becomes %q, %v", in.message, decoded, err)
			}
			sum := sha256.Sum256([]byte(script))
			if policy := w.Header().Get("Content-Security-Policy"); policy != "script-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'; default-src 'none'" {
				t.Errorf("%+v: the policy is %s", in, policy)
			}
		}
	}
}
