package scm

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/callboard-dev/callboard/backend/apierr"
)

// An azureBlobReader reads blobs of Azure storage. An account key becomes a
// short-lived signature in the query (an account SAS) rather than a signed
// header: it does not cover conditional headers, so answers stay cacheable.
type azureBlobReader struct {
	host
	config *AzureBlobConfig
	oauth  *oauthToken
}

const (
	azureBlobVersion = "2022-11-02"
	azureBlobScope   = "https://storage.azure.com/.default"
)

func newAzureBlobReader(h host) (Reader, error) {
	return &azureBlobReader{h, h.config.(*AzureBlobConfig), &oauthToken{}}, nil
}

// access returns what a request needs: a credential, or parameters of the query.
func (r *azureBlobReader) access(ctx context.Context, token string) (Credential, string, error) {
	c := r.config
	account, key, sas := c.AccountName, c.AccountKey.Reveal(), c.SASToken.Reveal()
	for part := range strings.SplitSeq(c.ConnectionString.Reveal(), ";") {
		switch name, value, _ := strings.Cut(part, "="); name {
		case "AccountName":
			account = value
		case "AccountKey":
			key = value
		case "SharedAccessSignature":
			sas = value
		}
	}
	switch {
	case token != "":
		return BearerCredential(token), "", nil
	case sas != "":
		return Credential{ID: "sas:" + account}, strings.TrimPrefix(sas, "?"), nil
	case key != "":
		query, err := accountSAS(account, key, time.Now())
		return Credential{ID: "account:" + account}, query, err
	case c.AADCredential != nil:
		form := url.Values{
			"grant_type": {"client_credentials"}, "client_id": {c.AADCredential.ClientID},
			"client_secret": {c.AADCredential.ClientSecret.Reveal()}, "scope": {azureBlobScope},
		}
		address := azureLogin + url.PathEscape(c.AADCredential.TenantID) + "/oauth2/v2.0/token"
		cred, err := r.oauth.get(ctx, r.host, address, "app:"+c.AADCredential.ClientID, Credential{}, form)
		return cred, "", err
	}
	return Credential{}, "", nil
}

// accountSAS signs the permission to read and list blobs. It ends one to two
// hours from now, at a full hour, so that addresses stay the same for an hour.
func accountSAS(account, key string, now time.Time) (string, error) {
	secret, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		return "", apierr.Internal.New("integrations.azureBlobStorage: the key of account %s is not base64", account)
	}
	const permissions, services, resources, protocol = "rl", "b", "co", "https"
	expiry := now.UTC().Truncate(time.Hour).Add(2 * time.Hour).Format("2006-01-02T15:04:05Z")
	mac := hmac.New(sha256.New, secret)
	io.WriteString(mac, strings.Join([]string{account, permissions, services, resources, "", expiry, "", protocol, azureBlobVersion, "", ""}, "\n"))
	return url.Values{
		"sv": {azureBlobVersion}, "ss": {services}, "srt": {resources}, "sp": {permissions}, "se": {expiry}, "spr": {protocol},
		"sig": {base64.StdEncoding.EncodeToString(mac.Sum(nil))},
	}.Encode(), nil
}

// container is the address of a place's container on the URL's own host.
func (r *azureBlobReader) container(u *url.URL, p Place) string {
	return u.Scheme + "://" + u.Host + "/" + url.PathEscape(p.Name())
}

func (r *azureBlobReader) blob(ctx context.Context, cred Credential, sas, address, what string, opts ReadOptions) (*Response, error) {
	if sas != "" {
		address += "?" + sas
	}
	return r.file(ctx, cred, address, what, opts, "X-Ms-Version", azureBlobVersion)
}

// ReadURL reads a blob.
func (r *azureBlobReader) ReadURL(ctx context.Context, rawURL string, opts ReadOptions) (*Response, error) {
	u, p, err := r.takeFile(rawURL)
	if err != nil {
		return nil, err
	}
	cred, sas, err := r.access(ctx, opts.Token)
	if err != nil {
		return nil, err
	}
	return r.blob(ctx, cred, sas, r.container(u, p)+"/"+apiPath(p.Path), rawURL, opts)
}

// azureBlobList is one page of a listing.
type azureBlobList struct {
	Blobs []struct {
		Name       string
		Properties struct {
			LastModified string `xml:"Last-Modified"`
			ETag         string `xml:"Etag"`
			Size         int64  `xml:"Content-Length"`
		}
	} `xml:"Blobs>Blob"`
	NextMarker string
}

// ReadTree reads the blobs below a prefix. The ETag changes with any of them.
func (r *azureBlobReader) ReadTree(ctx context.Context, rawURL string, opts TreeOptions) (*Tree, error) {
	u, p, err := r.take(rawURL)
	if err != nil {
		return nil, err
	}
	cred, sas, err := r.access(ctx, opts.Token)
	if err != nil {
		return nil, err
	}
	prefix := DirectoryPrefix(p.Path)
	var objects []Object
	for marker := ""; ; {
		query := url.Values{"restype": {"container"}, "comp": {"list"}, "prefix": {prefix}}
		if marker != "" {
			query.Set("marker", marker)
		}
		page, err := r.page(ctx, cred, r.container(u, p)+"?"+strings.TrimSuffix(query.Encode()+"&"+sas, "&"), rawURL)
		if err != nil {
			return nil, err
		}
		for _, b := range page.Blobs {
			modified, _ := http.ParseTime(b.Properties.LastModified)
			objects = append(objects, Object{Key: b.Name, Size: b.Properties.Size, ETag: b.Properties.ETag, Modified: modified})
		}
		if err := r.trees.CheckCount(len(objects)); err != nil {
			return nil, err
		}
		if marker = page.NextMarker; marker == "" {
			break
		}
	}
	return r.trees.FromObjects(rawURL, prefix, objects, opts, func(ctx context.Context, key string) (io.ReadCloser, error) {
		// The key comes from the host; a dot segment in it would be resolved on the way.
		if err := checkSegments(key, apiPath(key)); err != nil {
			return nil, err
		}
		response, err := r.blob(ctx, cred, sas, r.container(u, p)+"/"+apiPath(key), rawURL, ReadOptions{MaxBytes: r.trees.limits.File})
		if err != nil {
			return nil, err
		}
		return response.Body, nil
	})
}

func (r *azureBlobReader) page(ctx context.Context, cred Credential, address, rawURL string) (azureBlobList, error) {
	var list azureBlobList
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	response, err := r.open(ctx, cred, address, rawURL, "X-Ms-Version", azureBlobVersion)
	if err != nil {
		return list, err
	}
	defer response.Body.Close()
	body := limitBody(response.Body, maxJSONBytes, "the listing for "+rawURL)
	if err := xml.NewDecoder(body).Decode(&list); err != nil {
		return list, apierr.Internal.Wrap(err, "could not read %s: the host's listing is no valid XML", rawURL)
	}
	return list, nil
}

// Search reads the one blob at the URL.
func (r *azureBlobReader) Search(ctx context.Context, rawURL string, opts SearchOptions) (*SearchResult, error) {
	return SearchExact(ctx, r, rawURL, opts)
}
