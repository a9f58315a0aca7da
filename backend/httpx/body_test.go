package httpx_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/httpx"
)

func TestBodiesAreBoundUnlessAHandlerPassesThemOn(t *testing.T) {
	t.Parallel()
	request := func() *http.Request {
		r := httptest.NewRequest("POST", "/", strings.NewReader("0123456789"))
		httpx.BoundBody(httptest.NewRecorder(), r, 4)
		return r
	}
	var tooLarge *http.MaxBytesError
	if got, err := io.ReadAll(request().Body); !errors.As(err, &tooLarge) || string(got) != "0123" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := io.ReadAll(httpx.WholeBody(request())); err != nil || string(got) != "0123456789" {
		t.Errorf("%q, %v", got, err)
	}
	unbound := httptest.NewRequest("GET", "/", nil)
	httpx.BoundBody(httptest.NewRecorder(), unbound, 4)
	if unbound.Body != http.NoBody || httpx.WholeBody(unbound) != http.NoBody {
		t.Errorf("a request without a body got %v", unbound.Body)
	}
}
