package auth

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/auth/internal/store"
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// A userSession is a session of a user as it is listed: with a browser, or with a program
// that the user has let act in their place.
type userSession struct {
	ID            string     `json:"id"`
	Type          string     `json:"type"` // browser or program
	UserEntityRef string     `json:"userEntityRef"`
	Provider      string     `json:"provider,omitempty"`
	Env           string     `json:"env,omitempty"`
	Client        string     `json:"client"` // the browser or the program, as it names itself
	ClientID      string     `json:"clientId,omitempty"`
	CreatedAt     time.Time  `json:"createdAt"`
	LastUsedAt    time.Time  `json:"lastUsedAt"`
	ExpiresAt     *time.Time `json:"expiresAt,omitempty"`
}

func browserSession(x store.Session) userSession {
	return userSession{ID: x.ID, Type: "browser", UserEntityRef: x.User, Provider: x.Provider, Env: x.Env, Client: x.Client,
		CreatedAt: x.CreatedAt, LastUsedAt: x.RefreshedAt, ExpiresAt: &x.ExpiresAt}
}

func programSession(g store.Grant) userSession {
	return userSession{ID: g.ID, Type: "program", UserEntityRef: g.User, Client: g.ClientName, ClientID: g.ClientID,
		CreatedAt: g.CreatedAt, LastUsedAt: g.LastUsedAt}
}

// sessionsOf lists up to limit sessions of a user, or of everybody, after a cursor: first
// those of browsers, then those of programs.
func sessionsOf(ctx context.Context, s *store.Store, user string, now time.Time, cursor string, limit int) (out []userSession, next string, err error) {
	kind, after, _ := strings.Cut(cursor, ":")
	if kind != "program" {
		list, err := s.Sessions(ctx, user, now, after, limit)
		if err != nil {
			return nil, "", err
		}
		for _, x := range list {
			out = append(out, browserSession(x))
		}
		if len(list) == limit {
			return out, "browser:" + list[limit-1].ID, nil
		}
		after = ""
	}
	list, err := s.Grants(ctx, user, after, limit-len(out))
	if err != nil {
		return nil, "", err
	}
	for _, g := range list {
		out = append(out, programSession(g))
	}
	if len(out) == limit {
		next = "program:" + after
		if len(list) > 0 {
			next = "program:" + list[len(list)-1].ID
		}
	}
	return out, next, nil
}

// endSession ends the session with an id, if it is the user's; empty for anybody's.
func endSession(ctx context.Context, s *store.Store, id, user string) (bool, error) {
	end := s.EndSessionOf
	if user == "" {
		end = func(ctx context.Context, id, _ string) (bool, error) { return s.EndSession(ctx, id) }
	}
	ok, err := end(ctx, id, user)
	if ok || err != nil {
		return ok, err
	}
	return s.EndGrant(ctx, id, user)
}

// endSessionsOf ends all sessions of a user and returns how many there were.
func endSessionsOf(ctx context.Context, s *store.Store, user string) (int, error) {
	browsers, err := s.EndSessionsOf(ctx, user)
	if err != nil {
		return 0, err
	}
	programs, err := s.EndGrantsOf(ctx, user)
	return browsers + programs, err
}

// userRef reads the reference of a user, in the form in which sessions have it.
func userRef(text string) (string, error) {
	ref, err := entity.ParseRef(text, entity.Default{Kind: "user", Namespace: entity.DefaultNamespace})
	if err != nil {
		return "", apierr.Input.New("%s", err)
	}
	if ref = ref.Lower(); ref.Kind != "user" || !db.IsText(text) {
		return "", apierr.Input.New("%s is not a user", ref)
	}
	return ref.String(), nil
}

