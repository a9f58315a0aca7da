package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Install makes the tools available and writes one line per tool to log. What is
// there already is left alone, so that it is quick the second time. Its error joins
// those of the tools.
func Install(ctx context.Context, log io.Writer, tools ...Tool) error {
	var errs []error
	for _, t := range tools {
		if dir, err := Find(t.Name); err == nil {
			fmt.Fprintf(log, "%s: %s\n", t.Name, dir)
			continue
		}
		if err := install(ctx, log, t); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", t.Name, err))
			continue
		}
		dir, err := Find(t.Name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		fmt.Fprintf(log, "%s: %s (installed now)\n", t.Name, dir)
	}
	return errors.Join(errs...)
}

func install(ctx context.Context, log io.Writer, t Tool) error {
	var why []error
	if t.Debian != "" {
		err := installDebian(ctx, log, t.Debian)
		if err == nil {
			return nil
		}
		why = append(why, err)
	}
	if t.NPM.Name != "" {
		err := installNPM(ctx, log, t)
		if err == nil {
			return nil
		}
		why = append(why, err)
	}
	if t.Project != "" {
		err := installProject(ctx, log, t)
		if err == nil {
			return nil
		}
		why = append(why, err)
	}
	return errors.Join(why...)
}

// installDebian installs a package where that is possible without asking.
func installDebian(ctx context.Context, log io.Writer, name string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("the Debian package %s: only root can install it: sudo apt-get install %s", name, name)
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("the Debian package %s: no apt-get here", name)
	}
	if !debianHas(ctx, name) {
		// The lists may never have been fetched. Their failure shows in the next look.
		_ = run(ctx, log, "apt-get", "update", "-q")
		if !debianHas(ctx, name) {
			return fmt.Errorf("the Debian package %s: this release does not have it", name)
		}
	}
	if strings.HasPrefix(name, "postgresql-") {
		if err := noMainCluster(); err != nil {
			return err
		}
	}
	return run(ctx, log, "apt-get", "install", "-q", "-y", "--no-install-recommends", name)
}

func debianHas(ctx context.Context, name string) bool {
	out, err := exec.CommandContext(ctx, "apt-cache", "policy", name).Output()
	return err == nil && bytes.Contains(out, []byte("Candidate:")) && !bytes.Contains(out, []byte("Candidate: (none)"))
}

// noMainCluster keeps Debian from creating and starting a server of its own: tests
// want the programs. Where PostgreSQL is set up already nothing is changed.
func noMainCluster() error {
	const dir = "/etc/postgresql-common"
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "createcluster.conf"), []byte("create_main_cluster = false\n"), 0o644)
}

// run runs a command, and shows what it printed only if it went wrong.
func run(ctx context.Context, log io.Writer, name string, args ...string) error {
	fmt.Fprintf(log, "$ %s %s\n", name, strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, name, args...)
	// In runlevel 1 no package starts its server, where there is an init that asks.
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
