package config

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Duration accepts upstream's three forms: {minutes: 15}; what the npm library ms
// reads, "15m", "2 hours", "1d", "1.5h"; and ISO 8601, "PT15M". It is never
// negative. A month counts as 30 days and a year as 365.
//
// A plain number is an error, unless the field's tag has the option millis, as for
// the few keys (cache TTLs, server timeouts) that take a number of milliseconds.
type Duration time.Duration

// Std returns d as a time.Duration.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String writes d as time.Duration does.
func (d Duration) String() string { return time.Duration(d).String() }

// ISO writes d in ISO 8601 with hours as the largest unit: PT1H30M, PT0.5S.
func (d Duration) ISO() string {
	if d == 0 {
		return "PT0S"
	}
	out := "PT"
	rest := time.Duration(d)
	if rest < 0 {
		out, rest = "-PT", -rest
	}
	if h := rest / time.Hour; h > 0 {
		out += strconv.FormatInt(int64(h), 10) + "H"
	}
	if m := rest % time.Hour / time.Minute; m > 0 {
		out += strconv.FormatInt(int64(m), 10) + "M"
	}
	if s := rest % time.Minute; s > 0 {
		out += strconv.FormatFloat(s.Seconds(), 'f', -1, 64) + "S"
	}
	return out
}

// MarshalText writes d as ISO does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.ISO()), nil }

// UnmarshalText reads what ParseDuration reads.
func (d *Duration) UnmarshalText(b []byte) (err error) {
	*d, err = ParseDuration(string(b))
	return err
}

const (
	day   = 24 * time.Hour
	week  = 7 * day
	month = 30 * day
	year  = 365 * day
)

// unitNames are the members of a duration object.
var unitNames = []string{"days", "hours", "milliseconds", "minutes", "months", "seconds", "weeks", "years"}

// unitOf returns the length of a unit as the object form spells it, 0 if unknown.
func unitOf(name string) time.Duration {
	switch name {
	case "years":
		return year
	case "months":
		return month
	case "weeks":
		return week
	case "days":
		return day
	case "hours":
		return time.Hour
	case "minutes":
		return time.Minute
	case "seconds":
		return time.Second
	case "milliseconds":
		return time.Millisecond
	}
	return 0
}

// shortUnit returns the unit that a word of the short form stands for.
func shortUnit(word string) time.Duration {
	switch strings.ToLower(word) {
	case "ms", "msec", "msecs", "millisecond":
		return time.Millisecond
	case "s", "sec", "secs", "second":
		return time.Second
	case "m", "min", "mins", "minute":
		return time.Minute
	case "h", "hr", "hrs", "hour":
		return time.Hour
	case "d", "day":
		return day
	case "w", "week":
		return week
	case "mo", "month":
		return month
	case "y", "yr", "yrs", "year":
		return year
	}
	return unitOf(strings.ToLower(word))
}

var (
	shortDuration = regexp.MustCompile(`^((?:\d+)?\.?\d+) *([a-zA-Z]+)$`)
	bareNumber    = regexp.MustCompile(`^(?:\d+)?\.?\d+$`)
	isoDuration   = regexp.MustCompile(`^P(?:(N)Y)?(?:(N)M)?(?:(N)W)?(?:(N)D)?(?:(T)(?:(N)H)?(?:(N)M)?(?:(N)S)?)?$`)
)

const durationForms = "write it as 15m, 2 hours, PT15M or {minutes: 15}"

// ParseDuration reads the two text forms of a Duration. Its error repeats s.
func ParseDuration(s string) (Duration, error) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "P") {
		return parseISO(s)
	}
	m := shortDuration.FindStringSubmatch(s)
	switch {
	case m == nil && bareNumber.MatchString(s):
		return 0, fmt.Errorf("duration %s has no unit, %s", quote(s), durationForms)
	case m == nil && strings.HasPrefix(s, "-"):
		return 0, fmt.Errorf("duration %s is negative", quote(s))
	case m == nil:
		return 0, fmt.Errorf("%s is not a duration, %s", quote(s), durationForms)
	}
	unit := shortUnit(m[2])
	if unit == 0 {
		return 0, unknownUnit(m[2])
	}
	f, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, errTooLong
	}
	return sumDuration([]part{{f, unit}})
}

