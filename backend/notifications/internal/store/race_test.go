//go:build race

package store

// underRace makes long tests shorter, which the race detector makes ten times as long.
const underRace = true
