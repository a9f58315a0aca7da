package rbac

import (
	"slices"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/permission/rbac/internal/engine"
)

// The functions here change a State as the REST API wants it, or say why not. They run
// within a transaction, and see all that is stored.

// An editor is who changes roles by the API.
type editor struct {
	user string
	now  time.Time
}

func (e editor) touch(r *engine.Role) {
	r.ModifiedBy, r.Modified = e.user, e.now
	if r.Source == engine.SourceLegacy {
		r.Source = engine.SourceREST
	}
}

// foreign refuses to change what belongs to a role of another source.
func foreign(r *engine.Role, doing string) error {
	if r.Source == engine.SourceREST || r.Source == engine.SourceLegacy {
		return nil
	}
	return apierr.NotAllowed.New("unable to %s: source does not match originating role %s, consider making changes to the '%s'", doing, r.Ref, strings.ToUpper(r.Source))
}

// occupied refuses a name that is not that of a role, and has rules or members already, such
// as those that a policy file says of a role without members: who has the new role would
// get them.
func occupied(s *engine.State, name, doing string) error {
	for _, r := range s.Rules {
		if r.Subject == name && r.Source != engine.SourceREST && r.Source != engine.SourceLegacy {
			return apierr.NotAllowed.New("unable to %s: there are rules for %s of source '%s', consider making changes there", doing, name, strings.ToUpper(r.Source))
		}
	}
	return nil
}

// renamedFor is how long a role is found by its former name. The stock user interface renames
// a role, which moves its rules, and then at once deletes them by the old name, to create
// them by the new one (TestTheStockInterfaceOfRoles).
const renamedFor = time.Minute

// nowCalled is the name of the role that has just had another one.
func (e editor) nowCalled(s *engine.State, subject string) string {
	if _, there := s.Role(subject); there {
		return subject
	}
	if r, ok := s.Renamed(subject); ok && e.now.Sub(r.Modified) < renamedFor {
		return r.Ref
	}
	return subject
}

// forget makes a former name nobody's.
func forget(s *engine.State, former string) {
	for i := range s.Roles {
		if s.Roles[i].Former == former {
			s.Roles[i].Former = ""
		}
	}
}

func repeated(list []string) string {
	for i, one := range list {
		if slices.Contains(list[:i], one) {
			return one
		}
	}
	return ""
}
