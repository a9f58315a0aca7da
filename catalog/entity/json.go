package entity

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Decode reads one JSON object. Numbers become float64 as in JavaScript, of
// repeated keys the last one wins, and invalid UTF-8 becomes U+FFFD. Anything but
// one object is an error.
func Decode(data []byte) (Entity, error) {
	var e Entity
	if err := json.Unmarshal(data, (*map[string]any)(&e)); err != nil {
		return nil, fmt.Errorf("decode entity: %w", err)
	}
	if e == nil {
		return nil, fmt.Errorf("decode entity: expected an object, found null")
	}
	return e, nil
}

// MarshalJSON writes the entity as [Entity.MarshalStable] does. It never fails for
// canonical values.
func (e Entity) MarshalJSON() ([]byte, error) {
	if e == nil {
		return []byte("null"), nil
	}
	return AppendJSON(nil, map[string]any(e))
}

// MarshalStable writes the entity as JSON with sorted keys: equal entities have equal
// bytes. Numbers look as JavaScript prints them, NaN and infinities are null, <, >
// and & are not escaped, and invalid UTF-8 becomes U+FFFD.
func (e Entity) MarshalStable() ([]byte, error) { return AppendJSON(nil, map[string]any(e)) }

// Hash is the SHA-1 of the stable JSON as 40 hexadecimal digits (contract catalog.md,
// 2.7.6). It tells versions of one entity apart and is no protection against
// someone who wants two contents to have the same hash.
func (e Entity) Hash() (string, error) {
	data, err := e.MarshalStable()
	if err != nil {
		return "", err
	}
	return hash(data), nil
}

func hash(data []byte) string {
	sum := sha1.Sum(data)
	return hex.EncodeToString(sum[:])
}

// AppendJSON appends v to dst in the form MarshalStable describes. Values that are
// not canonical go through encoding/json first; only they can make an error.
func AppendJSON(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case string:
		return appendString(dst, v), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case float64:
		return appendNumber(dst, v), nil
	case map[string]any:
		return appendObject(dst, v)
	case Entity:
		return appendObject(dst, v)
	case []any:
		if v == nil {
			return append(dst, "[]"...), nil
		}
		dst = append(dst, '[')
		for i, item := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = AppendJSON(dst, item); err != nil {
				return dst, err
			}
		}
		return append(dst, ']'), nil
	}
	canonical, err := normalize(v)
	if err != nil {
		return dst, err
	}
	return AppendJSON(dst, canonical)
}

func appendObject(dst []byte, m map[string]any) ([]byte, error) {
	// Most objects of an entity have few keys; the array keeps them off the heap.
	var small [16]string
	dst = append(dst, '{')
	for i, key := range appendKeys(small[:0], m) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, key), ':')
		var err error
		if dst, err = AppendJSON(dst, m[key]); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

// appendKeys appends the keys of m to dst, which is empty, in order.
func appendKeys(dst []string, m map[string]any) []string {
	for key := range m {
		dst = append(dst, key)
	}
	slices.Sort(dst)
	return dst
}

const hexDigits = "0123456789abcdef"

// appendString quotes s with the escapes of JavaScript's JSON.stringify.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, s[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}

// appendNumber writes f as JSON.stringify does: 1e21 is the first number with an
// exponent, and -0 is 0.
func appendNumber(dst []byte, f float64) []byte {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return append(dst, "null"...)
	case f == 0:
		return append(dst, '0')
	}
	if abs := math.Abs(f); abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	// Go pads the exponent to two digits, JavaScript does not: 1e-07 is 1e-7.
	if n := len(dst); n-start >= 4 && dst[n-4] == 'e' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

// Normalize returns e with canonical values only, as a deep copy: what Go programs
// build from []string, map[string]string, integers, structs and the like becomes
// what decoding its JSON would give. A value that JSON cannot say is an error.
func Normalize(e Entity) (Entity, error) {
	if e == nil {
		return nil, nil
	}
	v, err := normalize(map[string]any(e))
	if err != nil {
		return nil, err
	}
	return Entity(v.(map[string]any)), nil
}

func normalize(v any) (any, error) {
	switch v := v.(type) {
	case nil, string, bool, float64:
		return v, nil
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			n, err := normalize(item)
			if err != nil {
				return nil, err
			}
			out[i] = n
		}
		return out, nil
	case []string:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = item
		}
		return out, nil
	case map[string]string:
		out := make(map[string]any, len(v))
		for key, item := range v {
			out[key] = item
		}
		return out, nil
	}
	if m := object(v); m != nil {
		out := make(map[string]any, len(m))
		for key, item := range m {
			n, err := normalize(item)
			if err != nil {
				return nil, err
			}
			out[key] = n
		}
		return out, nil
	}
	if f, ok := number(v); ok {
		return f, nil
	}
	return throughJSON(v)
}

func throughJSON(v any) (any, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("value of type %T in an entity: %w", v, err)
	}
	var out any
	if err := json.Unmarshal(buf.Bytes(), &out); err != nil {
		return nil, fmt.Errorf("value of type %T in an entity: %w", v, err)
	}
	return out, nil
}

// number reads any Go number as the float64 JavaScript would have.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	}
	switch r := reflect.ValueOf(v); {
	case !r.IsValid() || implementsMarshaler(v):
		return 0, false
	case r.CanInt():
		return float64(r.Int()), true
	case r.CanUint():
		return float64(r.Uint()), true
	case r.CanFloat():
		return r.Float(), true
	}
	return 0, false
}

func implementsMarshaler(v any) bool {
	switch v.(type) {
	case json.Marshaler, interface{ MarshalText() ([]byte, error) }:
		return true
	}
	return false
}
