package rbac

import (
	"net/http"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
)

// wireTime is how the API writes times: as recorded of an installation with PostgreSQL, which
// keeps times and not texts (docs/rbac.md, "What is different").
const wireTime = "2006-01-02T15:04:05.000Z"

func (a *rest) roles(c *call) error {
	c.reads("role-read", "all")
	s := a.live.state()
	out := []wireRole{}
	for _, r := range s.Roles {
		if c.visible(r) {
			out = append(out, a.wireRole(s, r))
		}
	}
	return c.json(http.StatusOK, out)
}

func (a *rest) role(c *call) error {
	c.reads("role-read", "by-role")
	ref, err := c.ref("role")
	if err != nil {
		return err
	}
	s := a.live.state()
	r, ok := s.Role(ref)
	if !ok || !c.visible(*r) {
		return apierr.NotFound.New("")
	}
	return c.json(http.StatusOK, []wireRole{a.wireRole(s, *r)})
}

func (a *rest) wireRole(s *engine.State, r engine.Role) wireRole {
	date := func(t time.Time) string { return t.UTC().Format(wireTime) }
	members := s.MembersOf(r.Ref)
	if members == nil {
		members = []string{}
	}
	return wireRole{members, r.Ref, &wireMetadata{
		Source: r.Source, Description: r.Description, Owner: r.Owner, Author: r.Author, ModifiedBy: r.ModifiedBy,
		CreatedAt: date(r.Created), LastModified: date(r.Modified), IsDefault: r.Ref == a.config.DefaultPermissions.DefaultRole,
	}}
}

func (a *rest) createRole(c *call) error {
	c.writes("role-write", "create")
	var want wireRole
	if err := c.decode(&want); err != nil {
		return err
	}
	if err := want.check(); err != nil {
		return err
	}
	c.meta["members"] = want.MemberReferences
	if _, err := c.change(func(e editor, s *engine.State) error {
		if err := c.mayTouch(s, want.Name); err != nil {
			return err
		}
		return e.createRole(s, want)
	}); err != nil {
		return err
	}
	return c.empty(http.StatusCreated)
}

func (a *rest) updateRole(c *call) error {
	c.writes("role-write", "update")
	ref, err := c.ref("role")
	if err != nil {
		return err
	}
	var body struct{ OldRole, NewRole *wireRole }
	if err := c.decode(&body); err != nil {
		return err
	}
	if body.OldRole == nil {
		return apierr.Input.New("'oldRole' object must be present")
	}
	if body.NewRole == nil {
		return apierr.Input.New("'newRole' object must be present")
	}
	body.OldRole.Name, body.OldRole.Metadata = ref, nil
	for _, role := range []*wireRole{body.OldRole, body.NewRole} {
		if err := role.check(); err != nil {
			return err
		}
	}
	c.meta["members"] = body.NewRole.MemberReferences
	changed := false
	if _, err := c.change(func(e editor, s *engine.State) (err error) {
		if err := c.mayTouch(s, ref); err != nil {
			return err
		}
		changed, err = e.updateRole(s, ref, body.OldRole.MemberReferences, *body.NewRole)
		return err
	}); err != nil {
		return err
	}
	return c.empty(map[bool]int{true: http.StatusOK, false: http.StatusNoContent}[changed])
}

func (a *rest) deleteRole(c *call) error {
	c.writes("role-write", "delete")
	ref, err := c.ref("role")
	if err != nil {
		return err
	}
	var members []string
	for _, m := range c.r.URL.Query()["memberReferences"] {
		members = append(members, strings.ToLower(m))
	}
	c.meta["members"] = members
	if _, err := c.change(func(e editor, s *engine.State) error {
		if err := c.mayTouch(s, ref); err != nil {
			return err
		}
		return e.deleteRole(s, ref, members)
	}); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent)
}
