package catalog

import (
	"github.com/callboard-dev/callboard/backend/scm"
	"github.com/callboard-dev/callboard/catalog/entity"
)

// Builtin returns the builtin processors, for the suite of their interface.
func Builtin(integrations *scm.Integrations, reader scm.Reader) []Processor {
	return []Processor{
		&placeholders{}, newBuiltinKinds(entity.Formats{}), &fileReader{1 << 20}, &urlReader{reader, 1 << 20}, &annotate{integrations},
	}
}
