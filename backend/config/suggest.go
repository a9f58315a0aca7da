package config

import (
	"fmt"
	"strings"
)

// suggestion formats the candidate that word was probably meant to be, or returns
// nothing if none is close.
func suggestion(word string, candidates []string, format string) string {
	if best := Suggest(word, candidates); best != "" {
		return fmt.Sprintf(format, best)
	}
	return ""
}

// Suggest returns the candidate with the fewest typing mistakes, at most one for
// every three letters. Words that differ only in case
// are always close. It returns "" if none is.
func Suggest(word string, candidates []string) string {
	const longest = 64 // what is longer is no misspelt key, and the distance is quadratic
	if len(word) > longest {
		return ""
	}
	best, bestDistance := "", len(word)/3+1
	for _, c := range candidates {
		if len(c) > longest || c == word {
			continue
		}
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance counts inserted, removed, changed and swapped characters.
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
