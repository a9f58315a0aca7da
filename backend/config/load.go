package config

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Sources says where a configuration comes from. The zero value is what a server
// without flags uses: app-config.yaml and its companions in the working directory,
// and the environment of the process.
type Sources struct {
	// Files are the targets of --config, in order, later ones winning. Without any,
	// Load looks in Dir for app-config.yaml (required), app-config.<env>.yaml for
	// each name in BACKSTAGE_ENV, app-config.local.yaml and app-config.<env>.local.yaml.
	Files []string
	// Dir is the directory of that lookup, by default the working directory.
	// Relative Files are relative to the working directory, not to Dir.
	Dir string
	// Environ has the form of os.Environ, which it defaults to if nil.
	Environ []string
	// Remote permits Files that are http:// or https:// addresses; nil refuses them.
	Remote *Remote
}

// Remote says how configuration is read from web addresses.
type Remote struct {
	Client *http.Client  // default: a client with a timeout of 30 s
	Poll   time.Duration // how often a [Watcher] asks for a new version, default 60 s
}

// Load reads, merges and checks all sources (contract/backend.md section 3). It
// reports every problem of every source at once, each error in the join a
// *[KeyError]. If all files could be parsed, the Config is not nil even when there
// is an error: then decoding can go on to find what else is wrong, and keys that
// Load has reported are not reported again.
func Load(ctx context.Context, s Sources) (*Config, error) {
	return load(ctx, s, &fileValues{})
}

func load(ctx context.Context, s Sources, texts *fileValues) (*Config, error) {
	if s.Environ == nil {
		s.Environ = os.Environ()
	}
	l := newLoader(lookupIn(s.Environ), texts)
	t := &tree{loaded: true, sources: s, texts: texts}
	parsed := true
	for _, target := range s.targets(l) {
		root, ok, used := l.loadTarget(ctx, s, target)
		if used {
			t.files = append(t.files, target.name)
		}
		parsed = parsed && ok
		t.root = merge(t.root, root)
	}
	envRoot, errs := readEnv(s.Environ)
	l.errs = append(l.errs, errs...)
	t.env = envRoot
	t.root = merge(t.root, envRoot)
	t.watched, t.read = l.watched, l.read
	if !parsed {
		return nil, errors.Join(l.errs...)
	}
	return newConfig(t), errors.Join(l.errs...)
}

// Parse reads one document from memory. name is the file name that positions show,
// and its directory is what $file and $include are relative to. environ, in the
// form of os.Environ, is all the environment there is: ${VAR} and APP_CONFIG_
// variables come from it, never from the process.
func Parse(name string, yaml []byte, environ ...string) (*Config, error) {
	l := newLoader(lookupIn(environ), &fileValues{})
	root, ok := l.parse(name, yaml, fileSource(name))
	if !ok {
		return nil, errors.Join(l.errs...)
	}
	envRoot, errs := readEnv(environ)
	l.errs = append(l.errs, errs...)
	t := &tree{root: merge(root, envRoot), env: envRoot, files: []string{name}, texts: l.texts, read: l.read, watched: l.watched}
	return newConfig(t), errors.Join(l.errs...)
}

// A target is one file or address to read.
type target struct {
	name     string
	optional bool
	remote   bool
	fix      string // what to do if the file does not exist
}

// targets lists what to read, from lowest to highest precedence.
func (s Sources) targets(l *loader) []target {
	var out []target
	if len(s.Files) > 0 {
		for _, name := range s.Files {
			remote := isURL(name)
			out = append(out, target{name: name, remote: remote, fix: "--config needs the path of an existing file"})
		}
		return out
	}
	in := func(name string) string { return filepath.Join(s.Dir, name) }
	envs, _ := l.env("BACKSTAGE_ENV")
	var names []string
	for env := range strings.SplitSeq(envs, ",") {
		env = strings.TrimSpace(env)
		if strings.ContainsAny(env, `/\`) {
			l.errs = append(l.errs, errAt(nil, position{file: "environment variable BACKSTAGE_ENV"}, "%q is not the name of an environment", env))
		} else if env != "" && !slices.Contains(names, env) {
			names = append(names, env)
		}
	}
	out = append(out, target{name: in("app-config.yaml"), fix: "name the file to read with --config FILE"})
	for _, env := range names {
		out = append(out, target{name: in("app-config." + env + ".yaml"), optional: true})
	}
	out = append(out, target{name: in("app-config.local.yaml"), optional: true})
	for _, env := range names {
		out = append(out, target{name: in("app-config." + env + ".local.yaml"), optional: true})
	}
	return out
}

// loadTarget reads one target. ok is false if it has no usable tree, used is false
// if it is optional and not there.
func (l *loader) loadTarget(ctx context.Context, s Sources, t target) (root *node, ok, used bool) {
	if t.remote {
		data, err := fetch(ctx, s.Remote, t.name)
		if err != nil {
			l.errs = append(l.errs, &KeyError{Err: err})
			return nil, false, true
		}
		root, ok = l.parse(shownURL(t.name), data, source{noDir: "in a configuration that is read from a URL"})
		return root, ok, true
	}
	data, err := l.readFile(t.name)
	switch {
	case t.optional && errors.Is(err, os.ErrNotExist):
		return nil, true, false
	case errors.Is(err, os.ErrNotExist):
		l.errs = append(l.errs, &KeyError{Err: fmt.Errorf("configuration file %w: %s", fileProblem(t.name, err), t.fix)})
		return nil, false, true
	case err != nil:
		l.errs = append(l.errs, &KeyError{Err: fmt.Errorf("configuration file %w", fileProblem(t.name, err))})
		return nil, false, true
	}
	root, ok = l.parse(t.name, data, fileSource(t.name))
	return root, ok, true
}

func fileSource(name string) source {
	return source{dir: filepath.Dir(name), shown: filepath.Dir(name)}
}

// parse turns the text of one file into a tree with variables and includes replaced.
func (l *loader) parse(name string, data []byte, src source) (*node, bool) {
	var root *node
	var errs []error
	if filepath.Ext(name) == ".json" {
		var err error
		if root, err = parseJSON(name, data, false); err != nil {
			errs = []error{err}
		}
	} else {
		root, errs = parseYAML(name, data)
	}
	if len(errs) > 0 {
		l.errs = append(l.errs, errs...)
		return nil, false
	}
	if root == nil || root.kind == null {
		return nil, true
	}
	src.chain = []link{{absolute(name) + "#", name}}
	root = l.transform(root, nil, src)
	if root.kind != object && !root.reported {
		l.errs = append(l.errs, errAt(nil, root.pos, "expected an object of keys, got %s", root.describe(true)))
		return nil, false
	}
	return root, true
}
