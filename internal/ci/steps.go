package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// steps is the table of checks, quick ones first.
var steps = []step{
	{"install", "the servers that tests start", install},
	{"gofmt", "every Go file is formatted", gofmt},
	{"tidy", "go.mod and go.sum are as go mod tidy leaves them", tidy},
	{"nocgo", "everything builds without a C compiler", noCgo},
	{"size", "the quickstart's binary stays small", size},
	{"vet", "go vet", vet},
	{"staticcheck", "staticcheck, with staticcheck.conf", staticcheck},
	{"test", "all tests", test},
}

func install(ctx context.Context, out io.Writer) (counts, error) {
	return counts{}, command(ctx, out, nil, "go", "run", "./internal/testbed/cmd/testbed", "install")
}

func gofmt(ctx context.Context, out io.Writer) (counts, error) {
	files, err := output(ctx, "git", "ls-files", "--cached", "--others", "--exclude-standard", "*.go")
	if err != nil {
		return counts{}, err
	}
	var present []string // a file that is deleted but not committed yet is still listed
	for file := range strings.SplitSeq(files, "\n") {
		if _, err := os.Stat(file); err == nil {
			present = append(present, file)
		}
	}
	unformatted, err := output(ctx, "gofmt", append([]string{"-l"}, present...)...)
	if err != nil {
		return counts{}, err
	}
	if unformatted != "" {
		fmt.Fprintln(out, unformatted)
		return counts{}, errors.New("these files are not formatted, run gofmt -w on them")
	}
	return counts{}, nil
}

func tidy(ctx context.Context, out io.Writer) (counts, error) {
	return counts{}, command(ctx, out, nil, "go", "mod", "tidy", "-diff")
}

func noCgo(ctx context.Context, out io.Writer) (counts, error) {
	return counts{}, command(ctx, out, []string{"CGO_ENABLED=0"}, "go", "build", "./...")
}

// maxQuickstart bounds the stripped binary of examples/quickstart, in bytes. What
// crosses it is a dependency that everybody got and few wanted.
const maxQuickstart = 30 << 20

func size(ctx context.Context, out io.Writer) (counts, error) {
	dir, err := os.MkdirTemp("", "callboard-size-")
	if err != nil {
		return counts{}, err
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "quickstart")
	if err := command(ctx, out, []string{"CGO_ENABLED=0"}, "go", "build", "-ldflags=-s -w", "-o", bin, "./examples/quickstart"); err != nil {
		return counts{}, err
	}
	info, err := os.Stat(bin)
	if err != nil {
		return counts{}, err
	}
	fmt.Fprintf(out, "examples/quickstart: %.1f MB stripped\n", float64(info.Size())/(1<<20))
	if info.Size() > maxQuickstart {
		return counts{}, fmt.Errorf("more than %d MB: see what came in with go list -deps ./examples/quickstart", maxQuickstart>>20)
	}
	return counts{}, nil
}

func vet(ctx context.Context, out io.Writer) (counts, error) {
	return counts{}, command(ctx, out, nil, "go", "vet", "./...")
}

// staticcheck is built at the version of internal/tools/go.mod, which keeps it out of
// the module graph of the product.
func staticcheck(ctx context.Context, out io.Writer) (counts, error) {
	dir, err := os.MkdirTemp("", "callboard-tools-")
	if err != nil {
		return counts{}, err
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "staticcheck")
	if err := command(ctx, out, nil, "go", "-C", "internal/tools", "build", "-o", bin, "honnef.co/go/tools/cmd/staticcheck"); err != nil {
		return counts{}, err
	}
	return counts{}, command(ctx, out, nil, bin, "./...")
}

// test runs every test once, with the race detector where there is a C compiler to
// build it with. CI insists on it.
func test(ctx context.Context, out io.Writer) (counts, error) {
	args := []string{"test", "-json", "-timeout=20m"}
	if err := raceDetector(ctx); err == nil {
		args = append(args, "-race")
	} else if os.Getenv("CI") != "" {
		return counts{}, err
	} else {
		fmt.Fprintf(out, "without the race detector: %v\n", err)
	}
	count := newCounter(out)
	cmdErr := command(ctx, count, testEnv(os.Getenv), "go", append(args, "./...")...)
	n := count.finish()
	switch {
	case cmdErr != nil:
		return n, cmdErr
	case n.Passed == 0:
		return n, errors.New("no test ran")
	}
	return n, nil
}

// testEnv asks for both PostgreSQL versions that are promised to work, unless the
// caller chose, and in CI for a failure where a server is missing.
func testEnv(getenv func(string) string) []string {
	var env []string
	if getenv("CALLBOARD_TEST_POSTGRES_VERSIONS") == "" {
		env = append(env, "CALLBOARD_TEST_POSTGRES_VERSIONS=15,16")
	}
	if getenv("CI") != "" {
		env = append(env, "CALLBOARD_REQUIRE_TESTBED=1")
	}
	return env
}

// raceDetector says why the race detector cannot be used, or nothing.
func raceDetector(ctx context.Context) error {
	vars, err := output(ctx, "go", "env", "CGO_ENABLED", "CC")
	if err != nil {
		return err
	}
	enabled, cc, _ := strings.Cut(vars, "\n")
	if enabled != "1" {
		return errors.New("cgo is off, or no C compiler is installed")
	}
	compiler, _, _ := strings.Cut(cc, " ")
	if _, err := exec.LookPath(compiler); err != nil {
		return fmt.Errorf("the C compiler %s is not installed", compiler)
	}
	return nil
}
