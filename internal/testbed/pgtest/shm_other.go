//go:build !linux

package pgtest

// folder is where servers keep their data: the default temporary folder.
func folder() string { return "" }
