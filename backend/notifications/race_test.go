//go:build race

package notifications_test

// underRace makes long tests shorter, which the race detector makes ten times as long.
const underRace = true
