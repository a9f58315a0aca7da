package notifications

import (
	_ "embed"
	"net/http"

	"github.com/callboard-dev/callboard/backend/httpx"
)

// The description of this API is written by hand; TestOpenAPI holds it against the routes.
//
//go:embed openapi.json
var description []byte

// openAPI is GET /openapi.json.
func openAPI(w http.ResponseWriter, _ *http.Request) error {
	return httpx.JSONBytes(w, http.StatusOK, description)
}
