// Package awss3 reads objects of Amazon S3, and of servers that speak its
// protocol, for integrations.awsS3:
//
//	reader, err := scm.NewReader(integrations, scm.Options{
//		Factories: []scm.ReaderFactory{awss3.Readers},
//	})
//
// Credentials of an entry are its keys, or else those of the process (environment,
// shared files, container, instance); with roleArn, that role is assumed with
// them. They are looked up at the first read.
package awss3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/scm"
	"github.com/callboard-dev/callboard/backend/scm/internal/awsauth"
)

// Readers is the scm.ReaderFactory of this package.
func Readers(env scm.Env) ([]scm.Route, error) {
	var routes []scm.Route
	for _, i := range env.Integrations.All(scm.KindAWSS3) {
		r := &reader{integration: i, config: i.Config().(*scm.AWSS3Config), http: env.Clients.For(i, scm.Credential{}), trees: env.Trees, clients: map[string]*s3.Client{}}
		routes = append(routes, scm.Route{Kind: scm.KindAWSS3, Match: i.Matches, Reader: r})
	}
	return routes, nil
}

type reader struct {
	integration *scm.Integration
	config      *scm.AWSS3Config
	http        *http.Client
	trees       *scm.TreeStore

	mu      sync.Mutex
	clients map[string]*s3.Client // by region
}

var _ scm.Reader = (*reader)(nil)

// defaultRegion is where the protocol's servers of others think they are.
const defaultRegion = "us-east-1"

// client returns the client of the region that the URL names.
func (r *reader) client(ctx context.Context, rawURL string) (*s3.Client, error) {
	region := r.integration.S3Region(rawURL)
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.clients[region]; c != nil {
		return c, nil
	}
	cfg, err := awsauth.Load(ctx, awsauth.Entry{
		Region: region, DefaultRegion: defaultRegion, HTTP: r.http,
		AccessKeyID: r.config.AccessKeyID, SecretAccessKey: r.config.SecretAccessKey,
		RoleARN: r.config.RoleARN, ExternalID: r.config.ExternalID,
	})
	if err != nil {
		return nil, err
	}
	c := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = r.config.ForcePathStyle
		o.Retryer = aws.NopRetryer{} // the shared clients repeat requests themselves
		if r.config.Endpoint != "https://amazonaws.com" {
			o.BaseEndpoint = aws.String(r.config.Endpoint)
			o.UsePathStyle = true // a bucket in the host's name needs DNS that such servers rarely have
			o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
			o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		}
	})
	r.clients[region] = c
	return c, nil
}

// ReadURL reads an object. A token of the caller's has no meaning here.
func (r *reader) ReadURL(ctx context.Context, rawURL string, opts scm.ReadOptions) (*scm.Response, error) {
	p, err := r.integration.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	if p.Path == "" {
		return nil, apierr.Input.New("Incorrect URL: %s, expected the key of an object", rawURL)
	}
	c, err := r.client(ctx, rawURL)
	if err != nil {
		return nil, err
	}
	in := &s3.GetObjectInput{Bucket: &p.Repository, Key: &p.Path}
	if opts.ETag != "" {
		in.IfNoneMatch = &opts.ETag
	}
	if !opts.LastModifiedAfter.IsZero() {
		in.IfModifiedSince = &opts.LastModifiedAfter
	}
	out, err := c.GetObject(ctx, in)
	if err != nil {
		return nil, translate(err, rawURL)
	}
	return scm.NewResponse(rawURL, aws.ToString(out.ETag), aws.ToTime(out.LastModified), out.Body, opts.MaxBytes), nil
}

// ReadTree reads the objects below a prefix.
func (r *reader) ReadTree(ctx context.Context, rawURL string, opts scm.TreeOptions) (*scm.Tree, error) {
	p, err := r.integration.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	c, err := r.client(ctx, rawURL)
	if err != nil {
		return nil, err
	}
	prefix := scm.DirectoryPrefix(p.Path)
	var objects []scm.Object
	pages := s3.NewListObjectsV2Paginator(c, &s3.ListObjectsV2Input{Bucket: &p.Repository, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, translate(err, rawURL)
		}
		for _, o := range page.Contents {
			objects = append(objects, scm.Object{Key: aws.ToString(o.Key), Size: aws.ToInt64(o.Size), ETag: aws.ToString(o.ETag), Modified: aws.ToTime(o.LastModified)})
		}
		if err := r.trees.CheckCount(len(objects)); err != nil {
			return nil, err
		}
	}
	return r.trees.FromObjects(rawURL, prefix, objects, opts, func(ctx context.Context, key string) (io.ReadCloser, error) {
		out, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: &p.Repository, Key: &key})
		if err != nil {
			return nil, translate(err, rawURL)
		}
		return out.Body, nil
	})
}

// Search reads the one object at the URL.
func (r *reader) Search(ctx context.Context, rawURL string, opts scm.SearchOptions) (*scm.SearchResult, error) {
	return scm.SearchExact(ctx, r, rawURL, opts)
}

// translate gives the SDK's errors the kinds that readers promise, and leaves
// out the request ids and host ids of its messages.
func translate(err error, rawURL string) error {
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) {
		switch status := response.HTTPStatusCode(); status {
		case http.StatusNotModified:
			return apierr.NotModified.New("%s is not modified", rawURL)
		case http.StatusNotFound:
			return apierr.NotFound.New("could not read %s, 404 Not Found", rawURL)
		default:
			var api smithy.APIError
			if errors.As(err, &api) && api.ErrorCode() != "" {
				return apierr.Internal.Wrap(err, "could not read %s, %d %s", rawURL, status, api.ErrorCode())
			}
			return apierr.Internal.Wrap(err, "could not read %s, %d %s", rawURL, status, http.StatusText(status))
		}
	}
	return apierr.Internal.Wrap(err, "could not read %s", rawURL)
}
