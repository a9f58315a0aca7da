package mcpactions

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/httpx"
)

// authSwitches is what concerns this plugin of the section auth, which the plugin auth
// declares and checks: whether programs can get tokens there, and renew them.
type authSwitches struct{ programs, renewed bool }

func readSwitches(cfg *config.Config) (s authSwitches, err error) {
	on := func(key string) bool {
		v, _, failed := cfg.Bool("auth." + key + ".enabled")
		err = errors.Join(err, failed)
		return v
	}
	for _, key := range []string{"clientIdMetadataDocuments", "experimentalClientIdMetadataDocuments", "experimentalDynamicClientRegistration"} {
		s.programs = on(key) || s.programs
	}
	s.renewed = on("experimentalRefreshToken")
	return s, err
}

// oauth tells programs where they get a token (RFC 9728 and RFC 8414).
type oauth struct {
	switches  authSwitches
	discovery backend.Discovery
	clients   backend.Clients
	auth      backend.Auth
}

const (
	resourcePath = "/.well-known/oauth-protected-resource/api/" + pluginID + "/v1"
	serverPath   = "/.well-known/oauth-authorization-server"
)

// routes also serves the path that RFC 8414 makes of an issuer that has a path, which is
// where programs look first.
func (o *oauth) routes(w backend.WellKnown, servers []string) {
	w.Handle(resourcePath, o.resource("/v1"))
	for _, key := range servers {
		w.Handle(resourcePath+"/"+key, o.resource("/v1/"+key))
	}
	w.Handle(serverPath, o.server)
	w.Handle(serverPath+"/api/auth", o.server)
}

// protectedResource is the metadata of RFC 9728.
type protectedResource struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers"`
	ScopesSupported      []string `json:"scopes_supported"`
}

func (o *oauth) resource(path string) backend.Handler {
	return func(w http.ResponseWriter, _ *http.Request) error {
		if !o.switches.programs {
			return httpx.Empty(w, http.StatusNotFound)
		}
		own, err := o.discovery.ExternalBaseURL(pluginID)
		if err != nil {
			return err
		}
		auth, err := o.discovery.ExternalBaseURL("auth")
		if err != nil {
			return err
		}
		doc := protectedResource{own + path, []string{auth}, []string{"openid"}}
		if o.switches.renewed {
			doc.ScopesSupported = append(doc.ScopesSupported, "offline_access")
		}
		return httpx.JSON(w, http.StatusOK, doc)
	}
}

// maxMetadata bounds what is read of the answer of the plugin auth.
const maxMetadata = 64 << 10

// server hands on what the plugin auth says of itself, wherever that runs.
func (o *oauth) server(w http.ResponseWriter, r *http.Request) error {
	if !o.switches.programs {
		return httpx.Empty(w, http.StatusNotFound)
	}
	client, base, err := o.clients.Client(r.Context(), o.auth.Own(), "auth")
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, base+"/.well-known/openid-configuration", nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return apierr.ServiceUnavailable.Wrap(err, "the plugin auth does not answer")
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxMetadata))
	switch {
	case err != nil:
		return fmt.Errorf("metadata of the plugin auth: %w", err)
	case res.StatusCode == http.StatusNotFound:
		return httpx.Empty(w, http.StatusNotFound)
	case res.StatusCode != http.StatusOK || !json.Valid(text):
		return apierr.ServiceUnavailable.New("the plugin auth answers %s", res.Status)
	}
	return httpx.JSONBytes(w, http.StatusOK, text)
}
