package apierr_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/backend/apierr"
)

func TestFromResponse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status     int
		body, want string
		kind       error
	}{
		{404, `{"error":{"name":"NotFoundError","message":"no entity"},"request":{},"response":{"statusCode":404}}`,
			"Request failed with 404 Not Found; caused by NotFoundError: no entity", apierr.NotFound},
		{409, `{"error":{"name":"ConflictError","message":"a; caused by InputError: b","cause":{"name":"InputError","message":"b"}},"response":{}}`,
			"Request failed with 409 Conflict; caused by ConflictError: a; caused by InputError: b", apierr.Conflict},
		{502, `<html>` + strings.Repeat("x", 300), "Request failed with 502 Bad Gateway: <html>" + strings.Repeat("x", 194), apierr.NewKind("ResponseError", 502)},
		{404, ``, "Request failed with 404 Not Found", apierr.NewKind("ResponseError", 404)},
		{400, `{"error":"invalid_grant"}`, `Request failed with 400 Bad Request: {"error":"invalid_grant"}`, apierr.NewKind("ResponseError", 400)},
	} {
		err := apierr.FromResponse(&http.Response{StatusCode: tt.status, Body: io.NopCloser(strings.NewReader(tt.body))})
		if err.Error() != tt.want || !errors.Is(err, tt.kind) || apierr.StatusOf(err) != tt.status {
			t.Errorf("got %q (%d), want %q", err, apierr.StatusOf(err), tt.want)
		}
	}
}
