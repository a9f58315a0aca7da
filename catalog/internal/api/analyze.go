package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"path"
	"path/filepath"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/httpx"
	"github.com/callboard-dev/callboard/backend/scm"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// An existing entity was found in a descriptor file, which can be registered.
type existing struct {
	Location   entity.Location `json:"location"`
	Registered bool            `json:"isRegistered"`
	Entity     entity.Entity   `json:"entity"`
}

// A generated entity is a proposal for a repository without a descriptor.
type generated struct {
	Entity entity.Entity `json:"entity"`
	Fields []struct{}    `json:"fields"` // hints on fields; nothing gives any
}

// analyzeLocation is POST /analyze-location (contract 1.6.19): the import page asks what
// entities a repository has, or what entity it would be.
func (a *api) analyzeLocation(w http.ResponseWriter, r *http.Request) error {
	if err := plain(r); err != nil {
		return err
	}
	b := readBody(r, maxBody)
	asked := b.child("location")
	loc := asked.location()
	asked.closed()
	filename := b.text("catalogFilename", false)
	if b.err == nil {
		b.err = asked.err
	}
	if b.err != nil {
		return b.err
	}
	if filename == "" {
		filename = "catalog-info.yaml"
	}
	if strings.ContainsAny(filename, `*?{}[]\#`) || !filepath.IsLocal(filename) {
		return apierr.Input.New("request/body/catalogFilename must be the name of a file, without globs, found %q", filename)
	}
	if err := a.may(r, locationAnalyze); err != nil {
		return err
	}
	if a.AnalyzeLocation != nil {
		answer, err := a.AnalyzeLocation(r.Context(), loc, filename)
		if err != nil {
			return err
		}
		return httpx.JSON(w, http.StatusOK, answer)
	}
	proposal, err := a.propose(loc.Target)
	if err != nil {
		return err
	}
	answer := struct {
		Existing  []existing  `json:"existingEntityFiles"`
		Generated []generated `json:"generateEntities"`
	}{Generated: []generated{}}
	if answer.Existing, err = a.findExisting(r.Context(), loc.Target, filename); err != nil {
		return err
	}
	if len(answer.Existing) == 0 {
		answer.Generated = []generated{{proposal, []struct{}{}}}
	}
	return httpx.JSON(w, http.StatusOK, answer)
}

// maxDescriptors bounds how many descriptor files of one repository are read.
const maxDescriptors = 100

// findExisting reads the descriptors of the repository that target is in. One that is
// broken hides as long as there are others: it may be an example.
func (a *api) findExisting(ctx context.Context, target, filename string) ([]existing, error) {
	out := []existing{}
	if a.FindDescriptors == nil {
		return out, nil
	}
	if integration, ok := a.Integrations.For(target); !ok {
		return out, nil
	} else if at, err := integration.Parse(target); err != nil || at.Repository == "" {
		return out, nil
	}
	found, err := a.FindDescriptors(ctx, target, filename)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		a.Log.WarnContext(ctx, "a repository could not be searched for descriptors", "repository", target, "error", err)
		return out, nil
	}
	if len(found) > maxDescriptors {
		return nil, apierr.Input.New("%s has %d files named %s, and at most %d can be analyzed; register a Location that lists them", target, len(found), filename, maxDescriptors)
	}
	var broken []error
	for _, file := range found {
		loc := entity.Location{Type: "url", Target: file}
		entities, err := a.Engine.DryRun(ctx, loc)
		if errors.Is(err, apierr.Input) {
			broken = append(broken, err)
			continue
		}
		if err != nil {
			return nil, err
		}
		registered, err := a.isRegistered(ctx, loc)
		if err != nil {
			return nil, err
		}
		for _, e := range entities[1:] { // the first one is the location itself
			out = append(out, existing{loc, registered, e})
		}
	}
	if len(out) == 0 && broken != nil {
		return nil, apierr.Input.New("%s", errors.Join(broken...))
	}
	return out, nil
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
