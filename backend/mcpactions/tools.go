package mcpactions

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
)

// A conversation is one request to an endpoint, by somebody.
type conversation struct {
	*endpoint

	request *http.Request
	caller  backend.Credentials
}

// middleware answers what tools are about, and leaves the rest to the SDK. Tools are not
// registered with it, because what there is depends on who asks, and what goes in and
// comes out is checked by the plugin whose action it is.
func (c *conversation) middleware(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
		// In the versions before 2026-07-28 ctx goes on when the client has gone.
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(c.request.Context(), cancel)()
		switch p := req.GetParams().(type) {
		case *mcp.InitializeParams:
			return c.audited(ctx, "connection", nil, func() (mcp.Result, error) { return next(ctx, method, req) })
		case *mcp.ListToolsParams:
			return c.audited(ctx, "tool-discovery", nil, func() (mcp.Result, error) { return c.list(ctx) })
		case *mcp.CallToolParamsRaw:
			return c.audited(ctx, "tool-execution", map[string]any{"toolName": p.Name}, func() (mcp.Result, error) { return c.call(ctx, p) })
		}
		return next(ctx, method, req)
	}
}

// audited records who has done it, and how it ended. A tool that reports an error has
// failed, although the protocol has not.
func (c *conversation) audited(ctx context.Context, id string, meta map[string]any, do func() (mcp.Result, error)) (mcp.Result, error) {
	event := c.auditor.CreateEvent(ctx, backend.AuditEvent{ID: id, Severity: backend.AuditMedium, Request: c.request, Meta: meta})
	result, err := do()
	failure := err
	if r, ok := result.(*mcp.CallToolResult); ok && err == nil && r.IsError {
		failure = r.GetError()
		if failure == nil {
			failure = errors.New("the tool has reported an error")
		}
	}
	if failure != nil {
		event.Fail(failure, meta)
	} else {
		event.Success(meta)
	}
	return result, err
}

// A tool is an action under the name that it has on this endpoint.
type tool struct {
	name   string
	action backend.ActionInfo
}

// tools are those that the caller may see here, in the order of their plugins.
func (c *conversation) tools(ctx context.Context) ([]tool, error) {
	all, err := c.actions.List(ctx, c.caller)
	if err != nil {
		return nil, err
	}
	out := []tool{}
	taken := map[string]bool{}
	for _, a := range all {
		if !c.server.Filter.Offers(a.ID, a.Attributes) {
			continue
		}
		name := a.PluginID + "." + a.Name
		// Without the plugin in it, the first of several gets the name.
		if !c.namespaced && !taken[a.Name] {
			name = a.Name
		}
		taken[name] = true
		out = append(out, tool{name, a})
	}
	return out, nil
}

func (c *conversation) list(ctx context.Context) (mcp.Result, error) {
	tools, err := c.tools(ctx)
	if err != nil {
		return nil, c.hidden(ctx, "tools cannot be listed", err)
	}
	// What there is depends on who asks, so nobody may keep it for others.
	out := &mcp.ListToolsResult{Tools: []*mcp.Tool{}, Cacheable: mcp.Cacheable{CacheScope: "private"}}
	closed := false
	for _, t := range tools {
		a := t.action
		out.Tools = append(out.Tools, &mcp.Tool{
			Name: t.name, Description: a.Description, InputSchema: a.Schema.Input,
			Annotations: &mcp.ToolAnnotations{
				Title: a.Title, ReadOnlyHint: a.Attributes.ReadOnly, IdempotentHint: a.Attributes.Idempotent,
				DestructiveHint: &a.Attributes.Destructive, OpenWorldHint: &closed,
			},
		})
	}
	return out, nil
}

// call invokes an action as the caller. Which tools there are is asked again, so that what
// the caller may not see, or this endpoint does not offer, cannot be called by its name;
// the plugin then checks the caller's permission itself.
func (c *conversation) call(ctx context.Context, p *mcp.CallToolParamsRaw) (mcp.Result, error) {
	leave, err := c.calls.enter(c.caller.String())
	if err != nil {
		return c.failed(ctx, p.Name, err)
	}
	defer leave()
	ctx, cancel := context.WithTimeoutCause(ctx, c.limits.CallTimeout.Std(), errTimeout)
	defer cancel()
	output, err := c.invoke(ctx, p)
	if err != nil {
		if context.Cause(ctx) == errTimeout {
			err = errTimeout
		}
		return c.failed(ctx, p.Name, err)
	}
	result := &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: string(output)}}}
	if bytes.HasPrefix(output, []byte("{")) {
		result.StructuredContent = output
	}
	return result, nil
}

var errTimeout = apierr.ServiceUnavailable.New("the tool has not answered in time (mcpActions.limits.callTimeout)")

func (c *conversation) invoke(ctx context.Context, p *mcp.CallToolParamsRaw) (json.RawMessage, error) {
	tools, err := c.tools(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range tools {
		if t.name != p.Name {
			continue
		}
		// Secrets are never part of the input, which assistants read and write: an action
		// that needs some refuses.
		output, err := c.actions.Invoke(ctx, c.caller, t.action.ID, p.Arguments, nil)
		if err != nil {
			return nil, err
		}
		if n := len(output); n > c.limits.ResultBytes {
			return nil, apierr.Input.New("the result has %d bytes, %d are allowed (mcpActions.limits.resultBytes): ask for less", n, c.limits.ResultBytes)
		}
		return output, nil
	}
	return nil, apierr.NotFound.New("Action %q not found", p.Name)
}

// failed is the answer to a call that did not succeed: what an assistant can understand is
// a result that says so, and anything else an error of the protocol.
func (c *conversation) failed(ctx context.Context, name string, err error) (mcp.Result, error) {
	var shown struct{ Name, Message string }
	if json.Unmarshal(apierr.Render(err, false).Object, &shown) != nil || !known(shown.Name) {
		return nil, c.hidden(ctx, "a tool cannot be called", err, "tool", name)
	}
	return &mcp.CallToolResult{IsError: true, Content: []mcp.Content{&mcp.TextContent{Text: shown.Name + ": " + shown.Message}}}, nil
}

// known reports whether an error has one of the names of contract/backend.md section 6.
func known(name string) bool {
	for _, k := range []apierr.Kind{
		apierr.Input, apierr.Authentication, apierr.NotAllowed, apierr.NotFound, apierr.Conflict, apierr.NotModified,
		apierr.NotImplemented, apierr.ServiceUnavailable,
	} {
		if k.Name() == name {
			return true
		}
	}
	return false
}

// hidden logs an error, unless it is that the client has gone, and returns what the client
// gets to see of it.
func (c *conversation) hidden(ctx context.Context, what string, err error, attrs ...any) error {
	r := apierr.Render(err, false)
	var shown struct{ Message string }
	_ = json.Unmarshal(r.Object, &shown)
	if gone := c.request.Context().Err(); gone != nil && errors.Is(err, gone) {
		return &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: "the request has ended"}
	}
	c.log.ErrorContext(ctx, what, append(attrs, "error", err, "logId", r.LogID)...)
	return &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: shown.Message}
}
