// Package codeownerscatalog fills in the owners of entities whose descriptors name none,
// from the CODEOWNERS file of their repository.
//
//	backend.Add(codeownerscatalog.Module())
//
// Components, APIs, Resources, Systems and Domains from locations of type url get the
// first owner that the file gives to their descriptor: @acme/payments becomes the group
// payments, @jane the user jane. Releases of upstream up to 1.30 did so by default
// (contract catalog.md, 1.9). A descriptor that names its owner is left alone, and so is
// one without a CODEOWNERS file: it fails for want of an owner, as without the module.
package codeownerscatalog

import (
	"context"
	"errors"
	"slices"
	"strings"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/scm"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// Module adds the processor to the catalog plugin.
func Module() backend.Feature {
	return backend.NewModule("catalog", "codeowners", fx.Invoke(register))
}

type params struct {
	fx.In

	Catalog      *catalog.Extensions
	Integrations *scm.Integrations
	Reader       scm.Reader
}

func register(p params) { p.Catalog.AddProcessor(New(p.Integrations, p.Reader)) }

// A Processor fills in owners. It may be used by several goroutines.
type Processor struct {
	integrations *scm.Integrations
	reader       scm.Reader
}

var _ catalog.PreProcessor = (*Processor)(nil)

// New returns the processor; programs that do not use fx start here.
func New(integrations *scm.Integrations, reader scm.Reader) *Processor {
	return &Processor{integrations, reader}
}

// ProcessorName is the name that upstream's processor has in catalog.processorOptions.
func (*Processor) ProcessorName() string { return "CodeOwnersProcessor" }

// paths are where hosts look for the file, in the order in which they do.
func paths() []string {
	return []string{".github/CODEOWNERS", ".gitlab/CODEOWNERS", ".bitbucket/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"}
}

// maxFile is the size up to which hosts read the file, 3 MiB on GitHub.
const maxFile = 3 << 20

// PreProcess implements catalog.PreProcessor.
func (p *Processor) PreProcess(ctx context.Context, e entity.Entity, loc entity.Location) (entity.Entity, error) {
	if loc.Type != "url" || e.SpecString("owner") != "" || !slices.Contains([]string{"API", "Component", "Domain", "Resource", "System"}, e.Kind()) {
		return e, nil
	}
	if _, ok := e["spec"].(map[string]any); !ok {
		return e, nil // the check of the kind says what is wrong
	}
	host, ok := p.integrations.For(loc.Target)
	if !ok {
		return e, nil
	}
	place, err := host.Parse(loc.Target)
	if err != nil || place.Path == "" {
		return e, nil
	}
	list, found, err := p.read(ctx, host, loc.Target)
	if err != nil || !found {
		return e, err
	}
	if of := list.of(strings.TrimPrefix(place.Path, "/")); len(of) > 0 {
		e.Set(reference(of[0]), "spec", "owner")
	}
	return e, nil
}

// stored is what is kept of a file between runs.
type stored struct {
	Path    string `json:"path"`
	ETag    string `json:"etag"`
	Content []byte `json:"content"`
}

// read finds the file of a repository. What was found in the run before is asked for
// again first, with its version: hosts count every question. So a file in a place that
// goes before is noticed when the other one is gone.
func (p *Processor) read(ctx context.Context, host *scm.Integration, descriptor string) (owners, bool, error) {
	run := catalog.RunOf(ctx)
	var last stored
	run.Cached("file", &last)
	list := paths()
	if i := slices.Index(list, last.Path); i > 0 {
		list = append([]string{last.Path}, slices.Delete(list, i, i+1)...)
	}
	for _, path := range list {
		target, err := host.ResolveURL(descriptor, "/"+path)
		if err != nil {
			return nil, false, nil // a host whose URLs lead nowhere else
		}
		options := scm.ReadOptions{MaxBytes: maxFile}
		if path == last.Path {
			options.ETag = last.ETag
		}
		now, err := p.readFile(ctx, target, options)
		switch {
		case errors.Is(err, apierr.NotModified) && path == last.Path:
			run.Emit(catalog.RefreshOn("url:" + target))
			return parse(last.Content), true, nil
		case errors.Is(err, apierr.NotFound):
			continue
		case err != nil:
			return nil, false, err
		}
		now.Path = path
		run.Emit(catalog.RefreshOn("url:" + target))
		if len(now.Content) <= 64<<10 && now.ETag != "" {
			if err := run.Keep("file", now); err != nil {
				return nil, false, err
			}
		}
		return parse(now.Content), true, nil
	}
	return nil, false, run.Keep("file", nil)
}

func (p *Processor) readFile(ctx context.Context, target string, options scm.ReadOptions) (stored, error) {
	response, err := p.reader.ReadURL(ctx, target, options)
	if err != nil {
		return stored{}, err
	}
	content, err := response.Bytes()
	return stored{ETag: response.ETag, Content: content}, err
}
