package catalog

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/scm"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/ingest"
	"github.com/callboard-dev/callboard/catalog/internal/lint"
)

const validateUsage = `usage: %s validate [FLAGS] PATH...

Checks descriptor files the way the catalog would process them. A directory stands for
the files in it that are named like descriptors.

  --config FILE   take the portal's catalog.rules, limits and processors into account;
                  may be repeated. Without it every kind is allowed
  --format NAME   text (default), json, github or sarif
  --strict        warnings count as errors
  --complete      the paths hold the whole catalog: a reference that leads out of them
                  is an error
  --online        read what is on other hosts, which else is left out
  --name GLOB     names of descriptors in directories, in place of catalog-info.yaml and
                  catalog-info.yml; may be repeated
  --exclude GLOB  files in directories to leave out, by their path from the root, such
                  as '**/skeleton/**' for templates of the scaffolder; may be repeated
  --root DIR      the directory of the repository, if it is not the nearest one above
                  the first path that has a .git
  --at URL        the address that the root has for the portal, such as
                  https://github.com/acme/shop/blob/main/
  --as-files      the files are locations of type file, not url
  --timeout TIME  give up after that time (default 1m)
  --print-schema  print the JSON Schema of descriptors, for editors, and exit

Exits with 0 if there are no errors, 1 if there are, and 2 if the check could not be
done: for a wrong command line, a path that is not there, or a timeout.
`

// validateFlags is the command line of validate.
type validateFlags struct {
	config, names, exclude                     []string
	format, root, at                           string
	strict, complete, online, asFiles, printed bool
	timeout                                    time.Duration
	paths                                      []string
}

func parseValidate(c backend.Console) (f validateFlags, err error) {
	flags := flag.NewFlagSet("validate", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	list := func(name string, into *[]string) {
		flags.Func(name, "", func(s string) error { *into = append(*into, s); return nil })
	}
	list("config", &f.config)
	list("name", &f.names)
	list("exclude", &f.exclude)
	flags.StringVar(&f.format, "format", "text", "")
	flags.StringVar(&f.root, "root", "", "")
	flags.StringVar(&f.at, "at", "", "")
	flags.BoolVar(&f.strict, "strict", false, "")
	flags.BoolVar(&f.complete, "complete", false, "")
	flags.BoolVar(&f.online, "online", false, "")
	flags.BoolVar(&f.asFiles, "as-files", false, "")
	flags.BoolVar(&f.printed, "print-schema", false, "")
	flags.DurationVar(&f.timeout, "timeout", time.Minute, "")
	if err := flags.Parse(c.Args); err != nil {
		return f, err
	}
	f.paths = flags.Args()
	if i := slices.IndexFunc(f.paths, func(p string) bool { return strings.HasPrefix(p, "--") }); i >= 0 {
		return f, fmt.Errorf("flag %s comes after a path; flags come first", f.paths[i])
	}
	if f.printed {
		return f, nil
	}
	if format, names := lint.FormatOf(f.format); format == nil {
		return f, fmt.Errorf("unknown format %q, use one of %s", f.format, strings.Join(names, ", "))
	}
	if f.at != "" {
		f.at = strings.TrimSuffix(f.at, "/") + "/"
		if loc, err := entity.ParseLocation("url:" + f.at); err != nil || !strings.HasPrefix(loc.Target, "https://") && !strings.HasPrefix(loc.Target, "http://") {
			return f, fmt.Errorf("--at %q is no http or https URL", f.at)
		}
	}
	if f.at != "" && f.asFiles {
		return f, errors.New("--at and --as-files exclude each other")
	}
	if len(f.paths) == 0 {
		return f, errors.New("name the files or directories to check")
	}
	return f, lint.CheckGlobs(append(slices.Clone(f.names), f.exclude...))
}

// runValidate is the subcommand validate.
func runValidate(ctx context.Context, c backend.Console, tools backend.Toolbox[*catalog]) int {
	f, err := parseValidate(c)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(c.Stdout, validateUsage, c.Program)
		return 0
	}
	if err != nil {
		fmt.Fprintf(c.Stderr, "%s validate: %v\nsee %s validate --help\n", c.Program, err, c.Program)
		return backend.ExitUsage
	}
	if f.printed {
		if _, err := c.Stdout.Write(entity.Schema()); err != nil {
			fmt.Fprintf(c.Stderr, "%s validate: %v\n", c.Program, err)
			return backend.ExitUsage
		}
		return 0
	}
	ctx, cancel := context.WithTimeoutCause(ctx, f.timeout, fmt.Errorf("not done after %s; check fewer files, or raise --timeout", f.timeout))
	defer cancel()
	report, err := validate(ctx, c, f, tools)
	if report != nil {
		format, _ := lint.FormatOf(f.format)
		if werr := format(c.Stdout, report.Report, report.name(c.Dir, f.format)); err == nil {
			err = werr
		}
	}
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
		fallthrough
	case err != nil:
		fmt.Fprintf(c.Stderr, "%s validate: %v\n", c.Program, err)
		return backend.ExitUsage
	case report.Count(lint.LevelError) > 0, f.strict && report.Count(lint.LevelWarning) > 0:
		return 1
	}
	return 0
}

