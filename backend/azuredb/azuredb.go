// Package azuredb signs in to Azure Database for PostgreSQL with Microsoft Entra ID instead
// of a password:
//
//	backend.Add(azuredb.Module())
//
//	backend:
//	  database:
//	    client: pg
//	    connection:
//	      type: azure
//	      host: portal.postgres.database.azure.com
//	      user: portal # the name of the identity in the server
//	      ssl: true
//	      tokenCredential: # all of it may be absent
//	        clientId: 00000000-0000-0000-0000-000000000000
//	        tenantId: 00000000-0000-0000-0000-000000000000
//	        clientSecret: ${AZURE_CLIENT_SECRET}
//	        tokenRenewableOffsetTime: { minutes: 5 }
//
// With clientSecret, the process is that application. Without, it is what the first of
// these says: the variables AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET; a
// workload identity of Kubernetes (AZURE_FEDERATED_TOKEN_FILE); the managed identity of App
// Service (IDENTITY_ENDPOINT); the managed identity of the machine. clientId chooses among
// identities.
//
// A token serves all connections until shortly before its end: tokenRenewableOffsetTime, or
// five minutes. The server does not end connections that are open by then.
package azuredb

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/db"
)

// Module adds the connection type azure.
func Module() backend.Feature {
	return newModule(endpoints{login: "https://login.microsoftonline.com", machine: "http://169.254.169.254"}, os.Getenv)
}

func newModule(at endpoints, getenv func(string) string) backend.Feature {
	s := &sources{at: at, getenv: getenv, now: time.Now, known: map[db.TokenCredential]*source{}}
	return backend.NewService(backend.DatabaseConnectionOption("azure", s.open))
}

// sources gives connections that sign in as the same identity the same tokens.
type sources struct {
	at     endpoints
	getenv func(string) string
	now    func() time.Time

	mu    sync.Mutex
	known map[db.TokenCredential]*source
}

// renewBefore is how long before its end a token is renewed by default.
const renewBefore = 5 * time.Minute

func (s *sources) open(c db.Connection) (db.TokenSource, error) {
	t := c.TokenCredential
	if !t.ClientSecret.IsZero() && (t.ClientID == "" || t.TenantID == "") {
		return nil, errors.New("tokenCredential.clientSecret is of an application: clientId and tenantId are missing beside it")
	}
	if t.TokenRenewableOffsetTime < 0 {
		return nil, errors.New("tokenCredential.tokenRenewableOffsetTime is negative")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.known[t]
	if one == nil {
		early := t.TokenRenewableOffsetTime.Std()
		if early == 0 {
			early = renewBefore
		}
		one = &source{fetch: newIdentity(s.at, t, s.getenv).token, early: early, now: s.now, lock: make(chan struct{}, 1)}
		s.known[t] = one
	}
	return one, nil
}

// source keeps the token of one identity. It is safe for concurrent use.
type source struct {
	fetch func(ctx context.Context) (token string, expires time.Time, err error)
	early time.Duration
	now   func() time.Time

	lock    chan struct{} // held while token and expires are read, and while a token is fetched
	token   string
	expires time.Time
}

var _ db.TokenSource = (*source)(nil)

// BeforeConnect implements db.TokenSource.
func (s *source) BeforeConnect(ctx context.Context, c *db.ConnConfig) error {
	if err := db.NeedsTLS(c); err != nil {
		return err
	}
	select {
	case s.lock <- struct{}{}:
		defer func() { <-s.lock }()
	case <-ctx.Done():
		return ctx.Err()
	}
	now := s.now()
	if s.token == "" || !now.Before(s.expires.Add(-s.early)) {
		token, expires, err := s.fetch(ctx)
		switch {
		case err == nil:
			s.token, s.expires = token, expires
		case s.token == "" || !now.Before(s.expires):
			return err
		} // else the token that is there still works
	}
	c.Password = s.token
	return nil
}
