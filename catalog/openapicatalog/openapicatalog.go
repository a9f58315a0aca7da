// Package openapicatalog lets API definitions be made of several files. It adds two
// placeholders to the catalog:
//
//	spec:
//	  definition:
//	    $openapi: ./openapi.yaml   # or $asyncapi: ./asyncapi.yaml
//
// The definition becomes one YAML document, in which $refs to other files are replaced by
// what they refer to (contract catalog.md, 3.8). The files are read as those of $text are:
// relative to each other, in the repository of the descriptor.
//
//	backend.Add(openapicatalog.Module())
package openapicatalog

import (
	"context"
	"regexp"
	"strings"

	"go.uber.org/fx"
	yaml "go.yaml.in/yaml/v3"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/catalog"
)

// Module adds the placeholders to the catalog plugin.
func Module() backend.Feature {
	return backend.NewModule("catalog", "openapi", fx.Invoke(register))
}

func register(x *catalog.Extensions) {
	x.AddPlaceholder("openapi", OpenAPI)
	x.AddPlaceholder("asyncapi", AsyncAPI)
}

// OpenAPI resolves {$openapi: path}.
func OpenAPI(ctx context.Context, value any, _ string) (any, error) {
	return resolve(ctx, value, func(*yaml.Node, string) bool { return false })
}

// AsyncAPI resolves {$asyncapi: path}. In documents of version 3, what has to be a
// reference stays one: the channels and messages of operations, and the servers of
// channels.
func AsyncAPI(ctx context.Context, value any, _ string) (any, error) {
	return resolve(ctx, value, func(root *yaml.Node, place string) bool {
		version, err := lookup(root, "/asyncapi")
		return err == nil && strings.HasPrefix(version.Value, "3.") && keptInAsyncAPI.MatchString(place)
	})
}

var keptInAsyncAPI = regexp.MustCompile(`^#/(operations/[^/]+/(reply/)?(channel|messages/[0-9]+)|channels/[^/]+/servers/[0-9]+)$`)

func resolve(ctx context.Context, value any, keep func(*yaml.Node, string) bool) (any, error) {
	ref, ok := value.(string)
	if !ok {
		return nil, apierr.Input.New("expected a path or a URL, found a %T", value)
	}
	run := catalog.RunOf(ctx)
	return newBundler(func(ctx context.Context, ref string) ([]byte, error) {
		content, _, err := run.ReadBeside(ctx, ref)
		return content, err
	}, keep).bundle(ctx, ref)
}
