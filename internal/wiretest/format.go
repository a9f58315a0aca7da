package wiretest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Format writes a group in the form that Parse reads, for people to review: one line per header, small bodies on
// one line. A header value that many answers share is written once, as a let line.
func Format(g *Group) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Recorded exchanges of %s. Written by internal/wiretest/gen; see internal/wiretest for the form.\n", g.Name)
	const csp = "content-security-policy"
	shared := ""
	for _, x := range g.Exchanges {
		if v := x.Answer.Header[csp]; len(v) == 1 {
			shared = v[0]
			break
		}
	}
	if shared != "" {
		fmt.Fprintf(&b, "let csp = %s\n", shared)
	}
	for _, x := range g.Exchanges {
		b.WriteString("\n== " + x.Name + "\n")
		formatPreparation(&b, x)
		fmt.Fprintf(&b, "> %s %s\n", x.Request.Method, x.Request.Path)
		for _, f := range x.Request.Header {
			fmt.Fprintf(&b, "> %s: %s\n", f.Name, f.Value)
		}
		if x.Request.Body != "" {
			b.WriteString(">> " + strings.ReplaceAll(x.Request.Body, "\n", "\n>> ") + "\n")
		}
		fmt.Fprintf(&b, "< %d\n", x.Answer.Status)
		for _, name := range slices.Sorted(maps.Keys(x.Answer.Header)) {
			for _, value := range x.Answer.Header[name] {
				if name == csp && value == shared {
					value = "{{csp}}"
				}
				fmt.Fprintf(&b, "< %s: %s\n", name, value)
			}
		}
		if x.Answer.Body != "" {
			b.WriteString(jsonText(x.Answer.Body) + "\n")
		}
		formatAfter(&b, x)
	}
	return b.String()
}

func formatPreparation(b *strings.Builder, x *Exchange) {
	if x.Note != "" {
		b.WriteString("# " + x.Note + "\n")
	}
	for _, s := range x.Steps {
		words := []string{s.Verb}
		for _, w := range []string{s.Name, s.Where, s.Path} {
			if w != "" {
				words = append(words, w)
			}
		}
		b.WriteString(strings.Join(words, " ") + "\n")
	}
	if x.Timeout != 0 {
		fmt.Fprintf(b, "timeout %s\n", x.Timeout)
	}
	for _, p := range x.Ignore {
		b.WriteString("ignore " + p + "\n")
	}
	for _, p := range x.Unordered {
		b.WriteString("unordered " + p + "\n")
	}
}

func formatAfter(b *strings.Builder, x *Exchange) {
	if x.Answer.JWT != nil {
		b.WriteString("jwt " + compactJSON(x.Answer.JWT) + "\n")
	}
	if x.Answer.Message != nil {
		b.WriteString("message " + compactJSON(x.Answer.Message) + "\n")
	}
	for _, c := range x.Captures {
		b.WriteString(strings.TrimSpace("capture "+c.Name+" "+c.From+" "+c.Pattern) + "\n")
	}
}

// jsonText writes v on one line if it is short, else indented by one space per level.
func jsonText(v any) string {
	line := compactJSON(v)
	if len(line) <= 160 {
		return line
	}
	var b bytes.Buffer
	// compactJSON wrote valid JSON.
	_ = json.Indent(&b, []byte(line), "", " ")
	return b.String()
}

// compactJSON writes v with sorted keys and without HTML escapes.
func compactJSON(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err.Error()
	}
	return strings.TrimSuffix(b.String(), "\n")
}
