package backend

import (
	"io"
	"os"
)

// RunMain is Main with everything that a test has to hold.
func (b *Backend) RunMain(args []string, signals <-chan os.Signal, stdout, stderr io.Writer) int {
	b.settings.output = io.Discard
	b.settings.getenv = func(string) string { return "" }
	return b.main(append([]string{"portal"}, args...), signals, stdout, stderr)
}

// RunMainTo is RunMain with the log written to out, as backend.logger formats it.
func (b *Backend) RunMainTo(out io.Writer, args []string, signals <-chan os.Signal) int {
	b.settings.output = out
	b.settings.getenv = func(string) string { return "" }
	return b.main(append([]string{"portal"}, args...), signals, out, out)
}
