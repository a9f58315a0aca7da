package catalog

import (
	"context"
	"errors"
	"testing"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/scm"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// anyReader reads everything, so that what is refused is refused before.
type anyReader struct{ scm.Reader }

var errRead = errors.New("it was read")

func (anyReader) ReadURL(_ context.Context, url string, _ scm.ReadOptions) (*scm.Response, error) {
	return nil, errRead
}

// TestSEC53_PlaceholdersStayInTheirRepository: what a descriptor in a repository refers
// to is in the repository.
func TestSEC53_PlaceholdersStayInTheirRepository(t *testing.T) {
	t.Parallel()
	integrations, err := scm.NewIntegrations(scm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	near := &beside{anyReader{}, integrations}
	base := entity.Location{Type: "url", Target: "https://github.com/acme/shop/blob/main/services/a/catalog-info.yaml"}
	for _, tt := range []struct {
		name, ref, target string // an empty target: refused
	}{
		{"beside", "./openapi.yaml", "https://github.com/acme/shop/tree/main/services/a/openapi.yaml"},
		{"a bare name", "openapi.yaml", "https://github.com/acme/shop/tree/main/services/a/openapi.yaml"},
		{"above, in the repository", "../../README.md", "https://github.com/acme/shop/tree/main/README.md"},
		{"from the root", "/docs/api.yaml", "https://github.com/acme/shop/tree/main/docs/api.yaml"},
		{"an absolute URL of the repository", "https://github.com/acme/shop/blob/v1/a.yaml", "https://github.com/acme/shop/blob/v1/a.yaml"},
		{"above the repository", "../../../../other/blob/main/a.yaml", ""},
		{"another repository", "https://github.com/acme/secrets/blob/main/a.yaml", ""},
		{"another owner", "https://github.com/evil/shop/blob/main/a.yaml", ""},
		{"another host", "https://gitlab.com/acme/shop/-/blob/main/a.yaml", ""},
		{"dots that are encoded", "https://github.com/acme/shop/blob/main/%2e%2e/%2e%2e/%2e%2e/secrets/blob/main/a", ""},
		{"slashes that are encoded", "..%2f..%2f..%2f..%2fsecrets/blob/main/a", ""},
		{"a file", "file:///etc/passwd", ""},
		{"a script", "javascript:alert(1)", ""},
		{"a backslash", `..\..\a`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, loc, err := near.read(t.Context(), base, base, tt.ref)
			switch {
			case tt.target == "" && errors.Is(err, errRead):
				t.Errorf("%s was read", loc)
			case tt.target == "" && !errors.Is(err, apierr.Input) && !errors.Is(err, apierr.NotAllowed):
				t.Errorf("refused with %v", err)
			case tt.target != "" && (!errors.Is(err, errRead) || loc.Target != tt.target):
				t.Errorf("got %s, %v; want %s", loc, err, tt.target)
			}
		})
	}
}
