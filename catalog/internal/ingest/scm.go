package ingest

import (
	"context"
	"errors"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/store"
)

// The events of source code hosts that the catalog acts upon (contract catalog.md, 3.11).
// What was created is found by those who look for it.
const (
	LocationUpdated   = "location.updated"
	LocationDeleted   = "location.deleted"
	LocationMoved     = "location.moved"
	RepositoryUpdated = "repository.updated"
	RepositoryDeleted = "repository.deleted"
	RepositoryMoved   = "repository.moved"
)

// An SCMEvent says what happened to a file or a repository. URL is the one it is about;
// of moves it is the old one, and To the new one.
type SCMEvent struct{ Type, URL, To string }

// SCMActions are what may be done upon events.
type SCMActions struct {
	Refresh    bool // process what comes from it
	Unregister bool // delete registered locations that lead there
	Move       bool // let registered locations lead to the new place
}

// ActOn does what is allowed of what an event asks for, and says to how many entities and
// locations.
func (e *Engine) ActOn(ctx context.Context, event SCMEvent, allowed SCMActions) (n int, err error) {
	e.Telemetry.SCMEvent(ctx, event.Type)
	target := matcher{url: strings.TrimSuffix(event.URL, "/"), repository: strings.HasPrefix(event.Type, "repository.")}
	switch event.Type {
	case LocationUpdated, RepositoryUpdated:
		if !allowed.Refresh {
			return 0, nil
		}
		due, err := e.store.MakeDueByURL(ctx, e.now().Add(-ahead), target.variants(), target.repository)
		if err == nil && due > 0 {
			e.Wake()
		}
		return int(due), err
	case LocationDeleted, RepositoryDeleted:
		if !allowed.Unregister {
			return 0, nil
		}
		return e.eachRegistered(ctx, target, func(l *Locations, row store.Location, _ string) error { return l.Delete(ctx, row.ID) })
	case LocationMoved, RepositoryMoved:
		if !allowed.Move {
			return 0, nil
		}
		return e.eachRegistered(ctx, target, func(l *Locations, row store.Location, rest string) error {
			_, err := l.Update(ctx, row.ID, entity.Location{Type: row.Type, Target: strings.TrimSuffix(event.To, "/") + rest})
			if errors.Is(err, apierr.Conflict) {
				// The new place is registered already: the old one leads nowhere.
				return l.Delete(ctx, row.ID)
			}
			return err
		})
	}
	return 0, nil
}

// eachRegistered calls do for the registered locations that an event is about. rest is
// what their target has behind the URL of a repository.
func (e *Engine) eachRegistered(ctx context.Context, m matcher, do func(l *Locations, row store.Location, rest string) error) (n int, err error) {
	l := e.Locations()
	rows, err := l.List(ctx)
	if err != nil {
		return 0, err
	}
	for _, row := range rows {
		rest, ok := m.match(row.Target)
		if row.Type != "url" || !ok {
			continue
		}
		switch err := do(l, row, rest); {
		case errors.Is(err, apierr.NotFound): // somebody else was faster
		case err != nil:
			return n, err
		default:
			n++
		}
	}
	return n, nil
}

// A matcher compares targets with the URL of an event.
type matcher struct {
	url        string
	repository bool // everything below the URL
}

// variants are the forms of the URL that mean the same: hosts have a page and a tree of
// each file.
func (m matcher) variants() []string {
	out := []string{m.url}
	for _, pair := range [][2]string{{"/blob/", "/tree/"}, {"/tree/", "/blob/"}} {
		if strings.Contains(m.url, pair[0]) {
			out = append(out, strings.Replace(m.url, pair[0], pair[1], 1))
		}
	}
	return out
}

func (m matcher) match(target string) (rest string, ok bool) {
	if m.url == "" {
		return "", false
	}
	if m.repository {
		rest, ok = strings.CutPrefix(target, m.url)
		return rest, ok && (rest == "" || rest[0] == '/')
	}
	for _, v := range m.variants() {
		if target == v {
			return "", true
		}
	}
	return "", false
}
