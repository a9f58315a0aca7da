package rootserver

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// WellKnown is the folder of paths that standards fix (RFC 8615).
const WellKnown = "/.well-known/"

// HandleWellKnown serves GET and HEAD of one path below WellKnown, to everybody, in place
// of the index. The path is compared with the one that was sent, byte by byte.
func (s *Server) HandleWellKnown(path string, h http.Handler) error {
	if rest, ok := strings.CutPrefix(path, WellKnown); !ok || rest == "" {
		return fmt.Errorf("path %q is not below %s", path, WellKnown)
	}
	s.mountMu.Lock()
	defer s.mountMu.Unlock()
	if s.wellKnown[path] != nil {
		return fmt.Errorf("path %q is served already", path)
	}
	next := make(map[string]http.Handler, len(s.wellKnown)+1)
	for p, other := range s.wellKnown {
		next[p] = other
	}
	next[path] = h
	s.wellKnown = next
	return nil
}

// WellKnownPaths lists what HandleWellKnown was called with, sorted.
func (s *Server) WellKnownPaths() []string {
	s.mountMu.Lock()
	defer s.mountMu.Unlock()
	var out []string
	for p := range s.wellKnown {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

// serveWellKnown answers r if its path is one of those, and reports whether it did.
func (s *Server) serveWellKnown(w http.ResponseWriter, r *http.Request, path string) bool {
	if !strings.HasPrefix(path, WellKnown) || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	s.mountMu.Lock()
	h := s.wellKnown[path]
	s.mountMu.Unlock()
	if h == nil {
		return false
	}
	h.ServeHTTP(w, r)
	return true
}
