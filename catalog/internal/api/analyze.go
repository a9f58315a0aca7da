package api

import (
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/scm"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// A generated entity is a proposal for a repository without a descriptor.
type generated struct {
	Entity entity.Entity `json:"entity"`
	Fields []struct{}    `json:"fields"` // hints on fields; nothing gives any
}

// analyzeLocation is POST /analyze-location (contract 1.6.19): the import page asks what
// entity a repository would be.
func (a *api) analyzeLocation(w http.ResponseWriter, r *http.Request) error {
	if err := plain(r); err != nil {
		return err
	}
	b := readBody(r, maxBody)
	loc := b.child("location")
	loc.text("type", true)
	target := loc.text("target", true)
	loc.closed()
	b.text("catalogFilename", false)
	if b.err == nil {
		b.err = loc.err
	}
	if b.err != nil {
		return b.err
	}
	if err := a.may(r, locationAnalyze); err != nil {
		return err
	}
	e, err := a.propose(target)
	if err != nil {
		return err
	}
	return httpx.JSON(w, http.StatusOK, struct {
		Existing  []struct{}  `json:"existingEntityFiles"`
		Generated []generated `json:"generateEntities"`
	}{[]struct{}{}, []generated{{e, []struct{}{}}}})
}

// propose is a Component named for the repository that target is in. Where the host is
// not known, its name is the last element of the path.
func (a *api) propose(target string) (entity.Entity, error) {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, apierr.Input.New("location target %q is not a URL; expected one that begins with https://", target)
	}
	name := strings.TrimSuffix(path.Base(strings.TrimSuffix(u.Path, "/")), ".git")
	metadata := map[string]any{}
	if integration, ok := a.Integrations.For(target); ok {
		if at, err := integration.Parse(target); err == nil && at.Repository != "" {
			name = strings.TrimSuffix(at.Name(), ".git")
			if prefix := slugPrefix(integration.Kind()); prefix != "" {
				metadata["annotations"] = map[string]any{prefix + "/project-slug": strings.TrimSuffix(at.Repository, ".git")}
			}
		}
	}
	if name == "." || name == "/" || name == "" {
		name = u.Hostname()
	}
	metadata["name"] = name
	return entity.Entity{
		"apiVersion": "backstage.io/v1alpha1", "kind": "Component", "metadata": metadata,
		"spec": map[string]any{"type": "other", "lifecycle": "unknown"},
	}, nil
}

// slugPrefix is whose annotation names repositories of a kind of host.
func slugPrefix(kind scm.Kind) string {
	switch kind {
	case scm.KindGitHub:
		return "github.com"
	case scm.KindGitLab:
		return "gitlab.com"
	case scm.KindAzure:
		return "dev.azure.com"
	case scm.KindBitbucketCloud, scm.KindBitbucketServer:
		return "bitbucket.org"
	}
	return ""
}
