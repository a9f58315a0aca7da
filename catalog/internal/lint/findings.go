package lint

import (
	"errors"
	"regexp"
	"strings"

	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/ingest"
)

// failed makes findings of a failure of an item. It returns the paths of values that
// failed because their file was not read.
func (c *check) failed(it *item, f ingest.Failure) (unread []string) {
	err := f.Unwrap()
	var invalid entity.ValidationErrors
	switch {
	case errors.As(err, &invalid):
	default:
		if one, ok := errors.AsType[entity.ValidationError](err); ok {
			invalid = entity.ValidationErrors{one}
		}
	}
	doc, elsewhere := errors.AsType[*entity.DocumentError](err)
	if invalid == nil {
		text := f.Message
		if elsewhere { // the place is told apart from the text
			text = doc.Err.Error()
		} else if p, ok := errors.AsType[*entity.PlaceholderError](err); ok {
			text = p.Err.Error()
		}
		finding := Finding{Level: LevelError, Rule: ruleOf(f, nil), Message: text}
		finding.Message, finding.Hint = cutHint(text)
		if elsewhere {
			c.tellAt(it, c.nameOf(doc.Name), doc.Position, finding)
			return nil
		}
		c.tell(it, f.Path(), finding)
		return nil
	}
	for _, one := range invalid {
		if path := c.unread(it, one.Path); path != "" {
			unread = append(unread, path)
			continue
		}
		finding := Finding{Level: LevelError, Rule: ruleOf(f, &one), Hint: one.Hint}
		one.Hint = ""
		finding.Message = one.Error()
		if elsewhere {
			c.tellAt(it, c.nameOf(doc.Name), doc.Position, finding)
			continue
		}
		c.tell(it, one.Path, finding)
	}
	return unread
}

// cutHint takes advice off a text that ends in it.
func cutHint(text string) (message, hint string) {
	if i := strings.LastIndex(text, "; "); i >= 0 && (strings.HasSuffix(text, "?") || strings.HasPrefix(text[i:], "; see ")) {
		return text[:i], text[i+2:]
	}
	return text, ""
}

func ruleOf(f ingest.Failure, one *entity.ValidationError) Rule {
	switch f.Code() {
	case ingest.CodePlaceholder:
		return RulePlaceholder
	case ingest.CodeTarget:
		return RuleTarget
	case ingest.CodeDuplicate:
		return RuleDuplicate
	case ingest.CodeRule:
		return RuleNotAllowed
	}
	switch {
	case one != nil && f.Cause == nil && (one.Path == "/kind" || one.Path == "/apiVersion") && f.Code() == ingest.CodeEntity:
		return RuleKind
	case one != nil:
		return RuleSchema
	case f.Code() == ingest.CodeDocument:
		return RuleSyntax
	}
	return RuleProcessing
}

// unread is the path of the placeholder that a value is from, if its file was not read,
// so that nobody knows whether the value is right; else it is empty.
func (c *check) unread(it *item, pointer string) string {
	if it.doc == nil || c.Online != nil {
		return ""
	}
	var v any = map[string]any(it.doc.Entity)
	at := ""
	for rest := pointer; rest != ""; {
		var key string
		key, rest, _ = strings.Cut(strings.TrimPrefix(rest, "/"), "/")
		at += "/" + key
		m, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		if v, ok = m[unescape(key)]; !ok {
			return ""
		}
		if placeholder, ok := v.(map[string]any); ok && len(placeholder) == 1 {
			for name, target := range placeholder {
				s, text := target.(string)
				if strings.HasPrefix(name, "$") && text && c.isSkipped(s) {
					return at
				}
			}
		}
	}
	return ""
}

// without is e less the values at paths of objects.
func without(e entity.Entity, pointers []string) entity.Entity {
	e = e.Clone()
	for _, pointer := range pointers {
		keys := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
		for i, key := range keys {
			keys[i] = unescape(key)
		}
		e.Delete(keys...)
	}
	return e
}

// unescape reads an element of a JSON pointer.
func unescape(key string) string {
	return strings.NewReplacer("~1", "/", "~0", "~").Replace(key)
}

func (c *check) isSkipped(rawURL string) bool {
	c.space.mu.Lock()
	defer c.space.mu.Unlock()
	return c.space.skipped[rawURL]
}

// tell reports a finding about a value of an item.
func (c *check) tell(it *item, pointer string, f Finding) {
	c.tellAt(it, it.file, it.at(pointer), f)
}

// tellAt reports a finding once, at the beginning of the file if the place is unknown.
func (c *check) tellAt(it *item, file string, at entity.Position, f Finding) {
	if file == "" {
		file = it.file
	}
	f.File, f.Line, f.Column, f.Entity = file, max(at.Line, 1), max(at.Column, 1), it.ref
	f.Message = c.readable(f.Message)
	once := f
	once.Entity = "" // a Location and its documents tell of the same mistake
	if c.told[once] {
		return
	}
	c.told[once] = true
	c.report.Findings = append(c.report.Findings, f)
}

// readable replaces the addresses that files have for the pipeline by their names.
func (c *check) readable(text string) string {
	if c.AsFiles {
		return strings.ReplaceAll(text, c.Root+"/", "")
	}
	return addresses.ReplaceAllStringFunc(text, func(address string) string {
		target := strings.TrimRight(strings.TrimPrefix(address, "url:"), ".,;:)")
		if name, ok := c.space.local(target); ok {
			return name + strings.TrimPrefix(strings.TrimPrefix(address, "url:"), target)
		}
		return address
	})
}

var addresses = regexp.MustCompile(`(?:url:)?https?://[^\s"]+`)
