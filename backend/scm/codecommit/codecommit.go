// Package codecommit reads repositories of AWS CodeCommit by the addresses of
// its console, for integrations.awsCodeCommit:
//
//	reader, err := scm.NewReader(integrations, scm.Options{
//		Factories: []scm.ReaderFactory{codecommit.Readers},
//	})
//
// Credentials work as in package awss3.
package codecommit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/codecommit"
	"github.com/aws/aws-sdk-go-v2/service/codecommit/types"
	"github.com/aws/smithy-go"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/scm"
	"github.com/callboard-dev/callboard/backend/scm/internal/awsauth"
)

// Readers is the scm.ReaderFactory of this package.
func Readers(env scm.Env) ([]scm.Route, error) {
	var routes []scm.Route
	for _, i := range env.Integrations.All(scm.KindAWSCodeCommit) {
		r := &reader{integration: i, config: i.Config().(*scm.AWSCodeCommitConfig), http: env.Clients.For(i, scm.Credential{}), trees: env.Trees}
		routes = append(routes, scm.Route{Kind: scm.KindAWSCodeCommit, Match: i.Matches, Reader: r})
	}
	return routes, nil
}

type reader struct {
	integration *scm.Integration
	config      *scm.AWSCodeCommitConfig
	http        *http.Client
	trees       *scm.TreeStore

	mu  sync.Mutex
	api *codecommit.Client
}

var _ scm.Reader = (*reader)(nil)

func (r *reader) client(ctx context.Context) (*codecommit.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.api != nil {
		return r.api, nil
	}
	cfg, err := awsauth.Load(ctx, awsauth.Entry{
		Region: r.config.Region, HTTP: r.http,
		AccessKeyID: r.config.AccessKeyID, SecretAccessKey: r.config.SecretAccessKey,
		RoleARN: r.config.RoleARN, ExternalID: r.config.ExternalID,
	})
	if err != nil {
		return nil, err
	}
	r.api = codecommit.NewFromConfig(cfg)
	return r.api, nil
}

// commit resolves a place's ref, or the default branch, to the commit's id.
func (r *reader) commit(ctx context.Context, c *codecommit.Client, p scm.Place, rawURL string) (string, error) {
	if ref := strings.ToLower(p.Ref); len(ref) == 40 && strings.Trim(ref, "0123456789abcdef") == "" {
		return ref, nil
	}
	ref := p.Ref
	if ref == "" {
		out, err := c.GetRepository(ctx, &codecommit.GetRepositoryInput{RepositoryName: &p.Repository})
		if err != nil {
			return "", translate(err, rawURL)
		}
		ref = aws.ToString(out.RepositoryMetadata.DefaultBranch)
	}
	out, err := c.GetBranch(ctx, &codecommit.GetBranchInput{RepositoryName: &p.Repository, BranchName: &ref})
	if err != nil {
		return "", translate(err, rawURL)
	}
	return aws.ToString(out.Branch.CommitId), nil
}

// open parses the URL and resolves its commit.
func (r *reader) open(ctx context.Context, rawURL string) (*codecommit.Client, scm.Place, string, error) {
	p, err := r.integration.Parse(rawURL)
	if err != nil {
		return nil, p, "", err
	}
	c, err := r.client(ctx)
	if err != nil {
		return nil, p, "", err
	}
	commit, err := r.commit(ctx, c, p, rawURL)
	return c, p, commit, err
}

// ReadURL reads a file; the ETag is the id of its content.
func (r *reader) ReadURL(ctx context.Context, rawURL string, opts scm.ReadOptions) (*scm.Response, error) {
	c, p, commit, err := r.open(ctx, rawURL)
	if err != nil {
		return nil, err
	}
	if p.Path == "" {
		return nil, apierr.Input.New("Incorrect URL: %s, expected the path of a file", rawURL)
	}
	out, err := c.GetFile(ctx, &codecommit.GetFileInput{RepositoryName: &p.Repository, CommitSpecifier: &commit, FilePath: &p.Path})
	if err != nil {
		return nil, translate(err, rawURL)
	}
	etag := aws.ToString(out.BlobId)
	if opts.ETag != "" && opts.ETag == etag {
		return nil, apierr.NotModified.New("%s is not modified", rawURL)
	}
	return scm.NewResponse(rawURL, etag, time.Time{}, io.NopCloser(bytes.NewReader(out.FileContent)), opts.MaxBytes), nil
}

// ReadTree reads the folders below a path; the ETag is the commit's id. Links
// and submodules are left out.
func (r *reader) ReadTree(ctx context.Context, rawURL string, opts scm.TreeOptions) (*scm.Tree, error) {
	c, p, commit, err := r.open(ctx, rawURL)
	if err != nil {
		return nil, err
	}
	if opts.ETag != "" && opts.ETag == commit {
		return nil, apierr.NotModified.New("%s is still at %s", rawURL, commit)
	}
	top := strings.Trim(p.Path, "/")
	files, err := r.list(ctx, c, p.Repository, commit, top, rawURL)
	if err != nil {
		return nil, err
	}
	return r.trees.FromEntries(commit, top, opts, func(ctx context.Context) iter.Seq2[scm.Entry, error] {
		return func(yield func(scm.Entry, error) bool) {
			for _, f := range files {
				blob, err := c.GetBlob(ctx, &codecommit.GetBlobInput{RepositoryName: &p.Repository, BlobId: f.BlobId})
				if err != nil {
					yield(scm.Entry{}, translate(err, rawURL))
					return
				}
				e := scm.Entry{Name: aws.ToString(f.AbsolutePath), Size: int64(len(blob.Content)), Open: func() (io.ReadCloser, error) {
					return io.NopCloser(bytes.NewReader(blob.Content)), nil
				}}
				if f.FileMode == types.FileModeTypeEnumExecutable {
					e.Mode = 0o755
				}
				if !yield(e, nil) {
					return
				}
			}
		}
	}), nil
}

// list walks the folders, which the API shows one at a time.
func (r *reader) list(ctx context.Context, c *codecommit.Client, repository, commit, top, rawURL string) ([]types.File, error) {
	var files []types.File
	folders := []string{"/" + top}
	for seen := 1; len(folders) > 0; {
		folder := folders[0]
		folders = folders[1:]
		out, err := c.GetFolder(ctx, &codecommit.GetFolderInput{RepositoryName: &repository, CommitSpecifier: &commit, FolderPath: &folder})
		if err != nil {
			return nil, translate(err, rawURL)
		}
		files = append(files, out.Files...)
		for _, sub := range out.SubFolders {
			folders = append(folders, aws.ToString(sub.AbsolutePath))
		}
		seen += len(out.SubFolders)
		if err := r.trees.CheckCount(seen + len(files)); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// Search reads the one file at the URL.
func (r *reader) Search(ctx context.Context, rawURL string, opts scm.SearchOptions) (*scm.SearchResult, error) {
	return scm.SearchExact(ctx, r, rawURL, opts)
}

// translate gives the SDK's errors the kinds that readers promise.
func translate(err error, rawURL string) error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return apierr.Internal.Wrap(err, "could not read %s", rawURL)
	}
	if strings.HasSuffix(api.ErrorCode(), "DoesNotExistException") {
		return apierr.NotFound.New("could not read %s, %s", rawURL, api.ErrorCode())
	}
	return apierr.Internal.Wrap(err, "could not read %s, %s", rawURL, api.ErrorCode())
}
