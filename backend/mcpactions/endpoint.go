package mcpactions

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/httpx"
)

// version is that of the upstream plugin whose API this is.
const version = "0.2.2"

// maxBatch is how many messages one body may have, in the versions of the protocol that
// have batches: the answers to a megabyte of short questions would be too much.
const maxBatch = 20

// An endpoint is one server: a path with a view of the tools.
type endpoint struct {
	server     Server
	namespaced bool
	limits     Limits
	actions    backend.ActionsClient
	calls      *turns
	auditor    backend.Auditor
	log        *slog.Logger
}

// noStream answers those who want to be told of something later, or to end a session. It
// is as recorded: without a type, and without Allow.
func (e *endpoint) noStream(w http.ResponseWriter, _ *http.Request) error {
	w.Header()["Content-Type"] = nil
	return refuse(w, http.StatusMethodNotAllowed, codeServer, "Method not allowed.")
}

// serve answers one request. What it refuses itself, and what the SDK refuses, is answered
// as an error of JSON-RPC, as upstream does.
func (e *endpoint) serve(w http.ResponseWriter, r *http.Request) error {
	if accept := strings.Join(r.Header.Values("Accept"), ","); !strings.Contains(accept, "application/json") || !strings.Contains(accept, "text/event-stream") {
		return refuseJSON(w, http.StatusNotAcceptable, codeServer, "Not Acceptable: Client must accept both application/json and text/event-stream")
	}
	if media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); !strings.EqualFold(strings.TrimSpace(media), "application/json") {
		return refuseJSON(w, http.StatusUnsupportedMediaType, codeServer, "Unsupported Media Type: Content-Type must be application/json")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(e.limits.RequestBytes)))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return refuseJSON(w, http.StatusRequestEntityTooLarge, codeServer, "Request body is larger than mcpActions.limits.requestBytes")
	case err != nil:
		return refuseJSON(w, http.StatusBadRequest, codeServer, "Request body cannot be read")
	case !json.Valid(body):
		return refuseJSON(w, http.StatusBadRequest, jsonrpc.CodeParseError, "Parse error: Invalid JSON")
	case batch(body) > maxBatch:
		return refuseJSON(w, http.StatusBadRequest, jsonrpc.CodeInvalidRequest, "Invalid Request: too many messages in one batch")
	}
	r = r.Clone(r.Context())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	t := &translator{ResponseWriter: w}
	server := e.protocol(r)
	mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{
		Stateless: true, PropagateRequestCancellation: true, MaxRequestBodyBytes: -1,
		// Every request shows a token; that a browser was led here by another name is of no use.
		DisableLocalhostProtection: true,
		Logger:                     slog.New(slog.DiscardHandler),
	}).ServeHTTP(t, r)
	return t.finish()
}

// protocol is the server for one request, which knows who asks.
func (e *endpoint) protocol(r *http.Request) *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: e.server.Name, Description: e.server.Description, Version: version}, &mcp.ServerOptions{
		Instructions: e.server.Instructions,
		Capabilities: &mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{}},
	})
	c := &conversation{e, r, httpx.CallerOf(r)}
	s.AddReceivingMiddleware(c.middleware)
	return s
}

// batch counts the messages of a body, which is JSON; 1 if it is no batch.
func batch(body []byte) int {
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '[' {
		return 1
	}
	var all []json.RawMessage
	if json.Unmarshal(body, &all) != nil {
		return 1
	}
	return len(all)
}

// codeServer is what JSON-RPC leaves to servers, and transports use for all that is theirs.
const codeServer = -32000

// refuse answers with an error of JSON-RPC that belongs to no request.
func refuse(w http.ResponseWriter, status int, code int64, message string) error {
	text, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "error": map[string]any{"code": code, "message": message}, "id": nil})
	if err != nil {
		return err
	}
	w.WriteHeader(status)
	_, err = w.Write(text)
	return err
}

func refuseJSON(w http.ResponseWriter, status int, code int64, message string) error {
	w.Header().Set("Content-Type", "application/json")
	return refuse(w, status, code, message)
}

// A translator makes errors of JSON-RPC of the plain texts with which the SDK's transport
// refuses requests.
type translator struct {
	http.ResponseWriter

	status int // of a refusal in plain text
	text   bytes.Buffer
}

// WriteHeader implements http.ResponseWriter.
func (t *translator) WriteHeader(status int) {
	if status >= 400 && strings.HasPrefix(t.Header().Get("Content-Type"), "text/plain") {
		t.status = status
		return
	}
	t.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (t *translator) Write(p []byte) (int, error) {
	if t.status != 0 {
		return t.text.Write(p)
	}
	return t.ResponseWriter.Write(p)
}

// Flush implements http.Flusher.
func (t *translator) Flush() {
	if t.status == 0 {
		_ = http.NewResponseController(t.ResponseWriter).Flush()
	}
}

// Unwrap is for http.ResponseController.
func (t *translator) Unwrap() http.ResponseWriter { return t.ResponseWriter }

func (t *translator) finish() error {
	if t.status == 0 {
		return nil
	}
	message := strings.TrimSpace(t.text.String())
	if !strings.HasPrefix(message, "Bad Request") {
		message = "Bad Request: " + message
	}
	return refuseJSON(t.ResponseWriter, t.status, codeServer, message)
}
