package wiretest

import (
	"context"
	"fmt"
)

// Installed asks the backend at base which of the recorded plugins it has: the backend itself answers 404 without a
// body below /api/ID where there is none. The signals plugin answers so too and is not found;
// name it to Options.Installed.
func Installed(ctx context.Context, base string) ([]string, error) {
	c, err := newClient(base)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, id := range plugins {
		answer := c.send(ctx, Request{Method: "GET", Path: "/api/" + id + "/some/path"}, 0)
		if answer.status == 0 {
			return nil, fmt.Errorf("%s: %s", base, answer.body)
		}
		if answer.status != 404 || len(answer.body) > 0 {
			out = append(out, id)
		}
	}
	return out, nil
}
