//go:build ignore

// Command zitadel-op is the OpenID provider of github.com/zitadel/oidc with users from a
// file, for tests. It is built on its own, with the go.mod beside it:
//
//	zitadel-op USERS.json REDIRECT_URI
//
// The first line that it prints is its issuer. It ends when its standard input does.
package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

func main() {
	if err := serve(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(file, redirect string) error {
	users, err := storage.StoreFromFile(file)
	if err != nil {
		return err
	}
	storage.RegisterClients(storage.WebClient("web", "secret", redirect))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	issuer := "http://" + l.Addr().String()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	handler := exampleop.SetupServer(issuer, storage.NewStorage(users), log, false)
	fmt.Println(issuer)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	return http.Serve(l, handler)
}
