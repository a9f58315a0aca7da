package scm

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"slices"
	"time"
)

// An Object is one object of a bucket, as a listing shows it.
type Object struct {
	Key      string
	Size     int64
	ETag     string
	Modified time.Time
}

// FromObjects makes a tree of the objects of a bucket whose keys start with
// prefix, which must be empty or end with a slash; keys of other prefixes are
// ignored, whatever the listing says. The content is read with open when it is
// asked for. What names the URL. The tree's ETag is derived from all keys and
// ETags; if it is opts.ETag the error is apierr.NotModified.
func (s *TreeStore) FromObjects(what, prefix string, objects []Object, opts TreeOptions, open func(ctx context.Context, key string) (io.ReadCloser, error)) (*Tree, error) {
	etag := etagOf(objects)
	if err := unchanged(opts.ETag, etag, what); err != nil {
		return nil, err
	}
	return s.FromEntries(etag, "", opts, objectEntries(prefix, objects, open)), nil
}

// CheckCount is the error for a listing of more entries than a tree may have.
func (s *TreeStore) CheckCount(n int) error {
	if n > s.limits.Entries {
		return exceeded("entries", int64(s.limits.Entries))
	}
	return nil
}

// etagOf is one ETag for many objects, in whatever order they were listed.
func etagOf(objects []Object) string {
	sorted := slices.SortedFunc(slices.Values(objects), func(a, b Object) int { return cmp.Compare(a.Key, b.Key) })
	h := sha256.New()
	for _, o := range sorted {
		io.WriteString(h, o.Key+"\x00"+o.ETag+"\x00")
	}
	return hex.EncodeToString(h.Sum(nil)[:20])
}
