// Command replay compares a backend that runs elsewhere with the recorded exchanges:
//
//	go run ./internal/wiretest/cmd/replay -base http://127.0.0.1:7107 -only catalog-read,health
//
// It serves the fixtures at the recorded places, 127.0.0.1:7198 and /tmp/backstage-fixtures, unless -fixtures and
// -files name others. With -wait it prints the configuration that the backend needs and serves until it is
// interrupted, so that the backend can be started meanwhile:
//
//	go run ./internal/wiretest/cmd/replay -wait > app-config.yaml
//
// The exit status is 1 if an exchange failed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/callboard-dev/callboard/internal/wiretest"
	"github.com/callboard-dev/callboard/internal/wiretest/fixtures"
)

type flags struct {
	base, only, plugins, notYet, fixtures, files string
	entities                                     int
	wait, verbose                                bool
	out, errs                                    io.Writer
}

func main() {
	var f flags
	flag.StringVar(&f.base, "base", "http://127.0.0.1:7107", "base URL of the backend")
	flag.StringVar(&f.only, "only", "", "groups, separated by commas; all of testdata/recordings if empty")
	flag.StringVar(&f.plugins, "plugins", "", "plugins that the backend has, separated by commas; found by asking if empty")
	flag.StringVar(&f.notYet, "not-yet", "", "routes that do not exist yet, separated by commas: [METHOD ]PATTERN")
	flag.StringVar(&f.fixtures, "fixtures", strings.TrimPrefix(wiretest.Recorded.Fixtures, "http://"), "address to serve the fixtures on")
	flag.StringVar(&f.files, "files", wiretest.Recorded.Files, "directory to write the fixture files to")
	flag.IntVar(&f.entities, "entities", 42, "how many entities the catalog has when it is ready")
	flag.BoolVar(&f.wait, "wait", false, "only serve the fixtures and print the configuration")
	flag.BoolVar(&f.verbose, "v", false, "list every difference, and the exchanges that deviate or are not there yet")
	flag.Parse()
	f.out, f.errs = os.Stdout, os.Stderr
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, f); err != nil {
		fmt.Fprintln(os.Stderr, "replay:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, f flags) error {
	server, err := fixtures.Serve(f.fixtures, f.files)
	if err != nil {
		return err
	}
	defer server.Close()
	if f.wait {
		fmt.Fprint(f.out, wiretest.Config(server.URL(), server.Dir(), f.base))
		fmt.Fprintf(f.errs, "serving fixtures on %s until interrupted\n", server.URL())
		<-ctx.Done()
		return nil
	}
	groups := list(f.only)
	if len(groups) == 0 {
		if groups, err = committed(); err != nil {
			return err
		}
	}
	opt := wiretest.Options{Fixtures: server, Installed: list(f.plugins), NotYet: list(f.notYet), Entities: f.entities}
	if len(opt.Installed) == 0 {
		if opt.Installed, err = wiretest.Installed(ctx, f.base); err != nil {
			return err
		}
	}
	fmt.Fprintf(f.out, "plugins: %s\n", strings.Join(opt.Installed, " "))
	return replay(ctx, f, groups, opt)
}

func replay(ctx context.Context, f flags, groups []string, opt wiretest.Options) error {
	r, err := wiretest.NewReplayer(f.base, opt)
	if err != nil {
		return err
	}
	if err := r.Ready(ctx); err != nil {
		return err
	}
	var results []wiretest.Result
	for _, name := range groups {
		g, err := r.Load(name)
		if err != nil {
			return err
		}
		for _, x := range g.Exchanges {
			res := r.Exchange(ctx, g, x)
			results = append(results, res)
			show(f, x, res)
		}
	}
	sum := wiretest.Summarize(results)
	fmt.Fprint(f.out, sum)
	if n := sum.Total(wiretest.Failed); n > 0 {
		return fmt.Errorf("%d exchanges failed", n)
	}
	return nil
}

// show prints a failed exchange with its first differences; with -v everything but what passed.
func show(f flags, x *wiretest.Exchange, res wiretest.Result) {
	if res.Outcome == wiretest.Passed || res.Outcome != wiretest.Failed && !f.verbose {
		return
	}
	fmt.Fprintf(f.out, "%s: %s / %s  (%s %s)\n", res.Outcome, res.Group, res.Exchange, x.Request.Method, x.Request.Path)
	shown := res.Details
	if !f.verbose {
		shown = shown[:min(len(shown), 6)]
	}
	for _, d := range shown {
		fmt.Fprintln(f.out, "    "+d)
	}
	if more := len(res.Details) - len(shown); more > 0 {
		fmt.Fprintf(f.out, "    … and %d more; -v lists them\n", more)
	}
}

func committed() ([]string, error) {
	root, err := wiretest.Root()
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(root, "testdata", "recordings", "*.txt"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, errors.New("testdata/recordings has no groups")
	}
	// Groups that write come last, because they change what the others read.
	var read, write []string
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		if strings.HasSuffix(name, "-write") {
			write = append(write, name)
		} else {
			read = append(read, name)
		}
	}
	return append(read, write...), nil
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}
