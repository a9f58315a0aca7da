package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// PlaceholderResolver resolves {$text: ./file} and its kin (contract catalog.md, 3.8).
// value is what stands beside the key. base is the location that the entity was read
// from, as type:target. Run.ReadBeside reads what value refers to, and nothing that
// the entity's source may not refer to. What is returned is not searched for
// placeholders again.
type PlaceholderResolver func(ctx context.Context, value any, base string) (any, error)

// builtinPlaceholder is the resolver for key, nil if it is not builtin.
func builtinPlaceholder(key string) PlaceholderResolver {
	switch key {
	case "text":
		return resolveText
	case "json":
		return resolveJSON
	case "yaml":
		return resolveYAML
	}
	return nil
}

// ReadBeside reads what ref refers to: a path relative to the entity's file, a path
// from the root of its repository ("/x"), or a URL. It stays in the repository that
// the entity comes from, or, for files, below the directory of the configured
// location. The entity is refreshed when somebody refreshes what was read. from is
// the full address, for messages.
func (r Run) ReadBeside(ctx context.Context, ref string) (content []byte, from string, err error) {
	return r.inner.ReadBeside(ctx, ref)
}

func resolveText(ctx context.Context, value any, _ string) (any, error) {
	content, _, err := readValue(ctx, value)
	return string(content), err
}

func resolveJSON(ctx context.Context, value any, _ string) (any, error) {
	content, from, err := readValue(ctx, value)
	if err != nil {
		return nil, err
	}
	var out any
	if err := json.Unmarshal(content, &out); err != nil {
		return nil, apierr.Input.New("%s is no JSON document: %v", from, err)
	}
	return out, nil
}

func resolveYAML(ctx context.Context, value any, _ string) (any, error) {
	content, from, err := readValue(ctx, value)
	if err != nil {
		return nil, err
	}
	out, err := entity.ParseValue(path.Base(from), content, entity.Limits{})
	if err != nil {
		return nil, apierr.Input.Wrap(err, "%s is no YAML document", from)
	}
	return out, nil
}

func readValue(ctx context.Context, value any) ([]byte, string, error) {
	ref, ok := value.(string)
	if !ok {
		return nil, "", apierr.Input.New("expected a path or a URL, found a %T", value)
	}
	return RunOf(ctx).ReadBeside(ctx, ref)
}

// placeholders is the processor that replaces them.
type placeholders struct {
	resolvers map[string]PlaceholderResolver // besides the builtin ones
}

var _ PreProcessor = (*placeholders)(nil)

func (p *placeholders) ProcessorName() string { return "PlaceholderProcessor" }

func (p *placeholders) PreProcess(ctx context.Context, e entity.Entity, loc entity.Location) (entity.Entity, error) {
	return entity.ResolvePlaceholders(ctx, e, func(ctx context.Context, found entity.Placeholder) (any, bool, error) {
		resolve := builtinPlaceholder(found.Name)
		if resolve == nil {
			resolve = p.resolvers[found.Name]
		}
		if resolve == nil {
			return nil, false, nil
		}
		value, err := resolve(ctx, found.Value, loc.String())
		if err != nil {
			if _, ok := apierr.KindOf(err); !ok && !errors.Is(err, context.Canceled) {
				err = fmt.Errorf("$%s: %w", found.Name, err)
			}
			return nil, true, err
		}
		return value, true, nil
	})
}
