// Full adds every plugin and module of this repository. Started with --config FILE it
// is what the recorded exchanges and other black-box suites run against.
package main

import (
	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/catalog"
)

func main() {
	backend := backend.New()
	backend.Add(auth.Plugin())
	backend.Add(catalog.Plugin())
	backend.Main()
}
