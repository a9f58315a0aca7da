package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"golang.org/x/text/encoding/htmlindex"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
)

// maxBody is the largest body of a webhook.
const maxBody = 5 << 20

// unsupportedCharset is the error for a charset that nobody here reads.
var unsupportedCharset = apierr.NewKind("UnsupportedCharsetError", http.StatusUnsupportedMediaType)

// ingress turns webhooks into events (contract/backend.md section 17.1).
type ingress struct {
	topics    map[string][]Validator
	publisher backend.EventPublisher
}

func (i *ingress) routes(r backend.Router) {
	r.Handle("POST /http/{topic}", i.post, backend.AllowUnauthenticated)
	// Nobody is asked who they are below /http, whatever the method.
	r.Handle("/http/{rest...}", func(w http.ResponseWriter, _ *http.Request) error {
		return httpx.Empty(w, http.StatusNotFound)
	}, backend.AllowUnauthenticated)
}

func (i *ingress) post(w http.ResponseWriter, r *http.Request) error {
	topic := r.PathValue("topic")
	validators, ok := i.topics[topic]
	if !ok {
		return httpx.Empty(w, http.StatusNotFound)
	}
	req, err := read(w, r, topic)
	if err != nil {
		return err
	}
	for _, v := range validators {
		var no *Rejection
		switch err := v.Validate(r.Context(), req); {
		case errors.As(err, &no):
			status := no.Status
			if status == 0 {
				status = http.StatusForbidden
			}
			return httpx.JSON(w, status, no.Payload)
		case err != nil:
			return err
		}
	}
	event := backend.Event{Topic: topic, Payload: req.Body, Metadata: metadata(req.Header)}
	if err := i.publisher.PublishEvent(r.Context(), event); err != nil {
		return err // the sender tries again
	}
	return httpx.JSON(w, http.StatusAccepted, map[string]string{"status": "accepted"})
}

// read reads the body of a webhook. Upstream answers two of the errors with status 500,
// see testdata/deviations.yaml.
func read(w http.ResponseWriter, r *http.Request, topic string) (Request, error) {
	unsupported := func(format string, args ...any) error {
		return apierr.UnsupportedMediaType.New(format, args...).With("statusCode", http.StatusUnsupportedMediaType)
	}
	text := r.Header.Get("Content-Type")
	if text == "" {
		return Request{}, unsupported("no content type, use application/json")
	}
	kind, params, err := mime.ParseMediaType(text)
	if err != nil || kind != "application/json" {
		return Request{}, unsupported("unsupported media type %q, use application/json", text)
	}
	if enc := r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return Request{}, unsupported("unsupported content encoding %q", enc)
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return Request{}, apierr.PayloadTooLarge.New("request body is larger than %d bytes", maxBody)
	}
	if err != nil {
		return Request{}, apierr.Input.New("the request body ended early")
	}
	body, err := decode(raw, params["charset"])
	if err != nil {
		return Request{}, err
	}
	if !json.Valid(body) {
		return Request{}, apierr.Syntax.New("the request body is not JSON")
	}
	return Request{Topic: topic, Raw: raw, Body: body, Header: r.Header}, nil
}

// decode returns text in UTF-8.
func decode(text []byte, charset string) ([]byte, error) {
	if charset == "" {
		charset = "utf-8"
	}
	enc, err := htmlindex.Get(charset)
	if err != nil {
		return nil, unsupportedCharset.New("unsupported charset %q", charset).With("statusCode", http.StatusUnsupportedMediaType)
	}
	out, err := enc.NewDecoder().Bytes(text)
	if err != nil {
		return nil, apierr.Input.New("the request body is not %s", charset)
	}
	return bytes.TrimPrefix(out, []byte("\uFEFF")), nil
}

// secretHeaders are shown to validators, but neither stored nor handed on.
var secretHeaders = map[string]bool{
	"Authorization": true, "Proxy-Authorization": true, "Cookie": true, "X-Gitlab-Token": true,
}

// metadata is the headers, with names in lower case.
func metadata(h http.Header) map[string]string {
	out := map[string]string{}
	for name, values := range h {
		if !secretHeaders[name] {
			out[strings.ToLower(name)] = strings.ToValidUTF8(strings.Join(values, ", "), "\uFFFD")
		}
	}
	return out
}
