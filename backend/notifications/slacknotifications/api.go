package slacknotifications

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/callboard-dev/callboard/backend/notifications/internal/pace"
)

const (
	apiTimeout = 30 * time.Second
	maxAnswer  = 1 << 20
	// longestHold is how long a call waits because Slack has said so; after that it fails, and
	// the delivery comes again.
	longestHold = 2 * time.Minute
	holdTries   = 3
)

// api calls the methods of one workspace.
type api struct {
	base  string // https://slack.com/api
	token string
	http  *http.Client
	pace  *pace.Pace
}

// A failure is an answer of Slack that is not ok.
type failure struct{ method, code string }

func (f *failure) Error() string { return "slack: " + f.method + ": " + f.code }

// hopeless are the codes that say something about a user or a channel, and so will be the
// same the next time.
func (f *failure) hopeless() bool {
	switch f.code {
	case "users_not_found", "user_not_found", "user_not_visible", "channel_not_found", "not_in_channel", "is_archived", "cannot_dm_bot", "messages_tab_disabled",
		"restricted_action", "msg_too_long", "no_text", "invalid_blocks":
		return true
	}
	return false
}

// post is chat.postMessage.
func (a *api) post(ctx context.Context, message any) error {
	body, err := json.Marshal(message)
	if err != nil {
		return err
	}
	return a.call(ctx, http.MethodPost, "chat.postMessage", nil, body, nil)
}

// lookup is users.lookupByEmail: the id of a user.
func (a *api) lookup(ctx context.Context, email string) (string, error) {
	var answer struct {
		User struct {
			ID string `json:"id"`
		} `json:"user"`
	}
	err := a.call(ctx, http.MethodGet, "users.lookupByEmail", url.Values{"email": {email}}, nil, &answer)
	return answer.User.ID, err
}

// call waits for its turn, and as long as Slack says when there are too many calls.
func (a *api) call(ctx context.Context, method, name string, query url.Values, body []byte, into any) error {
	for try := 1; ; try++ {
		wait, err := a.once(ctx, method, name, query, body, into)
		if wait == 0 {
			return err
		}
		a.pace.Hold(wait) // the other calls, too
		if wait > longestHold || try == holdTries {
			return err
		}
	}
}

func (a *api) once(ctx context.Context, method, name string, query url.Values, body []byte, into any) (wait time.Duration, err error) {
	end, err := a.pace.Begin(ctx)
	if err != nil {
		return 0, err
	}
	defer end()
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	target := a.base + "/" + name
	if query != nil {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	res, err := a.http.Do(req)
	if err != nil {
		return 0, fmt.Errorf("slack: %s: %w", name, err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusTooManyRequests {
		seconds, err := strconv.Atoi(res.Header.Get("Retry-After"))
		if err != nil || seconds < 1 {
			seconds = 1
		}
		return time.Duration(seconds) * time.Second, &failure{name, "ratelimited"}
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return 0, fmt.Errorf("slack: %s: %w", name, err)
	}
	var answer struct {
		OK    bool   `json:"ok"`
		Error string `json:"error"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("slack: %s: status %d", name, res.StatusCode)
	}
	if !answer.OK {
		return 0, &failure{name, answer.Error}
	}
	if into != nil {
		err = json.Unmarshal(text, into)
	}
	return 0, err
}
