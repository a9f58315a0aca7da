package catalog

import (
	"context"
	"regexp"

	"github.com/callboard-dev/callboard/backend/scm"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// builtinKinds checks the kinds of the contract (catalog.md 2.4) and relates their
// entities (2.5), except those that modules bring.
type builtinKinds struct{ model *entity.Model }

func newBuiltinKinds(formats entity.Formats) *builtinKinds {
	return &builtinKinds{entity.NewModel(entity.ModelOptions{Formats: formats, Kinds: func(kind string) bool { return moduleOf(kind) == "" }})}
}

// moduleOf is the module that brings a kind of the contract, empty if the catalog has it
// without one.
func moduleOf(kind string) string {
	if kind == "Template" {
		return "scaffoldercatalog"
	}
	return ""
}

var (
	_ KindValidator = (*builtinKinds)(nil)
	_ PostProcessor = (*builtinKinds)(nil)
)

func (*builtinKinds) ProcessorName() string { return "BuiltinKindsEntityProcessor" }

func (b *builtinKinds) ValidateKind(_ context.Context, e entity.Entity) (bool, error) {
	return b.model.CheckKind(e)
}

func (b *builtinKinds) PostProcess(ctx context.Context, e entity.Entity, _ entity.Location, emit Emit) (entity.Entity, error) {
	relations, err := b.model.RelationsOf(e)
	for _, r := range relations {
		emit(related(r))
	}
	return e, err
}

// annotate tells where entities of url locations can be viewed and edited, unless
// their source says so (contract catalog.md, 2.6).
type annotate struct{ integrations *scm.Integrations }

var _ PreProcessor = (*annotate)(nil)

func (*annotate) ProcessorName() string { return "AnnotateLocationEntityProcessor" }

// A URL with a commit in it shows a state of the past, which cannot be edited.
var commitInURL = regexp.MustCompile(`\b[0-9a-f]{40,}\b`)

func (a *annotate) PreProcess(_ context.Context, e entity.Entity, loc entity.Location) (entity.Entity, error) {
	if loc.Type != "url" {
		return e, nil
	}
	set := func(key, value string) {
		if e.Annotation(key) == "" && value != "" {
			e.SetAnnotation(key, value)
		}
	}
	set(entity.AnnotationViewURL, loc.Target)
	integration, ok := a.integrations.For(loc.Target)
	if !ok {
		return e, nil
	}
	if !commitInURL.MatchString(loc.Target) {
		set(entity.AnnotationEditURL, integration.EditURL(loc.Target))
	}
	if dir, err := integration.ResolveURL(loc.Target, "./"); err == nil {
		set(entity.AnnotationSource, "url:"+dir)
	}
	return e, nil
}
