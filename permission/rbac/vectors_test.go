package rbac

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/permission"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
	"github.com/callboard-dev/callboard/permission/rbac/internal/policyfile"
)

// vectors is testdata/vectors.json, which was recorded from the reference.
type vectors struct {
	Permissions map[string]permission.Permission
	RBAC        struct{ Scenarios []scenario }
}

type scenario struct {
	ID, CSV             string
	Config              json.RawMessage
	ConditionalPolicies string
	StoredConditions    []json.RawMessage
	// PreexistingRESTRoles had been made by the API before the start.
	PreexistingRESTRoles []struct {
		Name    string
		Members []string
	}
	Catalog struct {
		Users  map[string][]string
		Groups map[string]*string
	}
	Loaded  struct{ Policies, Groupings [][]string }
	Vectors []struct {
		ID, Permission string
		User           *string
		Ownership      []string `json:"ownershipEntityRefs"`
		Decision       any
	}
}

func readVectors(t testing.TB) (v vectors) {
	t.Helper()
	data, err := os.ReadFile("testdata/vectors.json")
	if err == nil {
		err = json.Unmarshal(data, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// configOf decodes permission.rbac.
func configOf(t testing.TB, raw []byte) Config {
	t.Helper()
	cfg, err := config.Parse("app-config.yaml", raw)
	if err != nil {
		t.Fatal(err)
	}
	c := defaults()
	if err := cfg.Decode("permission.rbac", &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// load does what a start does, without a database.
func (s *scenario) load(t testing.TB, c *Config, before *engine.State) *engine.State {
	t.Helper()
	now := time.Unix(0, 0)
	state := before.Clone()
	c.reconcileConfiguration(state, now)
	c.reconcileCSV(state, policyfile.ParseCSV(s.CSV), now)
	list, err := policyfile.ParseConditions([]byte(s.ConditionalPolicies), c.limits(), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.reconcileConditions(state, engine.SourceCSV, list)
	for _, raw := range s.StoredConditions {
		one, err := policyfile.DecodeCondition(raw, c.limits())
		if err != nil {
			t.Fatal(err)
		}
		state.Conditions = append(state.Conditions, one)
	}
	return state
}

// decide asks as the policy does, with the groups of the scenario.
func (s *scenario) decide(c *Config, snap *engine.Snapshot, user string, ownership []string, p permission.Permission) permission.Decision {
	parents := map[string][]string{}
	for g, parent := range s.Catalog.Groups {
		parents[g] = nil
		if parent != nil {
			parents[g] = []string{*parent}
		}
	}
	w := &engine.Who{User: user, Ownership: ownership}
	w.Groups, w.Cycle = engine.NewGroups(parents).Above(s.Catalog.Users[strings.ToLower(user)], c.depth())
	return snap.Decide(p, w, nil)
}

// TestVectors has the recorded decisions, as they are after a start and after a reload of
// the same file. They were recorded without Callboard's kubernetesProxyImpliesRead;
// guide-07 and guide-08 are asked with it, too.
func TestVectors(t *testing.T) {
	t.Parallel()
	v := readVectors(t)
	asked := 0
	for _, s := range v.RBAC.Scenarios {
		c := configOf(t, s.Config)
		c.KubernetesProxyImpliesRead = false
		before := s.before()
		state := s.load(t, &c, before)
		s.checkLoaded(t, state)
		again := s
		again.StoredConditions = nil
		reloaded := again.load(t, &c, state)
		if len(s.StoredConditions) == 0 && !reflect.DeepEqual(state, reloaded) {
			t.Errorf("%s: a reload changes something:\n%+v\n%+v", s.ID, state, reloaded)
		}
		for _, one := range s.Vectors {
			asked++
			got := permission.Deny
			if one.User != nil {
				if one.Ownership == nil {
					one.Ownership = []string{*one.User}
				}
				got = s.decide(&c, engine.NewSnapshot(state, c.engineOptions()), *one.User, one.Ownership, v.Permissions[one.Permission])
			}
			if text, _ := json.Marshal(got); !sameJSON(t, text, one.Decision) {
				want, _ := json.Marshal(one.Decision)
				t.Errorf("%s: %s:\n got %s\nwant %s", one.ID, one.Permission, text, want)
			}
			if one.ID == "guide-07" || one.ID == "guide-08" {
				c := c
				c.KubernetesProxyImpliesRead = true
				if got := s.decide(&c, engine.NewSnapshot(state, c.engineOptions()), *one.User, one.Ownership, v.Permissions[one.Permission]); got != permission.Allow {
					t.Errorf("%s with kubernetesProxyImpliesRead: %s", one.ID, got)
				}
			}
		}
	}
	if asked != 148 {
		t.Errorf("%d vectors, want 148", asked)
	}
}

// before is what had been stored before the start.
func (s *scenario) before() *engine.State {
	state := &engine.State{}
	for _, r := range s.PreexistingRESTRoles {
		state.Roles = append(state.Roles, engine.Role{Ref: r.Name, Source: engine.SourceREST})
		for _, m := range r.Members {
			state.Members = append(state.Members, engine.Member{Ref: m, Role: r.Name, Source: engine.SourceREST})
		}
	}
	return state
}

// checkLoaded compares what is stored after a start, in any order.
func (s *scenario) checkLoaded(t *testing.T, state *engine.State) {
	t.Helper()
	var rules, members [][]string
	for _, r := range state.Rules {
		rules = append(rules, []string{r.Subject, r.Permission, r.Action, r.Effect})
	}
	for _, m := range state.Members {
		members = append(members, []string{m.Ref, m.Role})
	}
	for _, list := range [][][]string{rules, members, s.Loaded.Policies, s.Loaded.Groupings} {
		slices.SortFunc(list, slices.Compare[[]string])
	}
	if !slices.EqualFunc(rules, s.Loaded.Policies, slices.Equal) {
		t.Errorf("%s: rules\n got %q\nwant %q", s.ID, rules, s.Loaded.Policies)
	}
	if !slices.EqualFunc(members, s.Loaded.Groupings, slices.Equal) {
		t.Errorf("%s: members\n got %q\nwant %q", s.ID, members, s.Loaded.Groupings)
	}
}

func sameJSON(t *testing.T, text []byte, want any) bool {
	t.Helper()
	var got any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(got, want)
}
