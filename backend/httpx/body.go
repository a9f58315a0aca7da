package httpx

import (
	"io"
	"net/http"
)

// boundBody is a request body that ends in an error after so many bytes, and knows the one that
// does not.
type boundBody struct {
	io.ReadCloser
	whole io.ReadCloser
}

// BoundBody bounds the body of r, as http.MaxBytesReader does: the host calls it before the
// handler.
func BoundBody(w http.ResponseWriter, r *http.Request, n int64) {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &boundBody{http.MaxBytesReader(w, r.Body, n), r.Body}
	}
}

// WholeBody returns the body of r without the host's bound. It is for handlers that pass a body
// on as it comes and keep nothing of it; all others leave the bound where it is. It is called
// before the body is read.
func WholeBody(r *http.Request) io.ReadCloser {
	if b, ok := r.Body.(*boundBody); ok {
		return b.whole
	}
	return r.Body
}
