package lint

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
)

// A Format writes a report. File names are given by name, which makes them what the
// reader of the format wants.
type Format func(w io.Writer, r *Report, name func(string) string) error

// FormatOf returns the format of a name, and the names that there are.
func FormatOf(name string) (f Format, names []string) {
	names = []string{"text", "json", "github", "sarif"}
	return map[string]Format{"text": writeText, "json": writeJSON, "github": writeGitHub, "sarif": writeSARIF}[name], names
}

// writeText writes a line per finding in the form of compilers, and a summary.
func writeText(w io.Writer, r *Report, name func(string) string) error {
	var out strings.Builder
	for _, f := range r.Findings {
		lines := strings.Split(f.Message, "\n")
		fmt.Fprintf(&out, "%s:%d:%d: %s: %s [%s]\n", name(f.File), f.Line, f.Column, f.Level, lines[0], f.Rule)
		for _, line := range lines[1:] {
			fmt.Fprintf(&out, "    %s\n", line)
		}
		if f.Hint != "" {
			fmt.Fprintf(&out, "    %s\n", f.Hint)
		}
	}
	for _, u := range r.NotRead {
		fmt.Fprintf(&out, "not read: %s\n", u)
	}
	fmt.Fprintln(&out, r.summary())
	_, err := io.WriteString(w, out.String())
	return err
}

func (r *Report) summary() string {
	s := fmt.Sprintf("%s, %s: ", count(r.Files, "file", "files"), count(r.Entities, "entity", "entities"))
	errors, warnings := r.Count(LevelError), r.Count(LevelWarning)
	switch {
	case errors+warnings == 0:
		s += "no problems"
	case warnings == 0:
		s += count(errors, "error", "errors")
	case errors == 0:
		s += count(warnings, "warning", "warnings")
	default:
		s += count(errors, "error", "errors") + ", " + count(warnings, "warning", "warnings")
	}
	if n := len(r.NotRead); n > 0 {
		s += fmt.Sprintf("; %s of other hosts not read", count(n, "address", "addresses"))
	}
	return s
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// writeJSON writes one object.
func writeJSON(w io.Writer, r *Report, name func(string) string) error {
	findings := slices.Clone(r.Findings)
	for i := range findings {
		findings[i].File = name(findings[i].File)
	}
	return encode(w, struct {
		Files    int       `json:"files"`
		Entities int       `json:"entities"`
		Errors   int       `json:"errors"`
		Warnings int       `json:"warnings"`
		Findings []Finding `json:"findings"`
		NotRead  []string  `json:"notRead"`
	}{r.Files, r.Entities, r.Count(LevelError), r.Count(LevelWarning), orEmpty(findings), orEmpty(r.NotRead)})
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// writeGitHub writes workflow commands, which GitHub shows beside the lines.
func writeGitHub(w io.Writer, r *Report, name func(string) string) error {
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace
	var out strings.Builder
	for _, f := range r.Findings {
		text := f.Message
		if f.Hint != "" {
			text += "\n" + f.Hint
		}
		fmt.Fprintf(&out, "::%s file=%s,line=%d,col=%d,title=%s::%s\n", f.Level, property(name(f.File)), f.Line, f.Column, property("catalog: "+string(f.Rule)), data(text))
	}
	fmt.Fprintln(&out, r.summary())
	_, err := io.WriteString(w, out.String())
	return err
}

// SARIF 2.1.0, as far as it is used here.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool       sarifTool     `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifTool   struct{ Driver sarifDriver }
	sarifDriver struct {
		Name           string      `json:"name"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               Rule      `json:"id"`
		ShortDescription sarifText `json:"shortDescription"`
	}
	sarifText   struct{ Text string }
	sarifResult struct {
		RuleID    Rule            `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     Level           `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifLocation struct {
		PhysicalLocation sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		ArtifactLocation sarifArtifact `json:"artifactLocation"`
		Region           sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI       string `json:"uri"`
		URIBaseID string `json:"uriBaseId"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn"`
	}
)

func (t sarifTool) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]sarifDriver{"driver": t.Driver})
}

func (t sarifText) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"text": t.Text})
}

// writeSARIF writes a log for code scanning services.
func writeSARIF(w io.Writer, r *Report, name func(string) string) error {
	run := sarifRun{
		Tool:       sarifTool{sarifDriver{Name: "callboard validate", InformationURI: "https://github.com/callboard-dev/callboard/blob/main/docs/validate.md"}},
		ColumnKind: "unicodeCodePoints", Results: []sarifResult{},
	}
	index := map[Rule]int{}
	for i, rule := range Rules() {
		index[rule.ID] = i
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{rule.ID, sarifText{rule.Text}})
	}
	for _, f := range r.Findings {
		text := f.Message
		if f.Hint != "" {
			text += "\n" + f.Hint
		}
		at := sarifArtifact{(&url.URL{Path: name(f.File)}).EscapedPath(), "%SRCROOT%"}
		run.Results = append(run.Results, sarifResult{f.Rule, index[f.Rule], f.Level, sarifText{text},
			[]sarifLocation{{sarifPhysical{at, sarifRegion{f.Line, f.Column}}}}})
	}
	return encode(w, sarifLog{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0", []sarifRun{run}})
}
