//go:build !race

package notifications_test

const underRace = false
