package notifications

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/notifications/client"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// directory is a catalog that counts what it is asked. Its values are relations, "type ref".
type directory struct {
	entities        map[string][]string
	requests, asked int
}

func (d *directory) ByRefs(_ context.Context, refs []string, _ ...string) ([]entity.Entity, error) {
	d.requests++
	d.asked += len(refs)
	out := make([]entity.Entity, len(refs))
	for i, ref := range refs {
		relations, ok := d.entities[ref]
		if !ok {
			continue
		}
		list := []any{}
		for _, r := range relations {
			var typ, target string
			fmt.Sscan(r, &typ, &target)
			list = append(list, map[string]any{"type": typ, "targetRef": target})
		}
		parsed, err := entity.ParseRef(ref)
		if err != nil {
			return nil, err
		}
		out[i] = entity.Entity{"kind": parsed.Kind, "relations": list}
	}
	return out, nil
}

func org() *directory {
	return &directory{entities: map[string][]string{
		"group:default/all":      {"parentOf group:default/a", "parentOf group:default/b", "hasMember user:default/boss"},
		"group:default/a":        {"hasMember user:default/alice", "hasMember user:default/shared", "childOf group:default/all", "parentOf group:default/all"},
		"group:default/b":        {"hasMember User:default/Bob", "hasMember user:default/shared", "parentOf group:default/b"},
		"component:default/shop": {"ownedBy group:default/a", "ownedBy user:default/carol", "partOf system:default/web"},
		"api:default/unowned":    {},
	}}
}

func TestRecipients(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		to       client.Recipients
		want     []string
		requests int
	}{
		"a user, in any case":             {client.Entities("User:Default/ALICE", "user:alice"), []string{"alice"}, 0},
		"a user whom the catalog has not": {client.Entities("user:default/nobody"), []string{"nobody"}, 0},
		"a group and those below":         {client.Entities("group:default/all"), []string{"alice", "bob", "boss", "shared"}, 2},
		"an owner":                        {client.Entities("component:default/shop"), []string{"alice", "bob", "boss", "carol", "shared"}, 4},
		"nothing that is there":           {client.Entities("component:default/none", "group:default/none", "api:default/unowned"), nil, 1},
		"all at once":                     {client.Entities("group:default/a", "group:default/b", "component:default/shop"), []string{"alice", "bob", "boss", "carol", "shared"}, 2},
		"without a user":                  {client.Entities("group:default/a").Except("User:default/shared"), []string{"alice", "bob", "boss"}, 3},
		"without a group":                 {client.Entities("group:default/all").Except("group:default/a"), []string{"bob", "boss", "shared"}, 2},
	} {
		d := org()
		got, err := usersOf(t.Context(), d, tt.to)
		slices.Sort(got)
		var want []string
		for _, n := range tt.want {
			want = append(want, "user:default/"+n)
		}
		if err != nil || !slices.Equal(got, want) || d.requests != tt.requests {
			t.Errorf("%s: %v in %d requests, want %v in %d: %v", name, got, d.requests, want, tt.requests, err)
		}
	}
	for _, ref := range []string{"", "::", "alice", "user:/x"} {
		if _, err := usersOf(t.Context(), org(), client.Entities(ref)); !errors.Is(err, apierr.Input) {
			t.Errorf("%q: %v", ref, err)
		}
	}
}

// TestSEC81_CyclicGroupsDoNotRecurse: groups that contain each other, and themselves, are
// looked up once each, level by level.
func TestSEC81_CyclicGroupsDoNotRecurse(t *testing.T) {
	t.Parallel()
	const groups, members = 500, 10
	d := &directory{entities: map[string][]string{}}
	for g := range groups {
		name := fmt.Sprintf("group:default/g%d", g)
		// A chain of tens, closed to a ring, in which each group has the first one and itself below it too.
		relations := []string{"parentOf group:default/g0", "parentOf " + name, fmt.Sprintf("parentOf group:default/g%d", (g+1)%groups)}
		for i := 1; i <= 10; i++ {
			relations = append(relations, fmt.Sprintf("parentOf group:default/g%d", (g*10+i)%groups))
		}
		for m := range members {
			relations = append(relations, fmt.Sprintf("hasMember user:default/u%d-%d", g, m), "hasMember user:default/everywhere")
		}
		d.entities[name] = relations
	}
	users, err := usersOf(t.Context(), d, client.Entities("group:default/g0"))
	if err != nil || len(users) != groups*members+1 {
		t.Errorf("%d users, %v", len(users), err)
	}
	if d.asked != groups || d.requests > 10 {
		t.Errorf("the catalog was asked for %d groups in %d requests, want each of the %d once in 10 at most", d.asked, d.requests, groups)
	}
}
