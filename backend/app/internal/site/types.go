package site

import (
	"path"
	"strings"
)

// info is what the name of a file says.
type info struct {
	contentType  []string
	compressible bool
	html         bool
}

// types are written as stock clients have recorded them, and do not depend on what the
// machine has in /etc/mime.types.
var types = map[string]string{
	".avif": "image/avif", ".css": "text/css; charset=UTF-8", ".eot": "application/vnd.ms-fontobject", ".gif": "image/gif",
	".htm": htmlType, ".html": htmlType, ".ico": "image/x-icon", ".jpeg": "image/jpeg", ".jpg": "image/jpeg",
	".js": scriptType, ".json": jsonType, ".map": jsonType, ".md": "text/markdown; charset=UTF-8", ".mjs": scriptType,
	".mp4": "video/mp4", ".otf": "font/otf", ".pdf": "application/pdf", ".png": "image/png", ".svg": "image/svg+xml",
	".ttf": "font/ttf", ".txt": "text/plain; charset=UTF-8", ".wasm": "application/wasm", ".webm": "video/webm",
	".webmanifest": "application/manifest+json", ".webp": "image/webp", ".woff": "font/woff", ".woff2": "font/woff2",
	".xml": "application/xml", ".yaml": "text/yaml; charset=UTF-8", ".yml": "text/yaml; charset=UTF-8",
}

const (
	htmlType   = "text/html; charset=utf-8"
	scriptType = "application/javascript; charset=UTF-8"
	jsonType   = "application/json; charset=UTF-8"
)

// compressible are the types that get smaller by compression; all of them are types that
// the host would compress.
var compressible = map[string]bool{
	".css": true, ".eot": true, ".htm": true, ".html": true, ".ico": true, ".js": true, ".json": true, ".map": true, ".md": true,
	".mjs": true, ".otf": true, ".svg": true, ".ttf": true, ".txt": true, ".wasm": true, ".webmanifest": true, ".xml": true,
	".yaml": true, ".yml": true,
}

func newInfo(name string) info {
	ext := strings.ToLower(path.Ext(name))
	t, ok := types[ext]
	if !ok {
		t = "application/octet-stream"
	}
	return info{contentType: []string{t}, compressible: compressible[ext], html: t == htmlType}
}

// A client's taste in encodings, by encoding; 0 for one that it does not take.
type taste [len(encodings)]int

// tasteOf reads Accept-Encoding. An encoding that the client likes less than no encoding
// at all does not count.
func tasteOf(lines []string) taste {
	var t taste
	other, identity := 0, 0
	var named [len(encodings)]bool
	for _, line := range lines {
		for el := range strings.SplitSeq(line, ",") {
			name, params, _ := strings.Cut(el, ";")
			name = strings.TrimSpace(name)
			q := quality(params)
			switch {
			case strings.EqualFold(name, "br"):
				t[brotliEncoding], named[brotliEncoding] = q, true
			case strings.EqualFold(name, "gzip"):
				t[gzipEncoding], named[gzipEncoding] = q, true
			case name == "*":
				other = q
			case strings.EqualFold(name, "identity"):
				identity = q
			}
		}
	}
	for e := range t {
		if !named[e] {
			t[e] = other
		}
		if t[e] < identity {
			t[e] = 0
		}
	}
	return t
}

// quality reads ";q=0.5" in thousandths; what is no quality counts as 0, none as 1000.
func quality(params string) int {
	params = strings.TrimSpace(params)
	if params == "" {
		return 1000
	}
	v, ok := strings.CutPrefix(strings.ToLower(strings.ReplaceAll(params, " ", "")), "q=")
	if !ok || v == "" || v[0] != '0' && v[0] != '1' || len(v) > 5 || len(v) > 1 && v[1] != '.' {
		return 0
	}
	n := int(v[0]-'0') * 1000
	for i, unit := 2, 100; i < len(v); i, unit = i+1, unit/10 {
		if v[i] < '0' || v[i] > '9' {
			return 0
		}
		n += int(v[i]-'0') * unit
	}
	return min(n, 1000)
}
