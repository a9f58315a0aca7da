package scmtest

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Store holds repositories: the latest commit of each branch. The first branch
// of a repository is its default branch.
type Store struct {
	mu    sync.Mutex
	repos map[string]*repository // by lower-case name
}

type repository struct {
	name          string
	defaultBranch string
	branches      map[string]Commit
	private       bool
}

// A Commit is the content of a branch.
type Commit struct {
	SHA   string
	Files map[string]string
}

// NewStore returns an empty store.
func NewStore() *Store { return &Store{repos: map[string]*repository{}} }

// Commit makes files the whole content of a branch and returns the new SHA.
func (s *Store) Commit(repo, branch string, files map[string]string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.repos[strings.ToLower(repo)]
	if r == nil {
		r = &repository{name: repo, defaultBranch: branch, branches: map[string]Commit{}}
		s.repos[strings.ToLower(repo)] = r
	}
	h := sha1.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%s\x00%s\x00", name, files[name])
	}
	fmt.Fprint(h, repo, branch)
	c := Commit{SHA: hex.EncodeToString(h.Sum(nil)), Files: maps.Clone(files)}
	r.branches[branch] = c
	return c.SHA
}

// Private hides a repository from those without a credential for it.
func (s *Store) Private(repo string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repos[strings.ToLower(repo)].private = true
}

// find returns the commit at a branch, a SHA or its beginning; the default branch
// for "" and HEAD.
func (s *Store) find(repo, ref string) (repository, Commit, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.repos[strings.ToLower(repo)]
	if r == nil {
		return repository{}, Commit{}, false
	}
	if ref == "" || ref == "HEAD" {
		ref = r.defaultBranch
	}
	ref = strings.TrimPrefix(ref, "refs/heads/")
	if c, ok := r.branches[ref]; ok {
		return *r, c, true
	}
	for _, c := range r.branches {
		if len(ref) >= 7 && strings.HasPrefix(c.SHA, ref) {
			return *r, c, true
		}
	}
	return *r, Commit{}, false
}

// BlobSHA is git's name of a file's content.
func BlobSHA(content string) string {
	sum := sha1.Sum([]byte(fmt.Sprintf("blob %d\x00%s", len(content), content)))
	return hex.EncodeToString(sum[:])
}

var committed = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// TarGz packs the files below dir under the directory top; an empty top packs
// them bare.
func (c Commit) TarGz(top, dir string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	if top != "" {
		w.WriteHeader(&tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": c.SHA}})
		w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: top + "/", Mode: 0o755, ModTime: committed})
	}
	for _, name := range c.below(dir) {
		content := c.Files[name]
		w.WriteHeader(&tar.Header{Name: path.Join(top, name), Mode: 0o644, Size: int64(len(content)), ModTime: committed})
		w.Write([]byte(content))
	}
	w.Close()
	z.Close()
	return b.Bytes()
}

// Zip packs the files below dir, named relative to dir's parent.
func (c Commit) Zip(dir string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	parent := path.Dir(strings.Trim(dir, "/"))
	for _, name := range c.below(dir) {
		f, err := w.Create(strings.TrimPrefix(name, parent+"/"))
		if err == nil {
			f.Write([]byte(c.Files[name]))
		}
	}
	w.Close()
	return b.Bytes()
}

func (c Commit) below(dir string) []string {
	dir = strings.Trim(dir, "/")
	var names []string
	for _, name := range slices.Sorted(maps.Keys(c.Files)) {
		if dir == "" || strings.HasPrefix(name, dir+"/") {
			names = append(names, name)
		}
	}
	return names
}
