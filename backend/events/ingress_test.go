package events_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/text/encoding/unicode"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/backendtest"
	"github.com/callboard-dev/callboard/backend/events"
)

// post sends a webhook and returns status and body.
func post(t *testing.T, url string, header map[string]string, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(text)
}

// received adds a subscriber to the events plugin that hands events to a channel.
func received(out chan<- backend.Event, topics ...string) backend.Feature {
	return backend.NewModule("events", "test", fx.Invoke(func(x *events.Extensions) {
		x.AddSubscriber(events.Subscriber{ID: "test", Topics: topics, Handle: func(_ context.Context, e backend.Event) error {
			out <- e
			return errors.New("an error of a handler stops nothing")
		}})
	}))
}

func TestIngress(t *testing.T) {
	t.Parallel()
	utf16, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String(`{"a":"ü"}`)
	if err != nil {
		t.Fatal(err)
	}
	out := make(chan backend.Event, 1)
	b := backendtest.Start(t, `events: {http: {topics: [open, "a b"]}}`, events.Plugin(), received(out, "open", "a b"))
	for _, tt := range []struct {
		name, topic, kind, body string
		extra                   [2]string
		status                  int
		errName                 string
		payload                 string
	}{
		{name: "JSON", kind: "application/json", body: `{"a":1}`, status: 202, payload: `{"a":1}`},
		{name: "bytes stay", kind: "application/json", body: `{"b": 1.0, "a":"<"}`, status: 202, payload: `{"b": 1.0, "a":"<"}`},
		{name: "encoded topic", topic: "a%20b", kind: "application/json", body: `[]`, status: 202, payload: `[]`},
		{name: "utf-8", kind: "application/json; charset=UTF-8", body: `"ü"`, status: 202, payload: `"ü"`},
		{name: "utf-16", kind: "application/json; charset=utf-16le", body: utf16, status: 202, payload: `{"a":"ü"}`},
		{name: "latin 1", kind: "application/json; charset=iso-8859-1", body: "\"\xfc\"", status: 202, payload: `"ü"`},
		{name: "unknown charset", kind: "application/json; charset=klingon", body: `{}`, status: 415, errName: "UnsupportedCharsetError"},
		{name: "text", kind: "text/plain", body: `{}`, status: 415, errName: "UnsupportedMediaTypeError"},
		{name: "JSON of a vendor", kind: "application/vnd.x+json", body: `{}`, status: 415, errName: "UnsupportedMediaTypeError"},
		{name: "garbage type", kind: ";;", body: `{}`, status: 415, errName: "UnsupportedMediaTypeError"},
		{name: "no type", body: `{}`, status: 415, errName: "UnsupportedMediaTypeError"},
		{name: "compressed", kind: "application/json", extra: [2]string{"Content-Encoding", "gzip"}, body: `{}`, status: 415, errName: "UnsupportedMediaTypeError"},
		{name: "malformed", kind: "application/json", body: `{"a":`, status: 400, errName: "SyntaxError"},
		{name: "empty", kind: "application/json", status: 400, errName: "SyntaxError"},
		{name: "5 MB", kind: "application/json", body: `"` + strings.Repeat("x", 5<<20-2) + `"`, status: 202, payload: "long"},
		{name: "more than 5 MB", kind: "application/json", body: `"` + strings.Repeat("x", 5<<20-1) + `"`, status: 413, errName: "PayloadTooLargeError"},
		{name: "unknown topic", topic: "other", kind: "application/json", body: `{}`, status: 404},
		{name: "topic in another case", topic: "Open", kind: "application/json", body: `{}`, status: 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.topic == "" {
				tt.topic = "open"
			}
			header := map[string]string{"X-Kind": "test", "Authorization": "Bearer x"}
			if tt.kind != "" {
				header["Content-Type"] = tt.kind
			}
			if tt.extra[0] != "" {
				header[tt.extra[0]] = tt.extra[1]
			}
			status, body := post(t, b.URL+"/api/events/http/"+tt.topic, header, tt.body)
			var answer struct {
				Status string
				Error  struct {
					Name       string
					StatusCode int
				}
			}
			_ = json.Unmarshal([]byte(body), &answer)
			if status != tt.status || answer.Error.Name != tt.errName || tt.status == 415 && answer.Error.StatusCode != 415 {
				t.Fatalf("%d %s, want %d %s", status, body, tt.status, tt.errName)
			}
			if status == 404 && body != "" {
				t.Errorf("body is %q, want none", body)
			}
			if tt.payload == "" {
				return
			}
			if body != `{"status":"accepted"}` {
				t.Errorf("body is %s", body)
			}
			e := <-out
			if tt.payload != "long" && string(e.Payload) != tt.payload {
				t.Errorf("payload is %s, want %s", e.Payload, tt.payload)
			}
			if _, leaked := e.Metadata["authorization"]; leaked || e.Metadata["x-kind"] != "test" {
				t.Errorf("metadata is %v", e.Metadata)
			}
		})
	}
}

func TestValidators(t *testing.T) {
	t.Parallel()
	validators := backend.NewModule("events", "validators", fx.Invoke(func(x *events.Extensions) {
		x.AddIngress(events.Ingress{Topic: "mine", Validate: events.ValidatorFunc(func(_ context.Context, r events.Request) error {
			if r.Header.Get("X-Word") != "open sesame" {
				return &events.Rejection{Status: 401, Payload: map[string]any{"word": "wrong"}}
			}
			return nil
		})})
		for _, topic := range []string{"mine", "configured", "closed"} {
			x.AddTopicValidator(topic, events.ValidatorFunc(func(_ context.Context, r events.Request) error {
				switch string(r.Body) {
				case `"bad"`:
					return &events.Rejection{Payload: "no"}
				case `"broken"`:
					return errors.New("the database of words is away")
				}
				return nil
			}))
		}
	}))
	b := backendtest.Start(t, `events: {http: {topics: [configured]}}`, events.Plugin(), validators)
	for _, tt := range []struct {
		name, topic, word, body string
		status                  int
		want                    string
	}{
		{"accepted by both", "mine", "open sesame", `1`, 202, `{"status":"accepted"}`},
		{"rejected with a status and a body", "mine", "", `1`, 401, `{"word":"wrong"}`},
		{"rejected by the other", "mine", "open sesame", `"bad"`, 403, `"no"`},
		{"a configured topic is checked too", "configured", "", `"bad"`, 403, `"no"`},
		{"a configured topic is open", "configured", "", `1`, 202, `{"status":"accepted"}`},
		{"a validator opens no topic", "closed", "", `1`, 404, ``},
		{"a validator that fails is our fault", "configured", "", `"broken"`, 500, `*`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, body := post(t, b.URL+"/api/events/http/"+tt.topic, map[string]string{"Content-Type": "application/json", "X-Word": tt.word}, tt.body)
			if status != tt.status || tt.want != "*" && body != tt.want {
				t.Errorf("%d %s, want %d %s", status, body, tt.status, tt.want)
			}
		})
	}
}

func TestDuplicatesAreBootErrors(t *testing.T) {
	t.Parallel()
	twice := backend.NewModule("events", "twice", fx.Invoke(func(x *events.Extensions) {
		for range 2 {
			x.AddIngress(events.Ingress{Topic: "t"})
			x.AddRouter(events.Router{ID: "r", Topic: "t", Route: func(backend.Event) string { return "" }})
		}
	}))
	_, err := backendtest.Boot(t, ``, events.Plugin(), twice)
	for _, want := range []string{`two ingresses for the topic "t"`, `two subscribers have the id "r"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("boot: %v, want %s", err, want)
		}
	}
}
