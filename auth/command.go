package auth

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/callboard-dev/callboard/auth/internal/store"
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/db"
)

const authUsage = `usage: %[1]s auth sessions list --config FILE [--json] [USER]
       %[1]s auth sessions revoke --config FILE USER
       %[1]s auth sessions revoke --config FILE --id ID

Lists and ends the sessions of users, with browsers and with programs, in the portal's
database. With PostgreSQL the portal may run meanwhile. A session that is ended is never refreshed again, on
any replica; the token that its browser has goes on until it expires, an hour at most
unless auth.backstageTokenExpiration says otherwise.

  --config FILE   the portal's configuration; may be repeated
  --id ID         the session to end, as listed
  --json          list as JSON, a session a line

USER is a reference such as user:default/alice, or alice.

Exits with 0, with 1 if it could not be done or there was nothing to end, and with 2 for a
wrong command line.
`

// authFlags is the command line of auth.
type authFlags struct {
	action, user, id string
	config           []string
	json             bool
}

func parseAuth(args []string) (f authFlags, err error) {
	if len(args) > 0 && (args[0] == "--help" || args[0] == "-h") {
		return f, flag.ErrHelp
	}
	if len(args) < 2 || args[0] != "sessions" || args[1] != "list" && args[1] != "revoke" {
		return f, errors.New("say sessions list or sessions revoke")
	}
	f.action = args[1]
	flags := flag.NewFlagSet("auth", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Func("config", "", func(s string) error { f.config = append(f.config, s); return nil })
	flags.StringVar(&f.id, "id", "", "")
	flags.BoolVar(&f.json, "json", false, "")
	if err := flags.Parse(args[2:]); err != nil {
		return f, err
	}
	if flags.NArg() > 1 {
		return f, fmt.Errorf("unexpected argument %q; flags come before the user", flags.Arg(1))
	}
	if flags.NArg() == 1 {
		if f.user, err = userRef(flags.Arg(0)); err != nil {
			return f, err
		}
	}
	switch {
	case len(f.config) == 0:
		return f, errors.New("name the portal's configuration with --config")
	case f.action == "list" && f.id != "":
		return f, errors.New("--id is for revoke")
	case f.action == "revoke" && f.json:
		return f, errors.New("--json is for list")
	case f.action == "revoke" && (f.user == "") == (f.id == ""):
		return f, errors.New("name the user, or a session with --id")
	}
	return f, nil
}

// runAuth is the subcommand auth.
func runAuth(ctx context.Context, c backend.Console, tools backend.Toolbox[db.DB]) int {
	f, err := parseAuth(c.Args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(c.Stdout, authUsage, c.Program)
		return 0
	}
	if err != nil {
		fmt.Fprintf(c.Stderr, "%s auth: %v\nsee %s auth --help\n", c.Program, err, c.Program)
		return backend.ExitUsage
	}
	done := false
	warnings, err := tools.Use(ctx, f.config, func(d db.DB) (err error) {
		done, err = f.run(ctx, store.New(d), c.Stdout)
		return err
	})
	if err == nil && !done {
		err = errors.New("there is no such session")
	}
	if err != nil {
		for _, w := range warnings {
			fmt.Fprintf(c.Stderr, "%s auth: %v\n", c.Program, w)
		}
		fmt.Fprintf(c.Stderr, "%s auth: %v\n", c.Program, err)
		return 1
	}
	return 0
}

// run reports whether there was something to do.
func (f authFlags) run(ctx context.Context, s *store.Store, out io.Writer) (bool, error) {
	switch {
	case f.action == "list":
		return true, f.list(ctx, s, out)
	case f.id != "":
		ok, err := endSession(ctx, s, f.id, "")
		if ok {
			fmt.Fprintln(out, "1 session ended")
		}
		return ok, err
	}
	n, err := endSessionsOf(ctx, s, f.user)
	if err == nil && n > 0 {
		fmt.Fprintf(out, "%d sessions of %s ended\n", n, f.user)
	}
	return n > 0, err
}

func (f authFlags) list(ctx context.Context, s *store.Store, out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if !f.json {
		fmt.Fprintln(table, "ID\tUSER\tWITH\tSIGN-IN\tBEGUN\tLAST USED")
	}
	for cursor := ""; ; {
		list, next, err := sessionsOf(ctx, s, f.user, time.Now(), cursor, 500)
		if err != nil {
			return err
		}
		for _, x := range list {
			if f.json {
				if err := json.NewEncoder(out).Encode(x); err != nil {
					return err
				}
				continue
			}
			fmt.Fprintf(table, "%s\t%s\t%s %q\t%s %s\t%s\t%s\n", x.ID, x.UserEntityRef, x.Type, x.Client, x.Provider, x.Env,
				x.CreatedAt.Format(time.DateTime), x.LastUsedAt.Format(time.DateTime))
		}
		if next == "" {
			return table.Flush()
		}
		cursor = next
	}
}
