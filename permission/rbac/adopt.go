package rbac

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend/db"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
	"github.com/callboard-dev/callboard/permission/rbac/internal/policyfile"
	"github.com/callboard-dev/callboard/permission/rbac/internal/store"
)

// adopt takes over what Backstage's RBAC plugin has stored, if this is the first start with
// its database. Its tables stay as they are.
func (f *files) adopt(ctx context.Context) error {
	var warnings []string
	var have store.Existing
	adopted, err := f.live.store.Adopt(ctx, func(e store.Existing, s *engine.State) (err error) {
		have = e
		warnings, err = f.config.takeOver(e, s, f.now())
		return err
	})
	if err != nil {
		return fmt.Errorf("take over the roles of Backstage's RBAC plugin (casbin_rule and role-metadata): %w", err)
	}
	for _, w := range warnings {
		f.log.WarnContext(ctx, "of the roles of Backstage's RBAC plugin, "+w)
	}
	if adopted {
		f.log.InfoContext(ctx, "the roles of Backstage's RBAC plugin are taken over; its tables stay, and are not read again",
			"lines", len(have.Lines), "roles", len(have.Roles), "conditions", len(have.Conditions), "leftOut", len(warnings))
	}
	return nil
}

// takeOver makes s of what is stored. What is wrong is left out, and returned as warnings.
// Rules and members belong to the source of their role. Where a role has members and no
// metadata, which is how the first versions stored them, they are legacy, and any source
// may take them over. Other rules without a role can only be of the policy file. A condition
// that is wrong is an error: without it, rules would allow what it has bounded.
func (c *Config) takeOver(e store.Existing, s *engine.State, now time.Time) (warnings []string, err error) {
	leave := func(format string, args ...any) {
		warnings = append(warnings, fmt.Sprintf(format, args...)+" is left out")
	}
	for _, r := range e.Roles {
		if err := engine.CheckRef(r.Ref, "role"); err != nil {
			leave("a role, because %v,", err)
			continue
		}
		if _, twice := s.Role(r.Ref); twice {
			leave("a second %s", r.Ref)
			continue
		}
		source := r.Source
		if source == "" {
			source = engine.SourceLegacy
		}
		s.Roles = append(s.Roles, engine.Role{
			Ref: r.Ref, Source: source, Description: r.Description, Owner: r.Owner, Author: r.Author, ModifiedBy: r.ModifiedBy,
			Created: anyTime(r.Created, now), Modified: anyTime(r.Modified, now),
		})
	}
	sources := map[string]string{}
	for _, l := range e.Lines {
		if l[0] == "g" {
			sources[l[2]] = engine.SourceLegacy
		}
	}
	for _, r := range s.Roles {
		sources[r.Ref] = r.Source
	}
	source := func(subject string) string {
		if s, ok := sources[subject]; ok {
			return s
		}
		return engine.SourceCSV
	}
	rules, members := map[[4]string]bool{}, map[[2]string]bool{}
	for _, l := range e.Lines {
		var err error
		switch l[0] {
		case "p":
			r := engine.Rule{Subject: l[1], Permission: l[2], Action: l[3], Effect: l[4], Source: source(l[1])}
			if err = engine.CheckRule(r); err == nil && !rules[r.Key()] {
				rules[r.Key()] = true
				s.Rules = append(s.Rules, r)
			}
		case "g":
			m := engine.Member{Ref: strings.ToLower(l[1]), Role: l[2], Source: source(l[2])}
			if err = engine.CheckMember(m); err == nil && !members[memberKey(m)] {
				members[memberKey(m)] = true
				s.Members = append(s.Members, m)
			}
		default:
			err = fmt.Errorf("there is no type of line %q", l[0])
		}
		if err != nil {
			leave("%s, because %v,", strings.Join(l, ", "), err)
		}
	}
	for _, row := range e.Conditions {
		one, err := c.condition(row)
		if err != nil {
			return nil, fmt.Errorf("row %s of role-condition-policies, which is about %s: %w; mend the row, or delete it", row.ID, row.Role, err)
		}
		s.Conditions = append(s.Conditions, one)
	}
	for _, id := range e.Plugins {
		if db.IsText(id) && id != "" && !slices.Contains(s.Plugins, id) {
			s.Plugins = append(s.Plugins, id)
		}
	}
	return warnings, nil
}

func (c *Config) condition(row store.ExistingCondition) (engine.Condition, error) {
	text, err := json.Marshal(map[string]any{
		"roleEntityRef": row.Role, "result": row.Result, "pluginId": row.Plugin, "resourceType": row.ResourceType,
		"permissionMapping": json.RawMessage(row.Permissions), "conditions": json.RawMessage(row.Criteria),
	})
	if err != nil {
		return engine.Condition{}, err
	}
	return policyfile.DecodeCondition(text, c.limits())
}

// anyTime reads a time as databases and JavaScript write it: a timestamp, a text, or the
// milliseconds since 1970. It is otherwise if that is none of them.
func anyTime(text string, otherwise time.Time) time.Time {
	for _, layout := range []string{
		"2006-01-02 15:04:05.999999Z07", "2006-01-02 15:04:05.999999Z07:00", "2006-01-02 15:04:05.999999", time.RFC3339Nano, time.RFC1123,
	} {
		if t, err := time.Parse(layout, text); err == nil {
			return t
		}
	}
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.UnixMilli(ms)
	}
	return otherwise
}
