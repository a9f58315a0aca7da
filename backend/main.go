package backend

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// Main parses the command line (--config FILE..., --check, or a Subcommand of one of the
// features), runs the backend until SIGINT or SIGTERM, and exits: 0 after an orderly
// stop, 1 after a boot error or a stop that failed, 2 for a wrong command line. A
// second signal exits at once with 130. Programs with a life of their own use Start
// and Stop.
func (b *Backend) Main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(b.main(os.Args, signals, os.Stdout, os.Stderr))
}

type fileList []string

func (l *fileList) String() string     { return fmt.Sprint([]string(*l)) }
func (l *fileList) Set(v string) error { *l = append(*l, v); return nil }

const usage = `usage: %s [--config FILE]... [--check]

  --config FILE  read FILE instead of app-config.yaml and its variants; may be
                 repeated, and what comes later wins
  --check        check the configuration and the composition without starting:
                 print every problem and exit with 1, or print "ok" and exit with 0
`

func (b *Backend) main(args []string, signals <-chan os.Signal, stdout, stderr io.Writer) int {
	if code, ok := b.runSubcommand(args, signals, stdout, stderr); ok {
		return code
	}
	name := filepath.Base(args[0])
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	var files fileList
	flags.Var(&files, "config", "")
	check := flags.Bool("check", false, "")
	err := flags.Parse(args[1:])
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(stdout, usage+b.subcommandUsage(name), name)
		return 0
	}
	if err == nil && flags.NArg() > 0 {
		err = b.unknownSubcommand(flags.Arg(0))
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n"+usage+b.subcommandUsage(name), name, err, name)
		return 2
	}
	if len(files) > 0 {
		b.settings.files = files
	}
	if *check {
		go exitOnSignal(signals) // there is nothing to stop in order
		return b.check(stdout, stderr)
	}
	return b.serve(signals, stderr)
}

func (b *Backend) check(stdout, stderr io.Writer) int {
	b.settings.output = io.Discard
	warnings, err := b.inspect()
	for _, w := range warnings {
		fmt.Fprintf(stderr, "warning: %v\n", w)
	}
	if err != nil {
		fmt.Fprint(stderr, err)
		return 1
	}
	fmt.Fprintln(stdout, "ok")
	return 0
}

func (b *Backend) serve(signals <-chan os.Signal, stderr io.Writer) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	started := make(chan error, 1)
	go func() { started <- b.Start(ctx) }()
	code := 0
	select {
	case err := <-started:
		if err != nil {
			fmt.Fprint(stderr, err)
			if _, ok := errors.AsType[*BootError](err); !ok {
				fmt.Fprintln(stderr)
			}
			return 1
		}
		select {
		case <-signals:
		case <-b.Failed():
			code = 1
		}
	case <-signals: // while starting: give up, what has started is stopped again
		cancel()
		go exitOnSignal(signals)
		select {
		case err := <-started:
			if err != nil {
				b.stoppedEarly(err)
				return 0
			}
		case <-time.After(stopTimeout): // a constructor that does not return
			b.stoppedEarly(errors.New("the start does not end; the process ends without it"))
			return 1
		}
	}
	go exitOnSignal(signals)
	stop, done := context.WithTimeout(context.Background(), b.core.stopTimeout)
	defer done()
	if err := b.Stop(stop); err != nil {
		b.core.log.Error("stopping", "error", err)
		code = 1
	}
	return code
}

func (b *Backend) stoppedEarly(reason error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.core != nil {
		b.core.log.Info("stopped before it had started", "reason", reason)
	}
}

func exitOnSignal(signals <-chan os.Signal) {
	<-signals
	os.Exit(130)
}
