package permission

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
)

// A Resource is a type of things that decisions can be about one by one, and that
// conditions can be about.
type Resource[R any] struct {
	Type        string // such as catalog-entity
	Permissions []Permission
	// Load returns the resources with these references; those that do not exist are
	// not in the map. It is called once per request, from any number of goroutines. If it
	// is nil, conditions can filter lists only.
	Load  func(ctx context.Context, refs []string) (map[string]R, error)
	Rules []AnyRule[R]
	// Lists is any value of the type that QueryOf is called with, if the plugin filters lists.
	// A rule without a Query of that type is a boot error then: of a condition with it
	// nobody could be shown a list.
	Lists any
}

// A ResourceType is a Resource of some type.
type ResourceType interface {
	name() string
	permissions() []Permission
	rules() []RuleInfo
	unlisted() error
	// apply says of each item whether its criteria match its resource. Criteria that are
	// wrong are the error if faulty is nil, and otherwise match nothing, and are told to
	// faulty. loads is false if resources cannot be loaded.
	apply(ctx context.Context, items []conditioned, faulty func(error)) (out []bool, err error)
	loads() bool
	add(rule any) error
	query(c Criteria) (queryTree, error)
	check(c Criteria) error
}

// conditioned is a resource whose criteria are to be applied.
type conditioned struct {
	ref      string
	criteria Criteria
}

// resourceType is a Resource as it is registered.
type resourceType[R any] struct {
	Resource[R]
}

func (r *resourceType[R]) name() string              { return r.Type }
func (r *resourceType[R]) permissions() []Permission { return r.Permissions }
func (r *resourceType[R]) loads() bool               { return r.Load != nil }

// unlisted returns an error for rules that lists cannot be filtered by.
func (r *resourceType[R]) unlisted() error {
	var errs []error
	for _, rule := range r.Rules {
		if got, want := rule.queries(), reflect.TypeOf(r.Lists); want != nil && got != want {
			errs = append(errs, backend.Fix(fmt.Sprintf("rule %s of %s cannot filter lists", rule.describe().Name, r.Type), fmt.Sprintf("give it a Query that returns a %s", want)))
		}
	}
	return errors.Join(errs...)
}

func (r *resourceType[R]) rules() (out []RuleInfo) {
	for _, rule := range r.Rules {
		out = append(out, rule.describe())
	}
	return out
}

func (r *resourceType[R]) add(rule any) error {
	of, ok := rule.(AnyRule[R])
	if !ok {
		var resource R
		return fmt.Errorf("a rule for %s must be about a %T; %T is not", r.Type, resource, rule)
	}
	r.Rules = append(r.Rules, of)
	return nil
}

func (r *resourceType[R]) apply(ctx context.Context, items []conditioned, faulty func(error)) ([]bool, error) {
	programs := map[string]func(R) bool{}
	keys := make([]string, len(items))
	refs := make([]string, 0, len(items))
	for i, item := range items {
		refs = append(refs, item.ref)
		// Batches repeat criteria: they are checked once, and so is what they look like.
		text, err := item.criteria.MarshalJSON()
		if err != nil {
			return nil, err
		}
		keys[i] = string(text)
		if programs[keys[i]] == nil {
			program, err := r.compile(item.criteria)
			if err != nil {
				if faulty == nil {
					return nil, err
				}
				faulty(err)
				program = func(R) bool { return false }
			}
			programs[keys[i]] = program
		}
	}
	slices.Sort(refs)
	resources, err := r.Load(ctx, slices.Compact(refs))
	if err != nil {
		return nil, err
	}
	out := make([]bool, len(items))
	for i, item := range items {
		resource, ok := resources[item.ref]
		out[i] = ok && programs[keys[i]](resource)
	}
	return out, nil
}

func (r *resourceType[R]) find(c Criteria) (AnyRule[R], error) {
	if c.resourceType != r.Type {
		return nil, apierr.Input.New("rule %s: expected resourceType %s, found %q", c.rule, r.Type, c.resourceType)
	}
	for _, rule := range r.Rules {
		if rule.describe().Name == c.rule {
			return rule, nil
		}
	}
	var names []string
	for _, info := range r.rules() {
		names = append(names, info.Name)
	}
	return nil, apierr.Input.New("there is no rule %q for %s; there are %s", c.rule, r.Type, strings.Join(names, ", "))
}

func (r *resourceType[R]) check(c Criteria) error {
	_, err := r.compile(c)
	return err
}

// compile checks all of c before anything is evaluated.
func (r *resourceType[R]) compile(c Criteria) (func(R) bool, error) {
	if c.op == opRule {
		rule, err := r.find(c)
		if err != nil {
			return nil, err
		}
		return rule.bind(c.params)
	}
	of := make([]func(R) bool, len(c.of))
	for i, one := range c.of {
		var err error
		if of[i], err = r.compile(one); err != nil {
			return nil, err
		}
	}
	return func(resource R) bool {
		for _, holds := range of {
			switch h := holds(resource); {
			case c.op == opNot:
				return !h
			case c.op == opAny && h:
				return true
			case c.op == opAll && !h:
				return false
			}
		}
		return c.op == opAll
	}, nil
}

// queryTree is criteria whose rules are queries.
type queryTree struct {
	op    criteriaOp
	of    []queryTree
	query any
}

func (r *resourceType[R]) query(c Criteria) (t queryTree, err error) {
	t.op = c.op
	if c.op == opRule {
		rule, err := r.find(c)
		if err != nil {
			return t, err
		}
		t.query, err = rule.query(c.params)
		return t, err
	}
	for _, one := range c.of {
		of, err := r.query(one)
		if err != nil {
			return t, err
		}
		t.of = append(t.of, of)
	}
	return t, nil
}

// A Combiner makes one query of several, as AllOf, AnyOf and Not do with criteria.
type Combiner[Q any] struct {
	All, Any func(...Q) Q
	Not      func(Q) Q
}

// QueryOf is criteria on resources of one type as a query of their store. Rules that
// nobody knows, and parameters that are wrong, are an apierr.Input.
func QueryOf[Q any](x *Extensions, resourceType string, c Criteria, with Combiner[Q]) (q Q, err error) {
	r, ok := x.resource(resourceType)
	if !ok {
		return q, apierr.Input.New("resources of type %q are not known here", resourceType)
	}
	tree, err := r.query(c)
	if err != nil {
		return q, err
	}
	return combine(tree, with)
}

func combine[Q any](t queryTree, with Combiner[Q]) (q Q, err error) {
	if t.op == opRule {
		q, ok := t.query.(Q)
		if !ok {
			return q, fmt.Errorf("a rule makes a %T, not a %T", t.query, q)
		}
		return q, nil
	}
	of := make([]Q, len(t.of))
	for i, one := range t.of {
		if of[i], err = combine(one, with); err != nil {
			return q, err
		}
	}
	switch t.op {
	case opAll:
		return with.All(of...), nil
	case opAny:
		return with.Any(of...), nil
	}
	return with.Not(of[0]), nil
}

// Match says whether criteria match a resource that the caller has at hand. R is that of
// AddResource. What is wrong with the criteria is an apierr.Input.
func Match[R any](x *Extensions, resourceType string, c Criteria, resource R) (bool, error) {
	r, ok := x.resource(resourceType)
	if !ok {
		return false, apierr.Input.New("resources of type %q are not known here", resourceType)
	}
	of, ok := r.(interface {
		compile(Criteria) (func(R) bool, error)
	})
	if !ok {
		return false, fmt.Errorf("resources of type %s are no %T", resourceType, resource)
	}
	matches, err := of.compile(c)
	return err == nil && matches(resource), err
}
