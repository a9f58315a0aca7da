// Command gen converts recordings into the project's testdata:
//
//	go run ./internal/wiretest/gen -from DIR health catalog-read
//
// reads DIR/golden/GROUP.json, adds the preparations of internal/wiretest/gen/flows/GROUP.txt if that file exists
// (captured ids, waits, switches of the fixture server), replaces prose and volatile values by markers, and writes
// testdata/recordings/GROUP.txt. DIR is also taken from CALLBOARD_RECORDINGS. Without groups it converts again
// those that testdata has.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/callboard-dev/callboard/internal/wiretest"
)

func main() {
	from := flag.String("from", os.Getenv("CALLBOARD_RECORDINGS"), "directory of the recordings, with golden/*.json")
	flag.Parse()
	if err := run(*from, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(from string, groups []string) error {
	if from == "" {
		return errors.New("say where the recordings are: -from DIR or CALLBOARD_RECORDINGS")
	}
	root, err := wiretest.Root()
	if err != nil {
		return err
	}
	out := filepath.Join(root, "testdata", "recordings")
	if len(groups) == 0 {
		files, err := filepath.Glob(filepath.Join(out, "*.txt"))
		if err != nil {
			return err
		}
		for _, f := range files {
			groups = append(groups, strings.TrimSuffix(filepath.Base(f), ".txt"))
		}
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, name := range groups {
		data, err := os.ReadFile(filepath.Join(from, "golden", name+".json"))
		if err != nil {
			return err
		}
		flow, err := readFlow(filepath.Join(root, "internal", "wiretest", "gen", "flows", name+".txt"), name)
		if err != nil {
			return err
		}
		g, err := wiretest.Convert(name, data, flow)
		if err != nil {
			return err
		}
		file := filepath.Join(out, name+".txt")
		text := wiretest.Format(g)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
		fmt.Printf("%s: %d exchanges, %d bytes\n", file, len(g.Exchanges), len(text))
	}
	return nil
}

func readFlow(file, name string) (*wiretest.Group, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return wiretest.Parse(name, string(text))
}
