package catalog

import (
	"context"
	"errors"
	"strings"

	"github.com/callboard-dev/callboard/backend/apierr"
	"github.com/callboard-dev/callboard/backend/scm"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// An SCMLocationAnalyzer finds the descriptor files of repositories on hosts that it
// knows, for the import page (contract catalog.md, 1.6.19). The catalog reads and checks
// what it finds. Without one, GitHub, GitLab, Gitea and Bitbucket Cloud are searched
// through the backend's URL reader. Methods are called from many goroutines.
type SCMLocationAnalyzer interface {
	// Supports says whether rawURL, an http or https URL, is of such a host.
	Supports(rawURL string) bool
	// Descriptors returns the addresses of the files named filename in the repository
	// that rawURL points into. That there are none is no error.
	Descriptors(ctx context.Context, rawURL, filename string) ([]string, error)
}

// A LocationAnalyzer answers POST /analyze-location in place of the catalog. The
// caller's permission was checked before.
type LocationAnalyzer interface {
	// AnalyzeLocation says what is at loc, or what could be made of it. filename is
	// what descriptors are called. An apierr.Input error is the caller's mistake.
	AnalyzeLocation(ctx context.Context, loc entity.Location, filename string) (*Analysis, error)
}

// An Analysis is what a location holds, or what it could hold.
type Analysis struct {
	Existing  []ExistingEntity  `json:"existingEntityFiles"`
	Generated []GeneratedEntity `json:"generateEntities"`
}

// An ExistingEntity was found in a descriptor file.
type ExistingEntity struct {
	Location   entity.Location `json:"location"`     // the file
	Registered bool            `json:"isRegistered"` // the file is a registered location
	Entity     entity.Entity   `json:"entity"`
}

// A GeneratedEntity is a proposal for a repository without a descriptor.
type GeneratedEntity struct {
	Entity entity.Entity `json:"entity"`
	Fields []FieldHint   `json:"fields"`
}

// A FieldHint says where the value of a field of a proposal comes from.
type FieldHint struct {
	Field       string     `json:"field"` // such as spec.owner
	State       FieldState `json:"state"`
	Value       *string    `json:"value"`
	Description string     `json:"description"`
}

// A FieldState says what the user has to do about a field.
type FieldState string

// The states that the import page knows.
const (
	FieldSuggested FieldState = "analysisSuggestedValue"
	FieldNoValue   FieldState = "analysisSuggestedNoValue"
	FieldNeeded    FieldState = "needsUserInput"
)

// analyzeLocation is what replaces the catalog's own analysis, nil if nothing does.
func (x *Extensions) analyzeLocation() func(ctx context.Context, loc entity.Location, filename string) (any, error) {
	own := x.analyzer
	if own == nil {
		return nil
	}
	return func(ctx context.Context, loc entity.Location, filename string) (any, error) {
		got, err := own.AnalyzeLocation(ctx, loc, filename)
		if err != nil {
			return nil, err
		}
		out := Analysis{Existing: append([]ExistingEntity{}, got.Existing...), Generated: append([]GeneratedEntity{}, got.Generated...)}
		for i, g := range out.Generated {
			out.Generated[i].Fields = append([]FieldHint{}, g.Fields...)
		}
		return out, nil
	}
}

// descriptors finds descriptor files with the analyzer that supports rawURL.
func (c *catalog) descriptors(ctx context.Context, rawURL, filename string) ([]string, error) {
	for _, a := range c.p.Extensions.scmAnalyzers {
		if a.Supports(rawURL) {
			return a.Descriptors(ctx, rawURL, filename)
		}
	}
	return search(ctx, c.p.Reader, rawURL, filename)
}

// search looks for files named filename anywhere in a repository; at its root only, on
// hosts that cannot search.
func search(ctx context.Context, reader scm.Reader, rawURL, filename string) ([]string, error) {
	addresser, ok := reader.(scm.Addresser)
	if !ok {
		return nil, nil
	}
	at, err := addresser.FileURL(ctx, rawURL, "**/"+filename)
	if err != nil {
		return nil, err
	}
	result, err := reader.Search(ctx, at, scm.SearchOptions{})
	if errors.Is(err, apierr.Input) { // the host has no globs
		result, err = reader.Search(ctx, strings.Replace(at, "**/", "", 1), scm.SearchOptions{})
	}
	if err != nil {
		return nil, err
	}
	defer result.Close()
	var out []string
	for _, f := range result.Files {
		out = append(out, f.URL)
	}
	return out, nil
}
