package catalog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// Extensions is the extension point of the catalog plugin. Modules take a
// *Extensions and add to it, before the plugin starts. The zero value is ready to use,
// as tests do. What is added twice, and what comes too late, is a boot error.
type Extensions struct {
	mu           sync.Mutex
	sealed       bool
	problems     []error
	providers    []EntityProvider
	processors   []Processor
	placeholders map[string]PlaceholderResolver
	policies     []func(context.Context, entity.Entity) (entity.Entity, error)
	formats      entity.Formats
	types        []string
	parser       Parser
	onError      func(context.Context, ProcessingError)
	scmAnalyzers []SCMLocationAnalyzer
	analyzer     LocationAnalyzer
}

// A Parser reads the entities of a descriptor file; see SetEntityDataParser.
type Parser func(data []byte, loc entity.Location) iter.Seq2[entity.Document, error]

// A ProcessingError is a run that failed, wholly or in parts.
type ProcessingError struct {
	Unprocessed entity.Entity // as its source gave it
	Errors      []entity.StatusError
}

// AddEntityProvider adds providers.
func (x *Extensions) AddEntityProvider(p ...EntityProvider) {
	defer x.adding("entity provider")()
	for _, one := range p {
		for _, other := range x.providers {
			if other.ProviderName() == one.ProviderName() {
				x.twice("entity provider", one.ProviderName())
			}
		}
		x.providers = append(x.providers, one)
	}
}

// AddProcessor adds processors, behind the builtin ones unless they are Prioritized.
func (x *Extensions) AddProcessor(p ...Processor) {
	defer x.adding("processor")()
	for _, one := range p {
		if !able(one) {
			x.problems = append(x.problems, backend.Fix(
				fmt.Sprintf("processor %q (%T) can do nothing", one.ProcessorName(), one),
				"implement LocationReader, PreProcessor, KindValidator or PostProcessor"))
		}
		for _, other := range x.processors {
			if other.ProcessorName() == one.ProcessorName() {
				x.twice("processor", one.ProcessorName())
			}
		}
		x.processors = append(x.processors, one)
	}
}

// AddPlaceholder makes {"$key": value} in entities become what r returns. The builtin
// keys are text, json and yaml.
func (x *Extensions) AddPlaceholder(key string, r PlaceholderResolver) {
	defer x.adding("placeholder")()
	if builtinPlaceholder(key) != nil || x.placeholders[key] != nil {
		x.twice("placeholder", "$"+key)
		return
	}
	if x.placeholders == nil {
		x.placeholders = map[string]PlaceholderResolver{}
	}
	x.placeholders[key] = r
}

// AddEntityPolicy adds a rule for all entities, which runs after the builtin ones. It
// may change the entity; an error, or a nil entity, rejects it.
func (x *Extensions) AddEntityPolicy(p ...func(context.Context, entity.Entity) (entity.Entity, error)) {
	defer x.adding("entity policy")()
	x.policies = append(x.policies, p...)
}

// SetAllowedLocationTypes sets which types of locations users may register, and
// Locations of another type may contain; without it only url. Files are never read on
// behalf of a location that is no file, whatever is set here.
func (x *Extensions) SetAllowedLocationTypes(types ...string) {
	defer x.adding("allowed location types")()
	if x.types != nil {
		x.twice("setting", "allowed location types")
	}
	x.types = append([]string{}, types...)
}

// SetFieldValidators replaces formats of fields; those that are left zero stay.
func (x *Extensions) SetFieldValidators(f entity.Formats) {
	defer x.adding("field validators")()
	x.formats = mergeFormats(x.formats, f)
}

// SetEntityDataParser replaces the reading of descriptor files.
func (x *Extensions) SetEntityDataParser(p Parser) {
	defer x.adding("entity data parser")()
	if x.parser != nil {
		x.twice("setting", "entity data parser")
	}
	x.parser = p
}

// OnProcessingError sets a function that is told of every run that failed, also of
// those that fail again with the same error. It must not block.
func (x *Extensions) OnProcessingError(f func(context.Context, ProcessingError)) {
	defer x.adding("processing error handler")()
	if x.onError != nil {
		x.twice("setting", "processing error handler")
	}
	x.onError = f
}

// AddSCMLocationAnalyzer adds analyzers of repositories; the first one that supports a
// URL is asked.
func (x *Extensions) AddSCMLocationAnalyzer(a ...SCMLocationAnalyzer) {
	defer x.adding("location analyzer")()
	x.scmAnalyzers = append(x.scmAnalyzers, a...)
}

// SetLocationAnalyzer replaces the analysis of locations, with all that
// AddSCMLocationAnalyzer adds to it.
func (x *Extensions) SetLocationAnalyzer(a LocationAnalyzer) {
	defer x.adding("location analyzer")()
	if x.analyzer != nil {
		x.twice("setting", "location analyzer")
	}
	x.analyzer = a
}

// adding locks, and notes what comes too late.
func (x *Extensions) adding(what string) (unlock func()) {
	x.mu.Lock()
	if x.sealed {
		x.problems = append(x.problems, backend.Fix(
			what+" was added after the catalog plugin was set up, and has no effect",
			"add it in a function that fx.Invoke runs, not in a start hook or later"))
	}
	return x.mu.Unlock
}

func (x *Extensions) twice(what, name string) {
	x.problems = append(x.problems, backend.Fix(fmt.Sprintf("%s %q is added twice", what, name), "remove one of them"))
}

// seal ends the time of adding and reports what went wrong in it.
func (x *Extensions) seal() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sealed = true
	return x.takeProblems()
}

// late reports what was added after seal.
func (x *Extensions) late() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.takeProblems()
}

func (x *Extensions) takeProblems() error {
	err := errors.Join(x.problems...)
	x.problems = nil
	return err
}

func mergeFormats(base, over entity.Formats) entity.Formats {
	for _, p := range []struct{ to, from *entity.Format }{
		{&base.APIVersion, &over.APIVersion}, {&base.Kind, &over.Kind}, {&base.Name, &over.Name},
		{&base.Namespace, &over.Namespace}, {&base.LabelKey, &over.LabelKey}, {&base.LabelValue, &over.LabelValue},
		{&base.AnnotationKey, &over.AnnotationKey}, {&base.AnnotationValue, &over.AnnotationValue}, {&base.Tag, &over.Tag},
	} {
		if p.from.Valid != nil {
			*p.to = *p.from
		}
	}
	return base
}
