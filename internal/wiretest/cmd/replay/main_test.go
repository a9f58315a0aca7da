package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A backend without plugins is asked only for what every backend has, and its wrong answers are counted and shown.
func TestReplayPrintsFailuresAndTheSummary(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }))
	defer server.Close()
	var out strings.Builder
	err := run(t.Context(), flags{base: server.URL, only: "health", fixtures: "127.0.0.1:0", files: t.TempDir(), out: &out})
	if err == nil || err.Error() != "9 exchanges failed" {
		t.Errorf("err = %v", err)
	}
	for _, want := range []string{
		"failed: health / readiness  (GET /.backstage/health/v1/readiness)\n    status is 404, want 200\n",
		"passed deviating not yet  failed\n",
		"health                 0         0      72       9\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
}

func TestWaitPrintsTheConfigurationAndServes(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	var out, errs strings.Builder
	if err := run(ctx, flags{base: "http://127.0.0.1:7107", fixtures: "127.0.0.1:0", files: dir, wait: true, out: &out, errs: &errs}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "target: "+dir+"/templates/root.yaml") || !strings.Contains(errs.String(), "serving fixtures on http://127.0.0.1:") {
		t.Errorf("%s\n%s", out.String(), errs.String())
	}
	if _, err := os.Stat(filepath.Join(dir, "templates", "root.yaml")); err != nil {
		t.Error(err)
	}
}

func TestGroupsThatWriteComeLast(t *testing.T) {
	t.Parallel()
	groups, err := committed()
	if err != nil {
		t.Fatal(err)
	}
	if last := groups[len(groups)-1]; !strings.HasSuffix(last, "-write") || groups[0] == last {
		t.Errorf("groups in the order %q", groups)
	}
}