// subject is whose sessions a request is about, which the caller may see and end: users
// their own, administrators and services those of anybody. It is empty for everybody's,
// which callers ask for by naming nobody, except users, who mean themselves.
func (a *api) subject(r *http.Request) (string, error) {
	caller := httpx.CallerOf(r)
	asked := ""
	if text := r.URL.Query().Get("userEntityRef"); text != "" {
		var err error
		if asked, err = userRef(text); err != nil {
			return "", err
		}
	}
	if s, ok := caller.Service(); ok {
		if own, _ := s.Restrictions.For("auth"); s.Restrictions != nil && own.Restricted() {
			return "", apierr.NotAllowed.New("This token's access is restricted to permissions, and sessions have none")
		}
		return asked, nil
	}
	user, ok := caller.User()
	if !ok {
		return "", httpx.Refuse(caller)
	}
	self := strings.ToLower(user.Ref)
	if asked == "" {
		asked = self
	}
	if asked == self {
		return self, nil
	}
	admin, err := a.owns(r.Context(), caller, a.administrators)
	if err != nil {
		return "", err
	}
	if !admin {
		return "", apierr.NotAllowed.New("Only auth.session.administrators may see and end the sessions of others")
	}
	return asked, nil
}

type sessionPage struct {
	Items    []userSession `json:"items"`
	PageInfo struct {
		NextCursor string `json:"nextCursor,omitempty"`
	} `json:"pageInfo"`
}

// listSessions answers GET /callboard/v1/sessions.
func (a *api) listSessions(w http.ResponseWriter, r *http.Request) error {
	user, err := a.subject(r)
	if err != nil {
		return err
	}
	q := httpx.Query(r)
	q.Declare("userEntityRef")
	limit, cursor := q.Int("limit", 100, httpx.Between(1, 500)), q.String("cursor", "")
	if err := q.Err(); err != nil {
		return err
	}
	page := sessionPage{Items: []userSession{}}
	if cursor != "" {
		if err := httpx.DecodeCursor(cursor, &cursor); err != nil {
			return err
		}
		if !db.IsText(cursor) {
			return apierr.Input.New("Malformed cursor, could not be parsed")
		}
	}
	list, next, err := sessionsOf(r.Context(), a.store, user, a.now(), cursor, limit)
	if err != nil {
		return err
	}
	page.Items = append(page.Items, list...)
	if next != "" {
		if page.PageInfo.NextCursor, err = httpx.EncodeCursor(next); err != nil {
			return err
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	return httpx.JSON(w, http.StatusOK, page)
}

// endSessions answers DELETE /callboard/v1/sessions, which ends all sessions of a user.
func (a *api) endSessions(w http.ResponseWriter, r *http.Request) error {
	user, err := a.subject(r)
	if err != nil {
		return err
	}
	if user == "" {
		return apierr.Input.New("say whose sessions are to be ended: userEntityRef is missing")
	}
	event := a.revocation(r, map[string]any{"userEntityRef": user})
	n, err := endSessionsOf(r.Context(), a.store, user)
	if err != nil {
		event.Fail(err, nil)
		return err
	}
	event.Success(map[string]any{"sessions": n})
	return httpx.JSON(w, http.StatusOK, map[string]int{"ended": n})
}

// endOneSession answers DELETE /callboard/v1/sessions/{id}.
func (a *api) endOneSession(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	user, err := a.subject(r)
	if err != nil {
		return err
	}
	// Administrators may end a session without saying whose it is.
	if _, ok := httpx.CallerOf(r).User(); ok && r.URL.Query().Get("userEntityRef") == "" {
		if admin, err := a.owns(r.Context(), httpx.CallerOf(r), a.administrators); err != nil {
			return err
		} else if admin {
			user = ""
		}
	}
	event := a.revocation(r, map[string]any{"session": id})
	ok := false
	if db.IsText(id) {
		ok, err = endSession(r.Context(), a.store, id, user)
	}
	if err == nil && !ok {
		err = apierr.NotFound.New("There is no session %q", strings.ToValidUTF8(id[:min(len(id), 100)], ""))
	}
	if err != nil {
		event.Fail(err, nil)
		return err
	}
	event.Success(nil)
	return httpx.Empty(w, http.StatusNoContent)
}

func (a *api) revocation(r *http.Request, meta map[string]any) backend.AuditedEvent {
	return a.watch.audit.CreateEvent(r.Context(), backend.AuditEvent{ID: "session-revoke", Severity: backend.AuditMedium, Request: r, Meta: meta})
}
