package api

import (
	_ "embed"
	"net/http"

	"github.com/callboard-dev/callboard/backend/httpx"
)

// The description of this API is written by hand; TestOpenAPI holds it against the
// table of routes.
//
//go:embed openapi.json
var description []byte

// openAPI is GET /openapi.json.
func (a *api) openAPI(w http.ResponseWriter, r *http.Request) error {
	if err := plain(r); err != nil {
		return err
	}
	return httpx.JSONBytes(w, http.StatusOK, description)
}
