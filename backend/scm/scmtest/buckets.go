package scmtest

import (
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Buckets are the objects of buckets: bucket → key → content. They serve a page
// of two keys at a time, whatever is asked for.
type Buckets map[string]map[string]string

const bucketPage = 2

// page returns the keys after start that have the prefix, and where the next
// page starts.
func (b Buckets) page(bucket, prefix, start string) (keys []string, next string) {
	for _, key := range slices.Sorted(maps.Keys(b[bucket])) {
		if !strings.HasPrefix(key, prefix) || key <= start && start != "" {
			continue
		}
		if len(keys) == bucketPage {
			return keys, keys[bucketPage-1]
		}
		keys = append(keys, key)
	}
	return keys, ""
}

func (b Buckets) object(w http.ResponseWriter, r *http.Request, bucket, key string) bool {
	content, ok := b[bucket][key]
	if ok {
		w.Header().Set("Last-Modified", committed.Format(http.TimeFormat))
		text(w, r, Commit{Files: map[string]string{key: content}}, true, key)
	}
	return ok
}

// NewS3 answers in path style for requests that are signed with the given key id,
// or for all if it is empty.
func NewS3(b Buckets, accessKeyID string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fail := func(status int, code string) {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(status)
			fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
		}
		if accessKeyID != "" && !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential="+accessKeyID+"/") {
			fail(http.StatusForbidden, "AccessDenied")
			return
		}
		bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if key != "" {
			if !b.object(w, r, bucket, key) {
				fail(http.StatusNotFound, "NoSuchKey")
			}
			return
		}
		q := r.URL.Query()
		keys, next := b.page(bucket, q.Get("prefix"), q.Get("continuation-token"))
		type object struct {
			Key, LastModified, ETag string
			Size                    int
		}
		var out struct {
			XMLName               xml.Name `xml:"ListBucketResult"`
			IsTruncated           bool
			NextContinuationToken string `xml:",omitempty"`
			Contents              []object
		}
		out.IsTruncated, out.NextContinuationToken = next != "", next
		for _, k := range keys {
			content := b[bucket][k]
			out.Contents = append(out.Contents, object{k, committed.Format("2006-01-02T15:04:05.000Z"), `"` + BlobSHA(content) + `"`, len(content)})
		}
		w.Header().Set("Content-Type", "application/xml")
		_ = xml.NewEncoder(w).Encode(out)
	})
}

// NewGCS answers for storage.googleapis.com.
func NewGCS(b Buckets, token string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /storage/v1/b/{bucket}/o/{key}", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("alt") != "media" || !b.object(w, r, r.PathValue("bucket"), r.PathValue("key")) {
			http.NotFound(w, r)
		}
	})
	mux.HandleFunc("GET /storage/v1/b/{bucket}/o", func(w http.ResponseWriter, r *http.Request) {
		bucket, q := r.PathValue("bucket"), r.URL.Query()
		keys, next := b.page(bucket, q.Get("prefix"), q.Get("pageToken"))
		items := []any{}
		for _, k := range keys {
			content := b[bucket][k]
			items = append(items, map[string]any{"name": k, "size": strconv.Itoa(len(content)), "etag": BlobSHA(content), "updated": committed})
		}
		answer(w, true, map[string]any{"items": items, "nextPageToken": next})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if token != "" && bearer(r) != token {
			http.Error(w, "Anonymous caller does not have access", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// NewAzureBlob answers for one account, if permitted accepts the request's query.
func NewAzureBlob(b Buckets, permitted func(query map[string][]string) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if !permitted(q) || r.Header.Get("X-Ms-Version") == "" {
			http.Error(w, "<Error><Code>AuthenticationFailed</Code></Error>", http.StatusForbidden)
			return
		}
		container, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if key != "" {
			if !b.object(w, r, container, key) {
				http.Error(w, "<Error><Code>BlobNotFound</Code></Error>", http.StatusNotFound)
			}
			return
		}
		keys, next := b.page(container, q.Get("prefix"), q.Get("marker"))
		type properties struct {
			LastModified string `xml:"Last-Modified"`
			ETag         string `xml:"Etag"`
			Size         int    `xml:"Content-Length"`
		}
		type blob struct {
			Name       string
			Properties properties
		}
		var out struct {
			XMLName    xml.Name `xml:"EnumerationResults"`
			Blobs      []blob   `xml:"Blobs>Blob"`
			NextMarker string
		}
		out.NextMarker = next
		for _, k := range keys {
			content := b[container][k]
			out.Blobs = append(out.Blobs, blob{k, properties{committed.Format(http.TimeFormat), "0x" + BlobSHA(content)[:15], len(content)}})
		}
		w.Header().Set("Content-Type", "application/xml")
		_ = xml.NewEncoder(w).Encode(out)
	})
}
