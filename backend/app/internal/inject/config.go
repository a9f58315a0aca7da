package inject

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"github.com/callboard-dev/callboard/backend/config"
)

// Page puts the configuration into a page: a script element before the end of the head.
func Page(page []byte, sources []config.VisibleSource) ([]byte, error) {
	head := bytes.Index(page, []byte("</head>"))
	if head < 0 {
		return nil, errors.New("there is no </head> to put the configuration in front of")
	}
	text, err := json.MarshalIndent(sources, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("configuration of the frontend: %w", err)
	}
	out := make([]byte, 0, len(page)+len(text)+64)
	out = append(out, page[:head]...)
	out = append(out, "<script type=\"backstage.io/config\">\n"...)
	// encoding/json writes < as \u003c, so that no value ends the element: upstream cuts
	// such values, here they arrive whole.
	out = append(out, text...)
	out = append(out, "\n</script>\n"...)
	return append(out, page[head:]...), nil
}

var (
	// marker is where bundles without a template have the configuration.
	marker = []byte(`"__APP_INJECTED_RUNTIME_CONFIG__"`)
	// injected is what an earlier backend has made of the marker on disk.
	injected = regexp.MustCompile(`(?s)/\*__APP_INJECTED_CONFIG_MARKER__\*/.*?/\*__INJECTED_END__\*/`)
)

// Marked reports whether a script has the place for the configuration.
func Marked(script []byte) bool { return bytes.Contains(script, marker) || injected.Match(script) }

// Script puts the configuration into a script that is Marked.
func Script(script []byte, sources []config.VisibleSource) ([]byte, error) {
	text, err := json.Marshal(sources)
	if err != nil {
		return nil, fmt.Errorf("configuration of the frontend: %w", err)
	}
	var b bytes.Buffer
	b.WriteString(`/*__APP_INJECTED_CONFIG_MARKER__*/"`)
	for _, c := range text {
		if c == '"' || c == '\'' || c == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	b.WriteString(`"/*__INJECTED_END__*/`)
	if bytes.Contains(script, marker) {
		return bytes.ReplaceAll(script, marker, b.Bytes()), nil
	}
	return injected.ReplaceAllLiteral(script, b.Bytes()), nil
}
