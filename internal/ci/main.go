// Command ci runs the project's checks and counts them.
//
//	go run ./internal/ci              every step, as .ci/run does
//	go run ./internal/ci install test only these, as test.sh does
//
// A step that fails does not keep the others from running, so that one run shows
// everything there is to mend. The last line is "N passed, N failed", with every test
// and subtest and every other step counted once; the exit status is 1 if N failed is
// not zero, or if there was nothing to count.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	chosen, err := choose(steps, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "ci:", err)
		os.Exit(2)
	}
	total := run(ctx, os.Stdout, chosen)
	fmt.Println(total)
	if total.Failed > 0 || total.Passed == 0 {
		os.Exit(1)
	}
}

// A step is one check. run writes what a reader needs to mend a failure to out.
type step struct {
	name, what string
	run        func(ctx context.Context, out io.Writer) (counts, error)
}

// choose returns the steps with the given names, in the order of the table; all of
// them if there are no names.
func choose(all []step, names []string) ([]step, error) {
	if len(names) == 0 {
		return all, nil
	}
	var chosen []step
	var known []string
	for _, s := range all {
		known = append(known, s.name)
		if slices.Contains(names, s.name) {
			chosen = append(chosen, s)
		}
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("there is no step %q, use some of %s", name, strings.Join(known, ", "))
		}
	}
	return chosen, nil
}

// run runs the steps one after the other and adds up their counts.
func run(ctx context.Context, out io.Writer, steps []step) counts {
	var total counts
	var failed []string
	for _, s := range steps {
		fmt.Fprintf(out, "--- %s: %s\n", s.name, s.what)
		start := time.Now()
		n, err := s.run(ctx, out)
		if err == nil && ctx.Err() != nil {
			err = ctx.Err()
		}
		verdict := "ok"
		if err != nil {
			verdict = "FAILED: " + err.Error()
			failed = append(failed, s.name)
			if n.Failed == 0 {
				n.Failed = 1
			}
		} else if n == (counts{}) {
			n.Passed = 1
		}
		total = total.plus(n)
		fmt.Fprintf(out, "--- %s: %s (%.0f s)\n\n", s.name, verdict, time.Since(start).Seconds())
	}
	if len(failed) > 0 {
		fmt.Fprintf(out, "failed: %s\n", strings.Join(failed, ", "))
	}
	return total
}

// command runs a program with its output on out. env is added to the environment.
func command(ctx context.Context, out io.Writer, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", name+" "+strings.Join(args, " "), err)
	}
	return nil
}

// output returns what a program prints, without the space around it.
func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	raw, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	return strings.TrimSpace(string(raw)), err
}
