package backend_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/httpx"
)

// A plugin shows a page of its own to users, by their cookie, and leaves the others to the
// plain page of the backend.
func ExampleIndex() {
	pages := backend.NewPlugin("pages", fx.Invoke(func(index backend.Index, cookie backend.UserCookie) {
		index.Handle(func(w http.ResponseWriter, r *http.Request) error {
			user, ok, err := cookie.User(r)
			if err != nil {
				cookie.Clear(w)
			}
			if !ok || err != nil {
				return backend.ErrNoPage
			}
			return httpx.Text(w, http.StatusOK, "hello, "+user.Ref)
		})
	}))
	cfg, err := config.Parse("app-config.yaml", []byte("{app: {title: Plain}, backend: {baseUrl: http://localhost:7007, listen: '127.0.0.1:0'}}"))
	if err != nil {
		fmt.Println(err)
		return
	}
	b := backend.New(backend.WithConfig(cfg), backend.Development(), backend.WithLogger(slog.DiscardHandler))
	b.Add(pages)
	if err := b.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	defer b.Stop(context.Background())
	res, err := http.Get("http://" + b.Addr().String() + "/")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	fmt.Println(res.StatusCode, strings.Contains(string(body), "<title>Plain</title>"), err)
	// Output: 200 true <nil>
}
