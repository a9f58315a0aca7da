// Package httpx is how plugins speak HTTP: routes, callers, bodies, answers, and
// errors in the one shape that clients of the API know.
//
// A handler decodes, asks, and encodes. What it returns as an error is written by
// the Mux, with the status and name of its kind (package apierr):
//
//	func (a *api) entityByUID(w http.ResponseWriter, r *http.Request) error {
//		e, err := a.query.ByUID(r.Context(), r.PathValue("uid"), httpx.CallerOf(r))
//		if err != nil {
//			return err
//		}
//		return httpx.JSON(w, http.StatusOK, e)
//	}
//
// Three concepts carry the package:
//
//   - Mux finds the route. It reads net/http patterns and differs from http.ServeMux
//     where the recorded API does, see Mux.
//   - A caller (principal.Credentials) comes with every request; CallerOf, UserOf and
//     ServiceOf read it. Who may call what is checked by the Guard of the Mux, which
//     denies by default.
//   - Answers are either buffered, with an ETag and conditional requests (JSON,
//     JSONBytes), or streamed, without (ArrayWriter, JSONArray).
//
// The package stands on apierr and principal only, and knows nothing of boot,
// configuration, or plugins: it works under any http.Server.
package httpx
