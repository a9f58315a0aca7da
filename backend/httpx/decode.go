package httpx

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// DefaultMaxBody is how many bytes of JSON a route reads unless it says otherwise.
const DefaultMaxBody = 1 << 20

// DefaultMaxDepth is how deeply JSON bodies may nest objects and arrays. Entities
// and template values need about a dozen.
const DefaultMaxDepth = 128

// A DecodeOption changes how DecodeJSON reads a body.
type DecodeOption func(*decodeOptions)

type decodeOptions struct {
	maxBytes, maxDepth            int
	closed, optional, syntaxNamed bool
}

// MaxBytes bounds the body; the default is DefaultMaxBody.
func MaxBytes(n int) DecodeOption { return func(o *decodeOptions) { o.maxBytes = n } }

// MaxDepth bounds the nesting; the default is DefaultMaxDepth.
func MaxDepth(n int) DecodeOption { return func(o *decodeOptions) { o.maxDepth = n } }

// Closed refuses properties that the Go type does not have, at any depth. Without it
// they are ignored.
func Closed() DecodeOption { return func(o *decodeOptions) { o.closed = true } }

// OptionalBody accepts a request without a body, and leaves the value as it was.
func OptionalBody() DecodeOption { return func(o *decodeOptions) { o.optional = true } }

// SyntaxErrors answers malformed JSON in the form of routers without API description:
// name SyntaxError, with the members expose, statusCode, status, and type.
func SyntaxErrors() DecodeOption { return func(o *decodeOptions) { o.syntaxNamed = true } }

// DecodeJSON reads the body of r, one JSON value of type application/json, into the
// value that into points to. Its errors are InputErrors that name the place, such as
// "request/body/limit must be integer"; a media type that is not JSON is one, too, and
// so is a body that is too large, nests too deeply, or is followed by more data. A
// body in a content encoding is an UnsupportedMediaTypeError.
func DecodeJSON(r *http.Request, into any, opts ...DecodeOption) error {
	o := decodeOptions{maxBytes: DefaultMaxBody, maxDepth: DefaultMaxDepth}
	for _, opt := range opts {
		opt(&o)
	}
	body, err := readBody(r, o.maxBytes)
	if err != nil {
		return err
	}
	if len(body) == 0 {
		if o.optional {
			return nil
		}
		return apierr.Input.New("request/body is required")
	}
	if err := checkMediaType(r); err != nil {
		return err
	}
	if err := checkDepth(body, o.maxDepth); err != nil {
		return err
	}
	if raw, ok := into.(*json.RawMessage); ok && json.Valid(body) {
		*raw = bytes.TrimSpace(body)
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if o.closed {
		dec.DisallowUnknownFields()
	}
	if err := dec.Decode(into); err != nil {
		return o.explain(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return o.malformed("unexpected data after the JSON value")
	}
	return nil
}

// readBody reads at most limit bytes, and tells when there are more.
func readBody(r *http.Request, limit int) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	if enc := r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return nil, apierr.UnsupportedMediaType.New("unsupported content encoding %q", enc)
	}
	if r.ContentLength > int64(limit) {
		return nil, tooLarge(limit)
	}
	var buf bytes.Buffer
	if n := r.ContentLength; n > 0 {
		buf.Grow(int(n) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(io.LimitReader(r.Body, int64(limit)+1)); err != nil {
		var cut *http.MaxBytesError
		if errors.As(err, &cut) {
			return nil, tooLarge(int(cut.Limit))
		}
		return nil, apierr.Input.New("request body ended early")
	}
	if buf.Len() > limit {
		return nil, tooLarge(limit)
	}
	return buf.Bytes(), nil
}

func tooLarge(limit int) error {
	return apierr.Input.New("request/body must NOT be larger than %d bytes", limit)
}

func checkMediaType(r *http.Request) error {
	ct := r.Header.Get("Content-Type")
	mt, params, err := mime.ParseMediaType(ct)
	if err != nil || mt != "application/json" && !strings.HasSuffix(mt, "+json") {
		return apierr.Input.New("unsupported media type %q, expected application/json", ct)
	}
	if cs := params["charset"]; cs != "" && !strings.EqualFold(cs, "utf-8") && !strings.EqualFold(cs, "us-ascii") {
		return apierr.Input.New("unsupported charset %q, expected utf-8", cs)
	}
	return nil
}

// checkDepth bounds recursion before anything recurses. It need not check syntax.
func checkDepth(body []byte, limit int) error {
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString:
			if c == '\\' {
				i++
			} else if c == '"' {
				inString = false
			}
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return apierr.Input.New("request/body must NOT nest deeper than %d levels", limit)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// explain turns an error of encoding/json into one for clients.
func (o *decodeOptions) explain(err error) error {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		place := "request/body"
		if wrongType.Field != "" {
			place += "/" + strings.ReplaceAll(wrongType.Field, ".", "/")
		}
		return apierr.Input.New("%s must be %s", place, jsonTypeOf(wrongType.Type))
	}
	if _, ok := apierr.KindOf(err); ok {
		return err // from an UnmarshalJSON that speaks to clients
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return apierr.Input.New("request/body must NOT have additional properties, found %s", field)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return o.malformed("unexpected end of JSON input")
	}
	return o.malformed(strings.TrimPrefix(err.Error(), "json: "))
}

func (o *decodeOptions) malformed(reason string) error {
	if o.syntaxNamed {
		return apierr.Syntax.New("%s", reason).With("expose", true).With("statusCode", 400).
			With("status", 400).With("type", "entity.parse.failed")
	}
	return apierr.Input.New("malformed JSON in the request body: %s", reason)
}

func jsonTypeOf(t reflect.Type) string {
	if t == nil {
		return "valid"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return jsonTypeOf(t.Elem())
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		return "string"
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return "string"
		}
		return "array"
	case reflect.Struct, reflect.Map:
		return "object"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "integer"
	}
	return "valid"
}

// Missing returns the error for a required property of the body that is absent. The
// place is empty for the body itself, else a path such as "items/0".
func Missing(place, property string) error {
	return Invalid(place, fmt.Sprintf("must have required property '%s'", property))
}

// Invalid returns the error for a place in the body that does not hold what it must,
// such as Invalid("items/0/id", "must be string").
func Invalid(place, must string) error {
	if place != "" {
		place = "/" + place
	}
	return apierr.Input.New("request/body%s %s", place, must)
}
