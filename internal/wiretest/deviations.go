package wiretest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"go.yaml.in/yaml/v3"
)

// A Deviation is an exchange that we answer differently from the recording because a clause of the contract says so.
type Deviation struct {
	Group    string `yaml:"group"`
	Exchange string `yaml:"exchange"`
	// Clause is the file and section, and the mark that makes it Callboard's own: CB, [H], [I], a D number.
	Clause string `yaml:"clause"`
	// Why is one sentence for the user who meets the difference.
	Why    string         `yaml:"why"`
	Expect ExpectedAnswer `yaml:"expect"`
}

// ExpectedAnswer is how our answer differs from the recorded one. All else of the answer must be as recorded.
type ExpectedAnswer struct {
	// Status replaces the recorded status unless it is 0.
	Status int `yaml:"status"`
	// Header replaces headers by lower-case name; null removes one.
	Header map[string]*string `yaml:"header"`
	// Cookies replaces the lines of set-cookie, each with … for the value and § for times.
	Cookies []string `yaml:"cookies"`
	// Body is a JSON merge patch (RFC 7386) of the recorded body: null removes a member, arrays are replaced whole.
	Body any `yaml:"body"`
	// Ignore adds to the JSON paths that are not compared.
	Ignore []string `yaml:"ignore"`
}

// LoadDeviations reads a list of deviations. A missing file is an empty list. It rejects unknown keys, and entries
// without group, exchange, clause, why or any difference.
func LoadDeviations(file string) ([]Deviation, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	var list []Deviation
	if err := dec.Decode(&list); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	seen := map[string]bool{}
	for i, d := range list {
		id := d.Group + " / " + d.Exchange
		switch e := d.Expect; {
		case d.Group == "" || d.Exchange == "" || d.Clause == "" || d.Why == "":
			return nil, fmt.Errorf("%s: entry %d (%s) needs group, exchange, clause and why", file, i+1, id)
		case e.Status == 0 && e.Header == nil && e.Cookies == nil && e.Body == nil && e.Ignore == nil:
			return nil, fmt.Errorf("%s: %s expects no difference: say what differs under expect", file, id)
		case seen[id]:
			return nil, fmt.Errorf("%s: %s stands there twice", file, id)
		}
		seen[id] = true
	}
	return list, nil
}

// apply returns the exchange with the answer that the deviation orders.
func (d Deviation) apply(x *Exchange) (*Exchange, error) {
	out := *x
	out.Answer = x.Answer.clone()
	out.Ignore = append(append([]string(nil), x.Ignore...), d.Expect.Ignore...)
	if d.Expect.Status != 0 {
		out.Answer.Status = d.Expect.Status
	}
	for k, v := range d.Expect.Header {
		if v == nil {
			delete(out.Answer.Header, k)
		} else {
			out.Answer.Header[k] = []string{*v}
		}
	}
	if d.Expect.Cookies != nil {
		out.Answer.Header["set-cookie"] = slices.Sorted(slices.Values(d.Expect.Cookies))
	}
	if d.Expect.Body != nil {
		// Through JSON, so that numbers are the same Go type as in answers.
		data, err := json.Marshal(d.Expect.Body)
		if err != nil {
			return nil, fmt.Errorf("deviation %s / %s: body: %w", d.Group, d.Exchange, err)
		}
		var patch any
		if err := json.Unmarshal(data, &patch); err != nil {
			return nil, err
		}
		out.Answer.Body = mergePatch(x.Answer.Body, patch)
	}
	return &out, nil
}

// mergePatch applies a JSON merge patch without changing doc.
func mergePatch(doc, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	out := map[string]any{}
	if d, ok := doc.(map[string]any); ok {
		for k, v := range d {
			out[k] = v
		}
	}
	for k, v := range p {
		if v == nil {
			delete(out, k)
		} else {
			out[k] = mergePatch(out[k], v)
		}
	}
	return out
}
