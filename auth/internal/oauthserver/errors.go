package oauthserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
)

// failure is an error of RFC 6749, 5.2.
type failure struct {
	status      int
	code        string
	description string
	basic       bool // the client has tried to authenticate with a header
}

func (f *failure) Error() string { return f.code + ": " + f.description }

func refuse(code, format string, args ...any) *failure {
	return &failure{status: http.StatusBadRequest, code: code, description: fmt.Sprintf(format, args...)}
}

func (f *failure) with(status int) *failure {
	f.status = status
	return f
}

// answers writes the errors of h in the form of RFC 6749. Nothing of this API may be
// kept by caches.
func answers(log *slog.Logger, h httpx.HandlerFunc) httpx.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Pragma", "no-cache")
		err := h(w, r)
		if err == nil {
			return nil
		}
		var f *failure
		switch {
		case errors.As(err, &f):
		case apierr.IsUnavailable(err) || errors.Is(err, apierr.ServiceUnavailable):
			log.WarnContext(r.Context(), "the OAuth server cannot answer", "error", err)
			f = refuse("temporarily_unavailable", "try again later").with(http.StatusServiceUnavailable)
			w.Header().Set("Retry-After", "5")
		case apierr.StatusOf(err) < 500:
			var o struct{ Message string } // as much of it as others may see
			_ = json.Unmarshal(apierr.Render(err, false).Object, &o)
			f = refuse("invalid_request", "%s", o.Message).with(apierr.StatusOf(err))
		default:
			log.ErrorContext(r.Context(), "the OAuth server failed", "error", err)
			f = refuse("server_error", "internal error").with(http.StatusInternalServerError)
		}
		if f.basic {
			w.Header().Set("WWW-Authenticate", `Basic realm="callboard"`)
		}
		return httpx.JSON(w, f.status, map[string]string{"error": f.code, "error_description": f.description})
	}
}
