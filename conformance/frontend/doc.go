// Package frontend has no code: its test serves a stock frontend, built from its npm
// packages by build.sh, from the binary of examples/full, and goes through it with a
// browser.
//
//	CALLBOARD_TEST_FRONTEND=1 go test ./conformance/frontend -v -artifacts -outputdir /some/folder
//
// The first run builds the frontend, which takes some minutes; see CONTRIBUTING.md.
package frontend
