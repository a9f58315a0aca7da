package notifications

import (
	"context"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/notifications/client"
	catalog "github.com/callboard-dev/callboard/catalog/client"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// typeError is what clients see of a reference that cannot be read.
var typeError = apierr.NewKind("TypeError", 400)

// maxRef is how many bytes the full reference of an entity may have: it is part of an index.
const maxRef = 512

// readRefs returns references in their full form and lower case.
func readRefs(refs []string) ([]string, error) {
	out := make([]string, 0, len(refs))
	for _, s := range refs {
		ref, err := entity.ParseRef(s)
		if err != nil {
			return nil, apierr.Input.Wrap(typeError.New("%s", err), "invalid recipient")
		}
		full := strings.ToLower(ref.String())
		if len(full) > maxRef {
			return nil, apierr.Input.Wrap(typeError.New("a reference has %d bytes, %d are allowed", len(full), maxRef), "invalid recipient")
		}
		out = append(out, full)
	}
	return out, nil
}

// entities is the part of the catalog's client that recipients are looked up with.
type entities interface {
	ByRefs(ctx context.Context, refs []string, fields ...string) ([]entity.Entity, error)
}

var _ entities = (*catalog.Client)(nil)

// usersOf returns the users who are, are in, or own the entities, each once. It goes level
// by level: the groups that are members or children of those before, all in one request.
// What was looked up is not looked up again, so that groups may contain each other.
// Users are taken as they are; other references that the catalog does not know are nobody.
func usersOf(ctx context.Context, in entities, r client.Recipients) ([]string, error) {
	level, err := readRefs(r.Refs)
	if err != nil {
		return nil, err
	}
	without, err := readRefs(r.Without)
	if err != nil {
		return nil, err
	}
	seen := make(map[string]struct{}, len(level))
	for _, ref := range without {
		seen[ref] = struct{}{}
	}
	var users []string
	for len(level) > 0 {
		var lookup []string
		for _, ref := range level {
			if _, ok := seen[ref]; ok {
				continue
			}
			seen[ref] = struct{}{}
			if strings.HasPrefix(ref, "user:") {
				users = append(users, ref)
			} else {
				lookup = append(lookup, ref)
			}
		}
		level = level[:0:0]
		if len(lookup) == 0 {
			break
		}
		found, err := in.ByRefs(ctx, lookup, "kind", "relations")
		if err != nil {
			return nil, err
		}
		for _, e := range found {
			level = append(level, next(e)...)
		}
	}
	return users, nil
}

// next are the entities through which those who are meant by e are found.
func next(e entity.Entity) (refs []string) {
	relations, _ := e["relations"].([]any)
	group := strings.EqualFold(e.Kind(), "Group")
	for _, r := range relations {
		m, _ := r.(map[string]any)
		typ, _ := m["type"].(string)
		target, _ := m["targetRef"].(string)
		if target != "" && (group && (typ == "hasMember" || typ == "parentOf") || !group && typ == "ownedBy") {
			refs = append(refs, strings.ToLower(target))
		}
	}
	return refs
}
