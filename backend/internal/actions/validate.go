package actions

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// invalid is the name that upstream's validator gives to what it finds, and clients
// look for its issues.
var invalid = apierr.NewKind("ZodError", 400)

// A Checker checks JSON against a schema.
type Checker struct {
	schema *jsonschema.Schema
	doc    any // the schema itself
}

// NewChecker compiles a schema. It refers to nothing outside of itself.
func NewChecker(schema json.RawMessage) (*Checker, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	c.UseLoader(noLoader{})
	c.AssertFormat()
	const url = "action:schema"
	if err := c.AddResource(url, doc); err != nil {
		return nil, err
	}
	s, err := c.Compile(url)
	if err != nil {
		return nil, err
	}
	return &Checker{s, doc}, nil
}

type noLoader struct{}

// Load implements jsonschema.URLLoader.
func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s: schemas of actions refer to nothing outside of them", url)
}

// An issue is one thing that is wrong, in the form that clients know.
type issue struct {
	Code     string `json:"code"`
	Expected string `json:"expected,omitempty"`
	Received any    `json:"received,omitempty"`
	Options  []any  `json:"options,omitempty"`
	Path     []any  `json:"path"`
	Message  string `json:"message"`
}

// Check returns an error of kind ZodError with the member issues, or nil. Properties
// that the schema does not have are not wrong: upstream leaves them out. A text of nil
// stands for a value that was not given.
func (c *Checker) Check(text json.RawMessage) error {
	if text == nil {
		return c.report([]issue{{Code: "invalid_type", Expected: c.typeAt(nil), Received: "undefined", Path: []any{}, Message: "Required"}})
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return apierr.Input.New("not JSON: %v", err)
	}
	err = c.schema.Validate(v)
	var ve *jsonschema.ValidationError
	if !errors.As(err, &ve) {
		return err
	}
	found := c.issues(ve, v)
	if len(found) == 0 {
		return nil
	}
	slices.SortStableFunc(found, func(a, b issue) int { return strings.Compare(fmt.Sprint(a.Path...), fmt.Sprint(b.Path...)) })
	return c.report(found)
}

func (c *Checker) report(found []issue) error {
	var texts []string
	for _, i := range found {
		at := ""
		for _, p := range i.Path {
			at += "/" + fmt.Sprint(p)
		}
		texts = append(texts, strings.TrimPrefix(at+": "+i.Message, ": "))
	}
	return invalid.New("%s", strings.Join(texts, "; ")).With("issues", found)
}

// issues is the leaves of ve. Below anyOf and oneOf it is not told which branch was
// meant, so that they are one issue.
func (c *Checker) issues(ve *jsonschema.ValidationError, v any) (out []issue) {
	printer := message.NewPrinter(language.English)
	at := place(ve.InstanceLocation, v)
	one := func(i issue) {
		i.Path = at
		if i.Message == "" {
			i.Message = ve.ErrorKind.LocalizedString(printer)
		}
		out = append(out, i)
	}
	switch k := ve.ErrorKind.(type) {
	case *kind.AdditionalProperties:
	case *kind.Type:
		one(issue{Code: "invalid_type", Expected: k.Want[0], Received: k.Got,
			Message: fmt.Sprintf("Expected %s, received %s", strings.Join(k.Want, " | "), k.Got)})
	case *kind.Required:
		for _, name := range k.Missing {
			out = append(out, issue{Code: "invalid_type", Expected: c.typeAt(append(slices.Clone(ve.InstanceLocation), name)), Received: "undefined",
				Path: append(slices.Clone(at), name), Message: "Required"})
		}
	case *kind.Enum:
		one(issue{Code: "invalid_enum_value", Received: k.Got, Options: k.Want})
	case *kind.MinLength, *kind.MinItems, *kind.Minimum, *kind.ExclusiveMinimum:
		one(issue{Code: "too_small"})
	case *kind.MaxLength, *kind.MaxItems, *kind.Maximum, *kind.ExclusiveMaximum:
		one(issue{Code: "too_big"})
	case *kind.Pattern, *kind.Format:
		one(issue{Code: "invalid_string"})
	case *kind.AnyOf, *kind.OneOf:
		one(issue{Code: "invalid_union"})
	case *kind.Schema, *kind.Group, *kind.AllOf, *kind.Reference:
		for _, cause := range ve.Causes {
			out = append(out, c.issues(cause, v)...)
		}
	default:
		one(issue{Code: "custom"})
	}
	return out
}

// place is a path with the positions in arrays as numbers.
func place(path []string, v any) []any {
	out := []any{}
	for _, name := range path {
		if list, ok := v.([]any); ok {
			i, _ := strconv.Atoi(name)
			out = append(out, i)
			v = nil
			if i < len(list) {
				v = list[i]
			}
			continue
		}
		out = append(out, name)
		if m, ok := v.(map[string]any); ok {
			v = m[name]
		}
	}
	return out
}

// typeAt is the type that the schema demands at a place; "unknown" if it is not plain.
func (c *Checker) typeAt(path []string) string {
	at := c.doc
	for _, name := range path {
		m, _ := at.(map[string]any)
		properties, _ := m["properties"].(map[string]any)
		if next, ok := properties[name]; ok {
			at = next
		} else if m["items"] != nil {
			at = m["items"]
		} else {
			at = m["additionalProperties"]
		}
	}
	m, _ := at.(map[string]any)
	if t, ok := m["type"].(string); ok {
		return t
	}
	return "unknown"
}
