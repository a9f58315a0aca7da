// Minimal is the smallest portal: a catalog, configured by the app-config.yaml in the
// working directory.
package main

import (
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/catalog"
)

func main() {
	backend := backend.New()
	backend.Add(catalog.Plugin())
	backend.Main()
}
