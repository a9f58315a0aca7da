package app_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"testing/fstest"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/app"
	"github.com/callboard-dev/callboard/backend/config"
)

// A portal with its frontend in the binary. Instead of the map there is what fs.Sub makes
// of an embed.FS.
func ExampleBundle() {
	dist := fstest.MapFS{
		"index.html.tmpl": {Data: []byte("<head><title><%= config.getOptionalString('app.title') %></title></head>")},
		".config-schema.json": {Data: []byte(`{"backstageConfigSchemaVersion": 1, "schemas": [{"value": {"properties": {
			"app": {"properties": {"title": {"type": "string", "visibility": "frontend"}}}}}}]}`)},
		"static/main.js": {Data: []byte("render()")},
	}
	cfg, err := config.Parse("app-config.yaml", []byte("{app: {title: Acme}, backend: {baseUrl: http://localhost:7007, listen: '127.0.0.1:0'}}"))
	if err != nil {
		fmt.Println(err)
		return
	}
	b := backend.New(backend.WithConfig(cfg), backend.Development(), backend.WithLogger(slog.DiscardHandler))
	b.Add(app.Plugin(), app.Bundle(dist))
	if err := b.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	defer b.Stop(context.Background())
	res, err := http.Get("http://" + b.Addr().String() + "/catalog")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	fmt.Println(string(page), err)
	// Output:
	// <head><title>Acme</title><script type="backstage.io/config">
	// [
	//   {
	//     "context": "app",
	//     "deprecatedKeys": [],
	//     "data": {
	//       "app": {
	//         "title": "Acme"
	//       }
	//     }
	//   }
	// ]
	// </script>
	// </head> <nil>
}
