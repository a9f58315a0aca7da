// Command testbed installs the servers that tests run against.
//
//	testbed install [name ...]   by default PostgreSQL 15 and 16, Redis, the stock
//	                             clients of the catalog, of notifications and of
//	                             signals, two OpenID providers, and Chromium with
//	                             what drives a sign-in in it
//	testbed list                 what there is, and where
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/callboard-dev/callboard/internal/testbed"
)

const usage = "usage: testbed install [name ...] | testbed list"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("%s", usage)
	}
	switch args[0] {
	case "install":
		tools, err := testbed.Select(args[1:]...)
		if err != nil {
			return err
		}
		return testbed.Install(ctx, out, tools...)
	case "list":
		for _, t := range testbed.Tools() {
			dir, err := testbed.Find(t.Name)
			if err != nil {
				dir = "missing"
			}
			fmt.Fprintf(out, "%-16s %s\n", t.Name, dir)
		}
		return nil
	}
	return fmt.Errorf("%q is not a command; %s", args[0], usage)
}
