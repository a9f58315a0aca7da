package httpx

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// ErrorWriter writes errors as answers, in the shape of contract/backend.md section 6,
// and logs those that are the server's fault. The zero value logs to slog.Default.
type ErrorWriter struct {
	Log *slog.Logger
	// Stacks adds error.stack to answers. For development only: it names files.
	Stacks bool
}

// Write answers r with err. The request URL in the body is the one that r has, so it is
// relative to the mount if the mount strips its prefix (StripMount).
func (e ErrorWriter) Write(w http.ResponseWriter, r *http.Request, err error) {
	err = translate(err)
	out := apierr.Render(err, e.Stacks)
	e.log(r, err, out)
	if out.Status == http.StatusNotModified {
		NotModified(w)
		return
	}
	h := w.Header()
	for _, name := range []string{"Content-Type", "Content-Length", "Content-Encoding", "Content-Disposition", "Etag", "Last-Modified", "Cache-Control"} {
		h.Del(name) // what the handler had said about the answer that it could not give
	}
	JSONBytes(w, out.Status, out.Body(r.Method, RelativeURL(r)))
}

// log tells what the client is not told. A client that went away is no failure of ours.
func (e ErrorWriter) log(r *http.Request, err error, out apierr.Rendered) {
	if out.Status < 500 && out.LogID == "" {
		return
	}
	log := e.Log
	if log == nil {
		log = slog.Default()
	}
	level := slog.LevelError
	if r.Context().Err() != nil {
		level = slog.LevelDebug
	}
	attrs := []slog.Attr{slog.Any("error", err), slog.String("method", r.Method), slog.String("url", RelativeURL(r))}
	if out.LogID != "" {
		attrs = append(attrs, slog.String("logId", out.LogID))
	}
	log.LogAttrs(r.Context(), level, "Request failed with status "+strconv.Itoa(out.Status), attrs...)
}

// translate gives a kind to the errors of net/http that are the client's doing, and to
// those that say of themselves that something is away for the moment, as those of
// backend/db do.
func translate(err error) error {
	if _, ok := apierr.KindOf(err); ok {
		return err
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return apierr.PayloadTooLarge.New("request entity too large")
	}
	if apierr.IsUnavailable(err) {
		return apierr.ServiceUnavailable.Wrap(err, "A service that is needed for this is not available at the moment")
	}
	return err
}

// RelativeURL returns path and query of r as the client sent them, less what the
// mount has stripped.
func RelativeURL(r *http.Request) string {
	u := rawPath(r)
	if u == "" {
		u = "/"
	}
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		u += "?" + r.URL.RawQuery
	}
	return u
}

// rawPath returns the path as sent: RawPath if there is one, else the default encoding.
func rawPath(r *http.Request) string {
	if r.URL.RawPath != "" {
		return r.URL.RawPath
	}
	return r.URL.EscapedPath()
}
