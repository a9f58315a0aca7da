package auth

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/principal"
)

// Whoever asks is told about itself, as far as it may see that in the catalog.
func TestWhoAmI(t *testing.T) {
	t.Parallel()
	catalog := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, _ := httpx.CallerOf(r).User(); u.Ref != "user:default/alice" || r.URL.Path != "/entities/by-name/user/default/alice" {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"error":{"name":"NotFoundError","message":"no such user"},"response":{"statusCode":404}}`)
			return
		}
		_, _ = io.WriteString(w, `{"kind":"User","metadata":{"name":"alice"}}`)
	})
	actions := &backendtest.Actions{}
	registerActions(actions.Of("auth"), backendtest.Users{"user:default/alice": {"user:default/alice", "group:default/a"}}, backendtest.Clients{"catalog": catalog})
	who := func(p backend.Principal) string {
		out, err := actions.Invoke(t.Context(), backend.Credentials{Principal: p}, "auth:who-am-i", json.RawMessage("{}"), nil)
		if err != nil {
			return err.Error()
		}
		return string(out)
	}
	for _, tt := range []struct {
		p    backend.Principal
		want string
	}{
		{principal.User{Ref: "user:default/alice"},
			`{"entity":{"kind":"User","metadata":{"name":"alice"}},"userInfo":{"userEntityRef":"user:default/alice","ownershipEntityRefs":["user:default/alice","group:default/a"]}}`},
		{principal.User{Ref: "user:default/bob"}, "no such user"},
		{principal.Service{Subject: "external:ci"}, "only users are somebody"},
	} {
		if got := who(tt.p); !strings.Contains(got, tt.want) {
			t.Errorf("%v is %s, want %s", tt.p, got, tt.want)
		}
	}
}
