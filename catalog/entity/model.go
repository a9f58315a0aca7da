package entity

import (
	"maps"
	"slices"
	"strings"
)

// A Model is what the catalog knows about entities: the envelope, the formats of its
// fields, and the builtin kinds. Its checks are the stages of processing, each to be
// called on its own by the engine; Validate runs all of them for tools. NewModel
// makes one; a Model does not change and is safe for concurrent use.
//
// Checks report everything they find, as ValidationErrors.
type Model struct {
	formats Formats
	kinds   []kindRule
}

// ModelOptions vary a model.
type ModelOptions struct {
	Formats Formats // fields left zero keep their defaults
	// AIKinds adds the kind AiResource and the API type mcp-server.
	AIKinds bool
	// Kinds says which of the builtin kinds the model knows; nil: all of them.
	Kinds func(kind string) bool
}

// NewModel returns the model of the contract, varied by options.
func NewModel(options ModelOptions) *Model {
	m := &Model{formats: options.Formats.withDefaults(), kinds: builtinKinds()}
	if options.AIKinds {
		m.kinds = aiKinds()
	}
	if options.Kinds != nil {
		m.kinds = slices.DeleteFunc(m.kinds, func(k kindRule) bool { return !options.Kinds(k.kind) })
	}
	return m
}

// Kinds lists the kinds the model knows.
func (m *Model) Kinds() []string {
	out := make([]string, len(m.kinds))
	for i, k := range m.kinds {
		out[i] = k.kind
	}
	return out
}

// sourceFields are the root members a descriptor may have (contract catalog.md, 2.1).
var sourceFields = []string{"apiVersion", "kind", "metadata", "spec"}

var link = objectOf(
	required("url", &shape{types: stringType, form: &form{valid: validURL, expect: "an absolute URL", format: "uri"}}),
	optional("title", nonBlank), optional("icon", nonBlank), optional("type", nonEmpty))

var envelope = objectOf(
	required("apiVersion", nonEmpty),
	required("kind", nonEmpty),
	required("metadata", objectOf(
		required("name", nonEmpty),
		optional("namespace", nonEmpty),
		optional("uid", nonEmpty),
		optional("etag", nonEmpty),
		optional("title", nonEmpty),
		optional("description", anyString),
		optional("labels", &shape{types: objectType, rest: anyString}),
		optional("annotations", &shape{types: objectType, rest: anyString}),
		optional("tags", arrayOf(nonEmpty)),
		optional("links", arrayOf(link)))),
	optional("spec", anyObject))

// identity is the part of the envelope that has to hold before placeholders are
// resolved: all else may still be one.
var identity = objectOf(
	required("apiVersion", nonEmpty),
	required("kind", nonEmpty),
	required("metadata", objectOf(
		required("name", nonEmpty),
		optional("namespace", nonEmpty),
		optional("uid", nonEmpty),
		optional("etag", nonEmpty))),
	optional("spec", anyObject))

// Validate runs every check there is, for tools that report on descriptors. A kind
// that is not builtin is an error, with a suggestion where one is near. Placeholders
// have to be resolved before: an API whose definition is still {$text: ...} is wrong.
func (m *Model) Validate(e Entity) error {
	var errs ValidationErrors
	collect := func(err error) {
		if list, ok := err.(ValidationErrors); ok {
			errs = append(errs, list...)
		}
	}
	collect(m.CheckEnvelope(e))
	collect(m.CheckRootFields(e))
	collect(m.CheckFormats(e))
	known, err := m.CheckKind(e)
	collect(err)
	switch {
	case known && err == nil:
		_, err = m.RelationsOf(e)
		collect(err)
	case !known && ValidKind(e.Kind()) && e.APIVersion() != "":
		collect(m.UnknownKind(e))
	}
	collect(CheckKeys(e))
	return errs.orNil()
}

// CheckIdentity checks what names an entity: the engine asks it of everything that
// enters, when placeholders such as {$json: ./links.json} still stand for values.
func (m *Model) CheckIdentity(e Entity) error {
	var c checker
	c.check(identity, map[string]any(e))
	return c.err()
}

// CheckEnvelope checks the shape every entity has (contract catalog.md, 2.1), once its
// placeholders are resolved.
func (m *Model) CheckEnvelope(e Entity) error {
	var c checker
	c.check(envelope, map[string]any(e))
	return c.err()
}

// CheckRootFields refuses root members that descriptors cannot have.
func (m *Model) CheckRootFields(e Entity) error {
	var c checker
	for _, key := range sortedKeys(e) {
		if slices.Contains(sourceFields, key) {
			continue
		}
		hint := "put it below metadata or spec"
		for _, known := range sourceFields {
			if _, taken := e[known]; !taken && similar(key, known) {
				hint = "did you mean " + known + "?"
			}
		}
		if key == "relations" || key == "status" {
			hint = "the catalog makes this member itself; remove it"
		}
		c.down(key)
		c.add(ValidationError{Path: c.pointer(), Expected: "only " + strings.Join(sourceFields, ", ") + " at the root", Found: describe(key), Hint: hint})
		c.up()
	}
	return c.err()
}

