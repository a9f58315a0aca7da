package app

import (
	"net/http"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
)

// maxForm bounds the form of a sign-in: user tokens of thousands of groups fit.
const maxForm = 128 << 10

// protected answers where the frontend itself is for users only: others get the public
// entry point, whose page signs them in and posts their token.
func (s *server) protected(w http.ResponseWriter, r *http.Request) error {
	switch r.Method {
	case http.MethodPost:
		return s.signIn(w, r)
	case http.MethodGet, http.MethodHead:
	default:
		return httpx.Empty(w, http.StatusNotFound)
	}
	w.Header().Add("Vary", "Cookie")
	_, ok, err := s.cookie.User(r)
	if err != nil {
		s.cookie.Clear(w)
	}
	if !ok || err != nil {
		return s.get(w, r, s.public)
	}
	return s.get(w, r, s.main)
}

// signIn takes the token that the public entry point has posted, and answers as the app.
func (s *server) signIn(w http.ResponseWriter, r *http.Request) error {
	// Another site could sign a browser in as somebody else. Origin cannot tell: pages with
	// the referrer policy no-referrer send none.
	if from := r.Header.Get("Sec-Fetch-Site"); from != "" && from != "same-origin" && from != "none" {
		return apierr.NotAllowed.New("a sign-in cannot be posted from another site")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return apierr.Input.New("the form cannot be read: %v", err)
	}
	if r.PostForm.Get("type") != "sign-in" || r.PostForm.Get("token") == "" {
		return apierr.Input.New(`expected a form with type=sign-in and token`)
	}
	if err := s.cookie.Set(r.Context(), w, r.PostForm.Get("token")); err != nil {
		return err
	}
	get := r.Clone(r.Context())
	get.Method, get.Body = http.MethodGet, http.NoBody
	return s.get(w, get, s.main)
}
