package permission

import "context"

// A Policy answers authorization requests. It is called from any number of goroutines, for
// users who are signed in, and for nobody where a backend lets everybody in; never for
// services. An error means that nobody knows, and is answered as such; nothing is
// allowed then.
//
// A policy may also be a BatchPolicy.
type Policy interface {
	Decide(ctx context.Context, q Query) (Decision, error)
}

// BatchPolicy is implemented by policies that want to see all questions of one request
// at once, such as to answer them from one state.
type BatchPolicy interface {
	Policy
	// DecideAll returns one decision per permission, in their order. user is that of Query.
	DecideAll(ctx context.Context, user *User, permissions []Permission) ([]Decision, error)
}

// PolicyFunc is a function as a Policy.
type PolicyFunc func(ctx context.Context, q Query) (Decision, error)

// Decide calls f.
func (f PolicyFunc) Decide(ctx context.Context, q Query) (Decision, error) { return f(ctx, q) }

// A Query is one question: may this user do that? Which resource it is about is not part
// of it: what depends on the resource is decided by If.
type Query struct {
	Permission Permission
	User       *User // nil: nobody is signed in
}

// A User is who asks.
type User struct {
	Ref       string   // user:default/alice
	Ownership []string // the user and usually its groups, as the session has them
}

func decideAll(ctx context.Context, p Policy, user *User, permissions []Permission) ([]Decision, error) {
	if batch, ok := p.(BatchPolicy); ok {
		return batch.DecideAll(ctx, user, permissions)
	}
	out := make([]Decision, len(permissions))
	for i, one := range permissions {
		var err error
		if out[i], err = p.Decide(ctx, Query{one, user}); err != nil {
			return nil, err
		}
	}
	return out, nil
}
