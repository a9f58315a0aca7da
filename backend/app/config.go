package app

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/callboard-dev/callboard/backend/config"
)

// Config is the subtree app, as far as the backend reads it. The other keys below app
// belong to the frontend.
type Config struct {
	BundleDir                  string `config:"bundleDir" doc:"the folder of the built frontend, relative to the working directory; it must be there"`
	PackageName                string `config:"packageName" doc:"the package of the frontend: without bundleDir, packages/<packageName>/dist is served if it is there"`
	DisableConfigInjection     bool   `config:"disableConfigInjection" doc:"serve pages as they were built, with the configuration of the build"`
	DisableStaticFallbackCache bool   `config:"disableStaticFallbackCache" doc:"do not keep files of earlier releases in the database"`
	DisablePublicEntryPoint    bool   `config:"disablePublicEntryPoint" doc:"let everybody have the whole frontend, even if the bundle has an entry point for those who are not signed in"`
}

// ConfigShapes implements config.Shaper: the frontend has keys below app, too.
func (Config) ConfigShapes() []any { return []any{Config{}, map[string]any{}} }

// Validate implements config.Validator.
func (c *Config) Validate() error {
	if !filepath.IsLocal(c.PackageName) || strings.ContainsAny(c.PackageName, `/\`) {
		return config.At("packageName", fmt.Errorf("%q is not the name of a folder below packages", c.PackageName))
	}
	return nil
}

var defaults = Config{PackageName: "app"}
