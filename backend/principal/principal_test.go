package principal_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/callboard-dev/callboard/backend/principal"
)

func TestTokensDoNotPrint(t *testing.T) {
	t.Parallel()
	c := principal.Credentials{Principal: principal.User{Ref: "user:default/alice"}}.WithToken("canary", time.Now())
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "creds", c)
	for _, s := range []string{fmt.Sprint(c), fmt.Sprintf("%v %+v %#v %s", c, c, c, c), log.String()} {
		if strings.Contains(s, "canary") || !strings.Contains(s, "user:default/alice") {
			t.Errorf("credentials print as %q", s)
		}
	}
}

func TestZeroCredentialsAreNobody(t *testing.T) {
	t.Parallel()
	var c principal.Credentials
	if c.Type() != principal.TypeNone || c.String() != "none" {
		t.Errorf("got %s %s", c.Type(), c)
	}
	if _, ok := c.User(); ok {
		t.Error("nobody is a user")
	}
}

func TestRestrictions(t *testing.T) {
	t.Parallel()
	r := principal.Restrict(
		principal.AccessRestriction{Plugin: "catalog", Permissions: []string{"catalog.entity.read"}},
		principal.AccessRestriction{Plugin: "scaffolder", Actions: []string{"read"}},
		principal.AccessRestriction{Plugin: "search"},
	)
	for _, tt := range []struct {
		plugin, permission, action string
		callable, permitted        bool
	}{
		{"catalog", "catalog.entity.read", "read", true, true},
		{"catalog", "catalog.entity.delete", "delete", true, false},
		{"scaffolder", "scaffolder.task.read", "read", true, true},
		{"scaffolder", "scaffolder.task.create", "create", true, false},
		{"scaffolder", "scaffolder.action.execute", "", true, false},
		{"search", "anything", "", true, true},
		{"auth", "anything", "", false, true},
	} {
		got, ok := r.For(tt.plugin)
		if ok != tt.callable || ok && got.Permits(tt.permission, tt.action) != tt.permitted {
			t.Errorf("%+v: callable %v, permitted %v", tt, ok, got.Permits(tt.permission, tt.action))
		}
	}
	var none *principal.AccessRestrictions
	if _, ok := none.For("anything"); !ok {
		t.Error("no restrictions restrict something")
	}
	if _, ok := principal.Restrict().For("anything"); ok {
		t.Error("an empty list lets something be called")
	}
}
