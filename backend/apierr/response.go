package apierr

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// maxResponse bounds how much of an error answer is read.
const maxResponse = 64 << 10

// FromResponse returns the error that an answer of another server stands for: a
// ResponseError "Request failed with 404 Not Found" with the status of the answer, whose
// cause is the error in its body, so that errors.Is finds its kind. A body that is not
// in the shape of this API becomes part of the message, cut to 200 characters. The
// caller has seen that the status is not a success, and closes the body.
func FromResponse(resp *http.Response) error {
	text := http.StatusText(resp.StatusCode)
	kind := NewKind("ResponseError", resp.StatusCode)
	message := fmt.Sprintf("Request failed with %d %s", resp.StatusCode, text)
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	if err != nil {
		return newError(kind, err, "%s", []any{message})
	}
	var body struct {
		Error    *remote         `json:"error"`
		Response json.RawMessage `json:"response"`
	}
	if json.Unmarshal(raw, &body) == nil && body.Error != nil && body.Response != nil {
		return newError(kind, body.Error.err(resp.StatusCode), "%s", []any{message})
	}
	if len(raw) > 0 {
		runes := []rune(string(raw))
		message += ": " + string(runes[:min(len(runes), 200)])
	}
	return newError(kind, nil, "%s", []any{message})
}

// remote is an error object as it came over the wire. Its message tells its own causes.
type remote struct {
	Name    string `json:"name"`
	Message string `json:"message"`
}

func (r *remote) err(status int) error {
	return newError(KindByName(r.Name, status), nil, "%s", []any{r.Message})
}