// CheckFormats checks the formats of envelope fields (contract catalog.md, 2.2).
// Values of a wrong type and empty ones are for CheckEnvelope to report.
func (m *Model) CheckFormats(e Entity) error {
	var c checker
	meta := e.Metadata()
	c.format(m.formats.APIVersion, "apiVersion", e["apiVersion"])
	c.format(m.formats.Kind, "kind", e["kind"])
	c.down("metadata")
	c.format(m.formats.Name, "name", meta["name"])
	c.format(m.formats.Namespace, "namespace", meta["namespace"])
	c.formatMap(m.formats.LabelKey, m.formats.LabelValue, "labels", meta["labels"])
	c.formatMap(m.formats.AnnotationKey, m.formats.AnnotationValue, "annotations", meta["annotations"])
	if tags, ok := meta["tags"].([]any); ok {
		c.down("tags")
		for i, tag := range tags {
			if s, ok := tag.(string); ok && s != "" && !m.formats.Tag.Valid(s) {
				c.downIndex(i)
				c.wrong(m.formats.Tag.Expect, s)
				c.up()
			}
		}
		c.up()
	}
	return c.err()
}

func (c *checker) format(f Format, key string, v any) {
	if s, ok := v.(string); ok && s != "" && !f.Valid(s) {
		c.down(key)
		c.wrong(f.Expect, s)
		c.up()
	}
}

func (c *checker) formatMap(keys, values Format, name string, v any) {
	m := object(v)
	if len(m) == 0 {
		return
	}
	c.down(name)
	for _, key := range sortedKeys(m) {
		c.down(key)
		if !keys.Valid(key) {
			c.wrong("a key of "+keys.Expect, key)
		}
		if s, ok := m[key].(string); ok && !values.Valid(s) {
			c.wrong(values.Expect, s)
		}
		c.up()
	}
	c.up()
}

// CheckKind checks spec by the rules of e's kind (contract catalog.md, 2.4). A kind
// or apiVersion that is not builtin is not known and not checked: it may belong to
// somebody else.
func (m *Model) CheckKind(e Entity) (known bool, err error) {
	rule := m.kindOf(e)
	if rule == nil {
		return false, nil
	}
	var c checker
	c.path = append(make([]step, 0, 8), step{key: "spec"})
	spec, ok := e["spec"]
	if !ok {
		c.add(ValidationError{Path: "/spec", Expected: "an object", Found: "nothing", Hint: envelope.misspelt("spec", e)})
		return true, c.err()
	}
	v, found := rule.variants[e.SpecString("type")]
	if !found || !v.alone {
		c.check(rule.spec, spec)
	}
	if found {
		c.check(v.spec, spec)
	}
	return true, c.err()
}

// UnknownKind is the error for an entity whose kind nobody knows.
func (m *Model) UnknownKind(e Entity) error {
	kind := e.Kind()
	for _, rule := range m.kinds {
		if rule.kind == kind {
			return ValidationErrors{{Path: "/apiVersion", Expected: oneOf(rule.apiVersions) + " for kind " + kind, Found: describe(e["apiVersion"])}}
		}
	}
	err := ValidationError{Path: "/kind", Expected: "a kind of this catalog: " + oneOf(m.Kinds()), Found: describe(e["kind"])}
	if meant := m.SuggestKind(kind); meant != "" {
		err.Hint = "did you mean " + meant + "?"
		if strings.EqualFold(kind, meant) {
			err.Hint += " case matters here"
		}
	}
	return ValidationErrors{err}
}

// SuggestKind is the builtin kind that kind is probably a misspelling of; empty if there
// is none, and if kind is builtin itself.
func (m *Model) SuggestKind(kind string) (meant string) {
	for _, rule := range m.kinds {
		if rule.kind == kind {
			return ""
		}
		if similar(kind, rule.kind) {
			meant = rule.kind
		}
	}
	return meant
}

func (m *Model) kindOf(e Entity) *kindRule {
	kind, version := e.Kind(), e.APIVersion()
	for i := range m.kinds {
		if rule := &m.kinds[i]; rule.kind == kind && slices.Contains(rule.apiVersions, version) {
			return rule
		}
	}
	return nil
}

// WithDefaultNamespace writes the default namespace into an entity that has none, as
// processing does. It returns e itself when there is nothing to do, else a copy that
// shares everything but metadata.
func WithDefaultNamespace(e Entity) Entity {
	meta := e.Metadata()
	if _, ok := meta["namespace"]; ok || meta == nil {
		return e
	}
	e, meta = maps.Clone(e), maps.Clone(meta)
	meta["namespace"] = DefaultNamespace
	e["metadata"] = meta
	return e
}
