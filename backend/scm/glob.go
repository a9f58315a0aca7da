package scm

import (
	"context"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// isGlob reports whether a decoded path is a pattern. Brackets are not special:
// they occur in the names of real files.
func isGlob(path string) bool { return strings.ContainsAny(path, "*?{") }

// compileGlob returns the matcher of a decoded pattern.
func compileGlob(pattern string) (func(string) bool, error) {
	escaped := strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`).Replace(pattern)
	if !doublestar.ValidatePattern(escaped) {
		return nil, apierr.Input.New("%q is not a valid pattern: expected *, **, ? and {a,b}", pattern)
	}
	return func(path string) bool { return doublestar.MatchUnvalidated(escaped, path) }, nil
}

// maxSearchBytes bounds the contents of one search that are kept in memory.
const maxSearchBytes = 256 << 20

// searchTree finds the files of a whole repository that match, keeps their
// contents, and closes the tree. Address makes a file's URL.
func searchTree(ctx context.Context, tree *Tree, match func(string) bool, maxBytes int64, address func(string) string) (*SearchResult, error) {
	defer tree.Close()
	result := &SearchResult{ETag: tree.ETag}
	total := int64(0)
	for f, err := range tree.Files(ctx) {
		if err != nil {
			return nil, err
		}
		if !match(f.Path) {
			continue
		}
		if f.Size > maxBytes {
			return nil, tooLarge(f.Path, maxBytes)
		}
		if total += f.Size; total > maxSearchBytes {
			return nil, tooLarge("what the pattern matches", maxSearchBytes)
		}
		content, err := readFile(f)
		if err != nil {
			return nil, err
		}
		read := func(context.Context) ([]byte, error) { return content, nil }
		result.Files = append(result.Files, NewSearchFile(address(f.Path), f.Modified, read))
	}
	sortFiles(result.Files)
	return result, nil
}

func readFile(f TreeFile) ([]byte, error) {
	content, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer content.Close()
	return io.ReadAll(limitBody(content, f.Size, f.Path))
}

// searchRepository is the search of hosts that give archives: everything at the
// URL's ref, matched here. Whole is the tree of the repository's root.
func searchRepository(ctx context.Context, h host, r Reader, rawURL string, opts SearchOptions, whole func(*url.URL, Place, TreeOptions) (*Tree, error)) (*SearchResult, error) {
	u, p, err := h.take(rawURL)
	if err != nil {
		return nil, err
	}
	if !isGlob(p.Path) {
		return SearchOne(ctx, r, rawURL, opts)
	}
	match, err := compileGlob(p.Path)
	if err != nil {
		return nil, err
	}
	tree, err := whole(u, p, TreeOptions{ETag: opts.ETag, Token: opts.Token, Filter: filterOf(match)})
	if isNotFound(err) {
		return &SearchResult{}, nil
	}
	if err != nil {
		return nil, err
	}
	return searchTree(ctx, tree, match, opts.read().maxBytes(), func(path string) string { return h.fileURL(p, u, path) })
}

// fileURL is the URL of another file of the same repository and ref.
func (i *Integration) fileURL(p Place, u *url.URL, path string) string {
	if i.kind == KindAzure {
		return withQuery(u, [2]string{"path", "/" + path})
	}
	return p.urlOf(u, path)
}

func sortFiles(files []SearchFile) {
	slices.SortFunc(files, func(a, b SearchFile) int { return strings.Compare(a.URL, b.URL) })
}
