package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// The conversions of contract/backend.md section 3.5. Each returns what it expected
// if it cannot convert; the caller adds what it found.

// asString takes text only; a number is not turned into one.
func asString(n *node, allowEmpty bool) (string, string) {
	s, ok := n.value.(string)
	switch {
	case !ok:
		return "", "a string"
	case s == "" && !allowEmpty:
		return "", "a string that is not empty"
	}
	return s, ""
}

// asNumber takes a number or text that is one.
func asNumber(n *node) (any, string) {
	switch v := n.value.(type) {
	case int64, float64:
		return v, ""
	case string:
		if f, ok := parseNumber(strings.TrimSpace(v)); ok {
			return f, ""
		}
	}
	return nil, "a number"
}

// asInt takes a whole number of the given size in bits.
func asInt(n *node, bits int) (int64, string) {
	v, want := asNumber(n)
	if want != "" {
		return 0, want
	}
	i, ok := v.(int64)
	if !ok {
		f := v.(float64)
		// 2^63 itself does not fit, and is where the conversion would wrap.
		if f != math.Trunc(f) || f < -1<<63 || f >= 1<<63 {
			return 0, "a whole number"
		}
		i = int64(f)
	}
	if low, high := int64(-1)<<(bits-1), int64(1)<<(bits-1)-1; i < low || i > high {
		return 0, fmt.Sprintf("a whole number from %d to %d", low, high)
	}
	return i, ""
}

// asUint takes a whole number that is not negative.
func asUint(n *node, bits int) (uint64, string) {
	i, want := asInt(n, 64)
	if want != "" {
		return 0, want
	}
	high := uint64(math.MaxUint64) >> (64 - bits)
	switch {
	case i < 0:
		return 0, "a whole number that is not negative"
	case uint64(i) > high:
		return 0, "a whole number up to " + strconv.FormatUint(high, 10)
	}
	return uint64(i), ""
}

func asFloat(n *node) (float64, string) {
	v, want := asNumber(n)
	if i, ok := v.(int64); ok {
		return float64(i), want
	}
	f, _ := v.(float64)
	return f, want
}

// asBool takes a boolean, or text or a number that stands for one.
func asBool(n *node) (bool, string) {
	switch v := n.value.(type) {
	case bool:
		return v, ""
	case string, int64, float64:
		switch strings.ToLower(scalarText(v)) {
		case "y", "yes", "true", "1", "on":
			return true, ""
		case "n", "no", "false", "0", "off":
			return false, ""
		}
	}
	return false, "a boolean (true or false)"
}