// rooted is a report with the directory that its files are relative to.
type rooted struct {
	*lint.Report
	root string
}

// name makes file names what readers of a format want: relative to the working
// directory for people, relative to the repository for services.
func (r *rooted) name(dir, format string) func(string) string {
	return func(file string) string {
		if format == "github" || format == "sarif" {
			return file
		}
		if rel, err := filepath.Rel(dir, filepath.Join(r.root, filepath.FromSlash(file))); err == nil {
			return filepath.ToSlash(rel)
		}
		return file
	}
}

func validate(ctx context.Context, c backend.Console, f validateFlags, tools backend.Toolbox[*catalog]) (*rooted, error) {
	absolute := func(p string) string {
		if !filepath.IsAbs(p) {
			p = filepath.Join(c.Dir, p)
		}
		return filepath.Clean(p)
	}
	for i := range f.config {
		if !strings.Contains(f.config[i], "://") {
			f.config[i] = absolute(f.config[i])
		}
	}
	reader := &lateReader{}
	own, warnings, err := tools.With(fx.Decorate(reader.replace)).Open(ctx, f.config...)
	for _, w := range warnings {
		if len(f.config) > 0 {
			fmt.Fprintf(c.Stderr, "warning: %v\n", w)
		}
	}
	if err != nil {
		return nil, err
	}
	paths := make([]string, len(f.paths))
	for i, p := range f.paths {
		paths[i] = absolute(p)
	}
	root := lint.FindRoot(paths[0], c.Dir)
	if f.root != "" {
		root = absolute(f.root)
	}
	o := lint.Options{Integrations: own.p.Integrations, Root: root, Base: f.at, AsFiles: f.asFiles, Names: f.names, Exclude: f.exclude, Complete: f.complete,
		Pipeline: func(files scm.Reader) (*ingest.Pipeline, error) {
			reader.Reader = files
			return own.offline(files, f)
		}}
	if f.online {
		o.Online = reader.Reader
	}
	report, err := lint.Run(ctx, o, paths)
	return &rooted{report, root}, err
}

// A lateReader is what the modules of the program read with: first the reader that they
// would have, and then the files that are checked.
type lateReader struct{ scm.Reader }

func (r *lateReader) replace(real scm.Reader) scm.Reader {
	r.Reader = real
	return r
}

// offline is the pipeline of the catalog with another reader. Without a configuration
// nobody knows the rules; without an address nobody knows which rules are about the
// files, and those about any location count.
func (c *catalog) offline(reader scm.Reader, f validateFlags) (*ingest.Pipeline, error) {
	other := *c
	other.p.Reader = reader
	pipeline, err := other.pipeline()
	if err != nil {
		return nil, err
	}
	rules := c.rules()
	switch {
	case len(f.config) == 0:
		pipeline.Rules = nil
	case f.at == "" && !f.asFiles:
		rules = rules.Anywhere()
		fallthrough
	default:
		pipeline.Rules = func() ingest.Rules { return rules }
	}
	return pipeline, nil
}
