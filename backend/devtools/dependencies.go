package devtools

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"sync"
	"time"

	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/backend/scm"
)

// Config is the subtree devTools.
type Config struct {
	ExternalDependencies struct {
		Endpoints []Endpoint `config:"endpoints" doc:"services that the portal depends on"`
	} `config:"externalDependencies"`
}

// An Endpoint is a service that the portal depends on.
type Endpoint struct {
	Name   string `config:"name,required" doc:"what people call it"`
	Type   string `config:"type,required" oneof:"ping|fetch" doc:"how it is asked whether it is there"`
	Target string `config:"target,required" doc:"for ping the name or address of a host, for fetch a URL"`
}

// hostName is what a ping can be sent to by name: labels of letters, digits, dashes and
// underscores.
var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}[A-Za-z0-9_])?)*\.?$`)

// Validate implements config.Validator.
func (e *Endpoint) Validate() error {
	if e.Type == "ping" {
		if _, err := netip.ParseAddr(e.Target); err != nil && !hostName.MatchString(e.Target) {
			return config.At("target", errors.New("is neither the name nor the address of a host"))
		}
		return nil
	}
	u, err := url.Parse(e.Target)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return config.At("target", errors.New("is no URL with http or https"))
	case u.User != nil:
		return config.At("target", errors.New("has credentials, which no request may carry"))
	}
	return nil
}

// Health of a service.
const (
	healthy   = "Healthy"
	unhealthy = "Unhealthy"
)

// externalDependency is an element of the answer of GET /external-dependencies.
type externalDependency struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Target string `json:"target"`
	Status string `json:"status"`
	Error  string `json:"error,omitempty"`
}

const (
	// probeTimeout is how long a service may take to answer.
	probeTimeout = 5 * time.Second
	// probesAtOnce bounds how many services are asked at the same time, by all requests
	// together.
	probesAtOnce = 8
)

// A prober asks services whether they are there.
type prober struct {
	endpoints []Endpoint
	reader    scm.Reader
	turns     chan struct{}
}

// newProber allows requests to the hosts of the endpoints, which the configuration names,
// and to those of backend.reading.allow, which an endpoint may redirect to. Every hop of
// a redirect and every address is checked.
func newProber(endpoints []Endpoint, reading scm.ReadingConfig) (*prober, error) {
	allowed := scm.ReadingConfig{Allow: append([]scm.AllowEntry{}, reading.Allow...)}
	for _, e := range endpoints {
		if u, err := url.Parse(e.Target); err == nil && e.Type == "fetch" {
			allowed.Allow = append(allowed.Allow, scm.AllowEntry{Host: u.Host})
		}
	}
	reader, err := scm.NewPlainReader(allowed, nil)
	if err != nil {
		return nil, fmt.Errorf("devTools.externalDependencies: %w", err)
	}
	return &prober{endpoints, reader, make(chan struct{}, probesAtOnce)}, nil
}

func (a *api) externalDependencies(ctx context.Context) any { return a.services.all(ctx) }

// all asks every service, in the order of the configuration.
func (p *prober) all(ctx context.Context) []externalDependency {
	out := make([]externalDependency, len(p.endpoints))
	var wg sync.WaitGroup
	for i, e := range p.endpoints {
		wg.Go(func() {
			out[i] = externalDependency{e.Name, e.Type, config.MaskCredentials(e.Target), healthy, ""}
			if err := p.probe(ctx, e); err != nil {
				out[i].Status, out[i].Error = unhealthy, config.MaskCredentials(err.Error())
			}
		})
	}
	wg.Wait()
	return out
}

func (p *prober) probe(ctx context.Context, e Endpoint) error {
	select {
	case p.turns <- struct{}{}:
		defer func() { <-p.turns }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if e.Type == "ping" {
		return ping(ctx, e.Target)
	}
	res, err := p.reader.ReadURL(ctx, e.Target, scm.ReadOptions{})
	if err != nil {
		return err
	}
	return res.Body.Close()
}
