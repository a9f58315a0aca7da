package wiretest

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Places are the addresses that entities and answers speak of.
type Places struct {
	// Fixtures is the base URL of the fixture server.
	Fixtures string
	// Files is the directory with the templates.
	Files string
}

// Recorded are the places of the recordings. Backends that another process started with the recordings' own
// configuration use them.
var Recorded = Places{Fixtures: "http://127.0.0.1:7198", Files: "/tmp/backstage-fixtures"}

// recordedCluster is the Kubernetes API of the recordings.
const recordedCluster = "http://127.0.0.1:7197"

var patternGenerated = regexp.MustCompile(`\{\{generated ([^}]*)\}\}`)

// expand fills in {{FIXTURES}}, {{FILES}} and then {{generated TYPE:TARGET}}, the name that the catalog gives to the
// Location of a target.
func (p Places) expand(text string) string {
	text = strings.NewReplacer("{{FIXTURES}}", p.Fixtures, "{{FILES}}", p.Files, "{{CLUSTER}}", recordedCluster).Replace(text)
	return patternGenerated.ReplaceAllStringFunc(text, func(s string) string {
		return generatedName(patternGenerated.FindStringSubmatch(s)[1])
	})
}

// generatedName is the name of the Location entity for "type:target".
func generatedName(location string) string {
	sum := sha1.Sum([]byte(location))
	return "generated-" + hex.EncodeToString(sum[:])
}

// Load reads the group name from dir and fills in places.
func Load(dir, name string, places Places) (*Group, error) {
	text, err := os.ReadFile(filepath.Join(dir, name+".txt"))
	if err != nil {
		return nil, fmt.Errorf("recording %s: %w (add it with: go run ./internal/wiretest/gen -from DIR %s)", name, err, name)
	}
	return Parse(name, places.expand(string(text)))
}

// Root is the directory of the module, found upwards from the working directory.
func Root() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod in %s or above it: run inside the repository", start)
		}
	}
}
