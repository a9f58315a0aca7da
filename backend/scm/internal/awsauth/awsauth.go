// Package awsauth makes the configuration of the AWS SDK from an integration's
// entry. It is the one place of package scm's tree that knows the credential
// chain.
package awsauth

import (
	"context"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/callboard-dev/callboard/backend/apierr"
	secrets "github.com/callboard-dev/callboard/backend/config"
)

// An Entry is what the entries of integrations.awsS3 and awsCodeCommit share.
type Entry struct {
	Region        string // as the URL or the entry names it; may be empty
	DefaultRegion string // if nothing else names one
	HTTP          *http.Client

	AccessKeyID     string
	SecretAccessKey secrets.Secret
	RoleARN         string
	ExternalID      string
}

// Load returns the SDK's configuration. Keys are revealed for each signature, so
// that a key from a file can change; the role's credentials are cached by the SDK.
// Identity services are asked with the SDK's own client, since e.HTTP is for the
// hosts of one integration.
func Load(ctx context.Context, e Entry) (aws.Config, error) {
	var options []func(*config.LoadOptions) error
	if e.Region != "" {
		options = append(options, config.WithRegion(e.Region))
	}
	if e.AccessKeyID != "" {
		options = append(options, config.WithCredentialsProvider(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: e.AccessKeyID, SecretAccessKey: e.SecretAccessKey.Reveal(), Source: "app-config"}, nil
		})))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return cfg, apierr.Internal.Wrap(err, "load the AWS configuration of the process")
	}
	if cfg.Region == "" {
		cfg.Region = e.DefaultRegion
	}
	if e.RoleARN != "" {
		role := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), e.RoleARN, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = "callboard"
			if e.ExternalID != "" {
				o.ExternalID = aws.String(e.ExternalID)
			}
		})
		cfg.Credentials = aws.NewCredentialsCache(role)
	}
	cfg.HTTPClient = e.HTTP
	return cfg, nil
}
