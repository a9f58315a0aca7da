package backend

import "github.com/callboard-dev/callboard/backend/config"

// ConfigSchemas is what the plugin app offers in Local: what the packages of the frontend
// that it serves say of the configuration, such as which keys are secrets.
type ConfigSchemas interface {
	// ConfigSchemas returns none before the plugin has started, and without a frontend.
	// It may be called from any number of goroutines; nobody changes what it returns.
	ConfigSchemas() []config.Schema
}
