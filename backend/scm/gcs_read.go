package scm

import (
	"context"
	"io"
	"iter"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// A gcsReader reads objects of Google Cloud Storage through its JSON API: with
// the configured service account, or anonymously what is public.
type gcsReader struct {
	host
	config *GoogleGCSConfig
	token  *oauthToken
}

const (
	gcsAPIHost = "storage.googleapis.com"
	gcsAPI     = "https://" + gcsAPIHost + "/storage/v1"
	gcsScope   = "https://www.googleapis.com/auth/devstorage.read_only"
	gcsOAuth   = "https://oauth2.googleapis.com/token"
)

func newGCSReader(h host) (Reader, error) {
	return &gcsReader{h, h.config.(*GoogleGCSConfig), &oauthToken{}}, nil
}

func (r *gcsReader) credential(ctx context.Context, token string) (Credential, error) {
	if token != "" {
		return BearerCredential(token), nil
	}
	if r.config.ClientEmail == "" {
		return Credential{}, nil
	}
	return r.token.getWith(ctx, r.host, gcsOAuth, "account:"+r.config.ClientEmail, Credential{}, r.assertion)
}

// assertion signs the grant that is exchanged for a token.
func (r *gcsReader) assertion() (url.Values, error) {
	key, err := parsePrivateKey(r.config.PrivateKey.Reveal())
	if err != nil {
		return nil, apierr.Internal.Wrap(err, "integrations.googleGcs.privateKey: %v", err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	signed, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: r.config.ClientEmail, Audience: jwt.Audience{gcsOAuth},
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Hour)),
	}).Claims(map[string]any{"scope": gcsScope}).Serialize()
	if err != nil {
		return nil, err
	}
	return url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {signed}}, nil
}

func (r *gcsReader) object(p Place, key string) string {
	return gcsAPI + "/b/" + url.PathEscape(p.Repository) + "/o/" + url.PathEscape(key) + "?alt=media"
}

// ReadURL reads an object.
func (r *gcsReader) ReadURL(ctx context.Context, rawURL string, opts ReadOptions) (*Response, error) {
	_, p, err := r.takeFile(rawURL)
	if err != nil {
		return nil, err
	}
	cred, err := r.credential(ctx, opts.Token)
	if err != nil {
		return nil, err
	}
	return r.file(ctx, cred, r.object(p, p.Path), rawURL, opts)
}

type gcsObject struct {
	Name    string    `json:"name"`
	Size    string    `json:"size"`
	ETag    string    `json:"etag"`
	Updated time.Time `json:"updated"`
}

// list returns all objects whose keys start with prefix.
func (r *gcsReader) list(ctx context.Context, cred Credential, p Place, prefix, rawURL string) ([]gcsObject, error) {
	var all []gcsObject
	query := url.Values{"prefix": {prefix}, "fields": {"items(name,size,etag,updated),nextPageToken"}}
	for {
		var page struct {
			Items         []gcsObject `json:"items"`
			NextPageToken string      `json:"nextPageToken"`
		}
		if _, err := r.json(ctx, cred, gcsAPI+"/b/"+url.PathEscape(p.Repository)+"/o?"+query.Encode(), rawURL, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if page.NextPageToken == "" {
			return all, nil
		}
		if err := r.trees.CheckCount(len(all)); err != nil {
			return nil, err
		}
		query.Set("pageToken", page.NextPageToken)
	}
}

// ReadTree reads the objects below a prefix. The ETag changes with any of them.
func (r *gcsReader) ReadTree(ctx context.Context, rawURL string, opts TreeOptions) (*Tree, error) {
	p, err := r.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	cred, err := r.credential(ctx, opts.Token)
	if err != nil {
		return nil, err
	}
	prefix := DirectoryPrefix(p.Path)
	found, err := r.list(ctx, cred, p, prefix, rawURL)
	if err != nil {
		return nil, err
	}
	objects := make([]Object, 0, len(found))
	for _, o := range found {
		size, _ := strconv.ParseInt(o.Size, 10, 64)
		objects = append(objects, Object{Key: o.Name, Size: size, ETag: o.ETag, Modified: o.Updated})
	}
	return r.trees.FromObjects(rawURL, prefix, objects, opts, func(ctx context.Context, key string) (io.ReadCloser, error) {
		response, err := r.file(ctx, cred, r.object(p, key), rawURL, ReadOptions{MaxBytes: r.trees.limits.File})
		if err != nil {
			return nil, err
		}
		return response.Body, nil
	})
}

// Search lists the objects whose keys start with what stands before the "*" at
// the end of the URL; the contract knows no other pattern here.
func (r *gcsReader) Search(ctx context.Context, rawURL string, opts SearchOptions) (*SearchResult, error) {
	u, p, err := r.take(rawURL)
	if err != nil {
		return nil, err
	}
	if !isGlob(p.Path) {
		return SearchOne(ctx, r, rawURL, opts)
	}
	prefix, ok := strings.CutSuffix(p.Path, "*")
	if !ok || isGlob(prefix) {
		return nil, apierr.Input.New("cannot search %s: Google Cloud Storage finds by prefix only, so the pattern is one * at the end", rawURL)
	}
	cred, err := r.credential(ctx, opts.Token)
	if err != nil {
		return nil, err
	}
	found, err := r.list(ctx, cred, p, prefix, rawURL)
	if err != nil {
		return nil, err
	}
	result := &SearchResult{}
	var objects []Object
	for _, o := range found {
		objects = append(objects, Object{Key: o.Name, ETag: o.ETag})
		file := p.urlOf(u, o.Name)
		address := r.object(p, o.Name)
		result.Files = append(result.Files, NewSearchFile(file, o.Updated, func(ctx context.Context) ([]byte, error) {
			response, err := r.file(ctx, cred, address, file, ReadOptions{MaxBytes: opts.MaxBytes})
			if err != nil {
				return nil, err
			}
			return response.Bytes()
		}))
	}
	result.ETag = etagOf(objects)
	sortFiles(result.Files)
	return result, unchanged(opts.ETag, result.ETag, rawURL)
}

// DirectoryPrefix is the prefix of everything below a directory: "docs" does not
// include "docs-internal/x".
func DirectoryPrefix(path string) string {
	if path == "" || strings.HasSuffix(path, "/") {
		return path
	}
	return path + "/"
}

// objectEntries lists objects as entries, named relative to prefix. The marker
// objects that some tools make for directories are directories.
func objectEntries(prefix string, objects []Object, open func(context.Context, string) (io.ReadCloser, error)) func(context.Context) iter.Seq2[Entry, error] {
	return func(ctx context.Context) iter.Seq2[Entry, error] {
		return func(yield func(Entry, error) bool) {
			for _, o := range objects {
				name, ok := strings.CutPrefix(o.Key, prefix)
				if !ok || name == "" {
					continue
				}
				e := Entry{Name: name, Size: o.Size, Modified: o.Modified, Open: func() (io.ReadCloser, error) { return open(ctx, o.Key) }}
				if strings.HasSuffix(name, "/") {
					e.Type = Directory
				}
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}
