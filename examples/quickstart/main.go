// Quickstart runs a portal on this machine: an embedded database in a local folder, the
// sample organisation in ./org, no account and no other server. From the root of the
// repository:
//
//	go run ./examples/quickstart
package main

import (
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/scaffoldercatalog"
)

func main() {
	backend := backend.New(
		backend.Development(), // this is a laptop: nobody signs in
		backend.WithConfigFiles("examples/quickstart/app-config.yaml"),
	)
	backend.Add(catalog.Plugin(), scaffoldercatalog.Module())
	backend.Add(tour()) // prints what there is to see; see tour.go
	backend.Main()
}
