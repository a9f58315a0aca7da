#!/bin/sh
# Installs what the tests need, where it is missing, and runs all of them.
# From a bare machine with Go and git: ./test.sh
set -eu
cd "$(dirname "$0")"
exec go run ./internal/ci install test
