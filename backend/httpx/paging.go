package httpx

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// Page is a window into a list by position.
type Page struct {
	Limit  int // 0: to the end
	Offset int
}

// Page reads the parameters limit and offset. A limit that is absent is def, one above
// most is cut to most; most 0 means no bound.
func (q *QueryReader) Page(def, most int) Page {
	p := Page{Limit: q.Int("limit", def, AtLeast(0)), Offset: q.Int("offset", 0, AtLeast(0))}
	if most > 0 && p.Limit > most {
		p.Limit = most
	}
	return p
}

// EncodeCursor returns the opaque text that stands for v, the JSON of v in base64.
func EncodeCursor(v any) (string, error) {
	var buf bytes.Buffer
	if err := encodeJSON(&buf, v); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(buf.Bytes()), nil
}

// DecodeCursor reads what EncodeCursor wrote, in standard or URL alphabet, with or
// without padding. The fields must be those of the type; anything else is an
// InputError. A cursor comes from outside: its values must be checked like others.
func DecodeCursor(cursor string, into any) error {
	s := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(cursor, "="))
	raw, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		return apierr.Input.New("Malformed cursor, could not be parsed")
	}
	if err := checkDepth(raw, 16); err != nil {
		return apierr.Input.New("Malformed cursor, could not be parsed")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return apierr.Input.New("Malformed cursor, could not be parsed")
	}
	if _, err := dec.Token(); err != io.EOF {
		return apierr.Input.New("Malformed cursor, could not be parsed")
	}
	return nil
}

// AddNextLink adds a Link header that leads to the next page: the request's own URL,
// relative to the mount, without the dropped parameters, and with name=value at the end.
func AddNextLink(w http.ResponseWriter, r *http.Request, name, value string, drop ...string) {
	var b strings.Builder
	b.WriteByte('<')
	b.WriteString(rawPath(r))
	sep := byte('?')
	for _, p := range append(Query(r).params, param{name, value}) {
		if p.name == name && p.value != value || slices.Contains(drop, p.name) {
			continue
		}
		b.WriteByte(sep)
		sep = '&'
		b.WriteString(encodeURIComponent(p.name) + "=" + encodeURIComponent(p.value))
	}
	b.WriteString(`>; rel="next"`)
	w.Header().Add("Link", b.String())
}

// encodeURIComponent escapes everything but letters, digits, and -_.!~*'() .
func encodeURIComponent(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.!~*'()", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', hex[c>>4], hex[c&15]})
	}
	return b.String()
}
