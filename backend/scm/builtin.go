package scm

const gcsAPIHost = "storage.googleapis.com"

// builtin are the factories of the readers that need nothing but net/http.
func builtin() []ReaderFactory {
	return []ReaderFactory{
		routes(KindGitHub, newGitHubReader),
	}
}
