// Package staticbench measures what it costs to serve the files of a frontend, beside nginx
// on the same files in the same run: requests per second of CPU time of the server, with
// brotli and gzip variants beside the files for both.
//
//	go run ./internal/testbed/cmd/testbed install nginx
//	go test ./bench/static -v -args -seconds 5 -dist "$(conformance/frontend/build.sh)"
//
// prints the table of bench/RESULTS.md. Without -dist the files are made up, and without
// -seconds everything takes an instant, which is how CI holds that it works.
//
// It consists of tests because what it measures is started by the testbed.
package staticbench