// parseISO reads P1DT2H, with a fraction in any part.
func parseISO(s string) (Duration, error) {
	bad := fmt.Errorf("%s is not an ISO 8601 duration such as PT15M or P1DT2H", quote(s))
	// The numbers are taken out first, so that the expression stays readable.
	var numbers []string
	shape := isoNumber.ReplaceAllStringFunc(s, func(n string) string {
		numbers = append(numbers, strings.Replace(n, ",", ".", 1))
		return "N"
	})
	m := isoDuration.FindStringSubmatch(shape)
	if m == nil || strings.Contains(s, "N") || len(numbers) == 0 || strings.HasSuffix(shape, "T") {
		return 0, bad
	}
	units := []time.Duration{0, year, month, week, day, 0, time.Hour, time.Minute, time.Second}
	var parts []part
	for i, group := range m {
		if i == 0 || group != "N" {
			continue
		}
		f, err := strconv.ParseFloat(numbers[len(parts)], 64)
		if err != nil {
			return 0, errTooLong
		}
		parts = append(parts, part{f, units[i]})
	}
	return sumDuration(parts)
}

var isoNumber = regexp.MustCompile(`\d+(?:[.,]\d+)?`)

var errTooLong = fmt.Errorf("duration is longer than 290 years")

func unknownUnit(word string) error {
	return fmt.Errorf("unknown unit %s, use one of %s%s", quote(word), strings.Join(unitNames, ", "),
		suggestion(word, unitNames, "; did you mean %q?"))
}

// A part is a number of units.
type part struct {
	n    float64
	unit time.Duration
}

func sumDuration(parts []part) (Duration, error) {
	var sum float64
	for _, p := range parts {
		if p.n == math.Trunc(p.n) {
			sum += p.n * float64(p.unit)
		} else {
			// Rounded here, so that 0.1s is a hundred million nanoseconds.
			sum += math.Round(p.n * float64(p.unit))
		}
	}
	if sum >= math.MaxInt64 {
		return 0, errTooLong
	}
	return Duration(sum), nil
}

// durationOf reads any form of a duration from a node at p. The path of its error
// is that of the duration, its position that of the word that is wrong.
func durationOf(n *node, p path, millis bool) (Duration, *KeyError) {
	hide := hidden(p, n)
	switch n.kind {
	case object:
		return durationObject(n, p)
	case number, text:
		if millis {
			if v, want := asNumber(n); want == "" {
				return durationMillis(v, n, p)
			}
		}
		s, isText := n.value.(string)
		if !isText {
			return 0, errAt(p, n.pos, "expected a duration with a unit, got %s: %s", n.describe(hide), durationForms)
		}
		d, err := ParseDuration(s)
		if err != nil && hide && err != errTooLong {
			return 0, errAt(p, n.pos, "expected a duration, got %s: %s", n.describe(hide), durationForms)
		}
		if err != nil {
			return 0, errAt(p, n.pos, "%w", err)
		}
		return d, nil
	}
	return 0, errAt(p, n.pos, "expected a duration, got %s: %s", n.describe(hide), durationForms)
}

func durationMillis(v any, n *node, p path) (Duration, *KeyError) {
	f, isFloat := v.(float64)
	if !isFloat {
		f = float64(v.(int64))
	}
	if f < 0 {
		return 0, errAt(p, n.pos, "duration is negative")
	}
	d, err := sumDuration([]part{{f, time.Millisecond}})
	if err != nil {
		return 0, errAt(p, n.pos, "%w", err)
	}
	return d, nil
}

func durationObject(n *node, p path) (Duration, *KeyError) {
	var parts []part
	for _, key := range n.keys {
		field := n.fields[key]
		if !slices.Contains(unitNames, key) {
			return 0, errAt(p, field.place(), "%w", unknownUnit(key))
		}
		if !field.present() {
			continue
		}
		f, want := asFloat(field)
		switch {
		case want != "":
			return 0, errAt(p.key(key), field.pos, "expected a number, got %s", field.describe(hidden(p, field)))
		case f < 0:
			return 0, errAt(p.key(key), field.pos, "duration is negative")
		}
		parts = append(parts, part{f, unitOf(key)})
	}
	if len(parts) == 0 {
		return 0, errAt(p, n.place(), "duration has no unit, use at least one of %s", strings.Join(unitNames, ", "))
	}
	d, err := sumDuration(parts)
	if err != nil {
		return 0, errAt(p, n.pos, "%w", err)
	}
	return d, nil
}
