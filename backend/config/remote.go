package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	defaultPoll    = 60 * time.Second
	defaultTimeout = 30 * time.Second
)

// fetch reads a configuration from a web address.
func fetch(ctx context.Context, remote *Remote, target string) ([]byte, error) {
	shown := shownURL(target)
	if remote == nil {
		return nil, fmt.Errorf("--config %s is a URL, and reading configuration from URLs is not switched on: set config.Sources.Remote, or name a file", shown)
	}
	client := remote.Client
	if client == nil {
		client = &http.Client{Timeout: defaultTimeout}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, fmt.Errorf("--config %s is not a valid URL", shown)
	}
	resp, err := client.Do(req)
	if err != nil {
		// The library repeats the address, with the credentials it may contain.
		var urlErr *url.Error
		if errors.As(err, &urlErr) {
			err = urlErr.Err
		}
		return nil, fmt.Errorf("read configuration from %s: %w", shown, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read configuration from %s: the server answered %s", shown, resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration from %s: %w", shown, err)
	}
	return data, nil // parseYAML refuses what is too large
}

// shownURL leaves out the parts of an address that may be secret.
func shownURL(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return "URL"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// poll is how often to ask for a new version.
func (r *Remote) poll() time.Duration {
	if r == nil || r.Poll <= 0 {
		return defaultPoll
	}
	return r.Poll
}

func isURL(target string) bool {
	return strings.HasPrefix(target, "http://") || strings.HasPrefix(target, "https://")
}
