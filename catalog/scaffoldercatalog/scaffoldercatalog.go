// Package scaffoldercatalog lets the catalog take software templates: entities of kind
// Template, with apiVersion scaffolder.backstage.io/v1beta3.
//
//	backend.Add(scaffoldercatalog.Module())
//
// It checks what contract catalog.md, 2.4 demands of templates, and relates them to their
// owners. Whether their steps can run is for the scaffolder to say.
package scaffoldercatalog

import (
	"context"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// Kind is the kind of software templates.
const Kind = "Template"

// Module adds the processor to the catalog plugin.
func Module() backend.Feature {
	return backend.NewModule("catalog", "scaffolder-entity-model", fx.Invoke(register))
}

func register(x *catalog.Extensions) { x.AddProcessor(New()) }

// A Processor checks and relates templates. It may be used by several goroutines.
type Processor struct{ model *entity.Model }

var (
	_ catalog.KindValidator = (*Processor)(nil)
	_ catalog.PostProcessor = (*Processor)(nil)
)

// New returns the processor; programs that do not use fx start here.
func New() *Processor {
	return &Processor{entity.NewModel(entity.ModelOptions{Kinds: func(kind string) bool { return kind == Kind }})}
}

// ProcessorName is the name that upstream's processor has in catalog.processorOptions.
func (*Processor) ProcessorName() string { return "ScaffolderEntitiesProcessor" }

// ValidateKind implements catalog.KindValidator.
func (p *Processor) ValidateKind(_ context.Context, e entity.Entity) (bool, error) {
	return p.model.CheckKind(e)
}

// PostProcess implements catalog.PostProcessor.
func (p *Processor) PostProcess(_ context.Context, e entity.Entity, _ entity.Location, emit catalog.Emit) (entity.Entity, error) {
	relations, err := p.model.RelationsOf(e)
	if err != nil {
		return e, err
	}
	for _, r := range relations {
		source, err := entity.ParseRef(r.Source)
		if err != nil {
			return e, err
		}
		target, err := entity.ParseRef(r.Target)
		if err != nil {
			return e, err
		}
		emit(catalog.Relate(source, r.Type, target))
	}
	return e, nil
}
