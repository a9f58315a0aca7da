package devtools

import (
	"context"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
)

// view is the answer of GET /config. Upstream adds an error where its schema is violated;
// here such a configuration is not in force.
type view struct {
	Config map[string]any `json:"config"`
}

func (a *api) config(context.Context) any {
	var schemas []config.Schema
	if app, ok := backend.Find[backend.ConfigSchemas](a.local, "app"); ok {
		schemas = app.ConfigSchemas()
	}
	return view{View(a.watcher.Config(), schemas...)}
}

const secret = "<secret>"

// View returns a configuration for administrators to look at. "<secret>" stands for what
// the sections of the program's features, and the schemas, declare as secrets, for what is
// one by its name, and for every text that has one of those in it. The caller owns the
// result.
//
// A section's declarations are known once it has been decoded, which backend.Backend does
// at the latest when it checks the configuration.
func View(cfg *config.Config, schemas ...config.Schema) map[string]any {
	out := cfg.Redacted(schemas...)
	hide(out, config.NewRedactor(cfg.Secrets(schemas...)...))
	return out
}

// hide replaces texts that contain a secret from elsewhere in the configuration, such as a
// token that is also part of an address.
func hide(v any, secrets *config.Redactor) any {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			v[key] = hide(inner, secrets)
		}
	case []any:
		for i, inner := range v {
			v[i] = hide(inner, secrets)
		}
	case string:
		if secrets.Redact(v) != v {
			return secret
		}
	}
	return v
}
