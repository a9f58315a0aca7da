// Callboard is a portal with everything in this repository added, for those who want a
// binary and no Go toolchain. Its flags are those of backend.Main.
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
