package entity

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestCorpus reads files that nobody wrote for this project:
//
//	CALLBOARD_CORPUS="$(go env GOMODCACHE)" go test -run TestCorpus -v ./catalog/entity
//
// Nothing may crash or take over a second. It is a long test, run by hand; the
// counts it prints belong into the note of a change to a parser.
func TestCorpus(t *testing.T) {
	root := os.Getenv("CALLBOARD_CORPUS")
	if root == "" {
		t.Log("CALLBOARD_CORPUS names no directory; nothing to read")
		return
	}
	var files, entities, failed, refs int
	m := NewModel(ModelOptions{})
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(filepath.Ext(path))) {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		files++
		start := time.Now()
		for doc, err := range ParseDocuments(path, data, Limits{}) {
			if err != nil {
				failed++
				continue
			}
			entities++
			if err := m.Validate(doc.Entity); err != nil {
				_ = doc.Err(err).Error()
			}
			text, err := doc.Entity.MarshalStable()
			if err != nil {
				t.Errorf("%s: %v", path, err)
			}
			if f, err := ParseFields("kind,metadata.name,spec"); err != nil {
				t.Error(err)
			} else if _, err := f.Append(nil, text); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			for _, row := range Flatten(doc.Entity, nil) {
				if row.Value != nil {
					if _, err := ParseRef(*row.Value); err == nil {
						refs++
					}
				}
			}
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("%s (%d bytes) took %v", path, len(data), took)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files: %d objects, %d documents that are no objects or have errors, %d texts that read as references", files, entities, failed, refs)
}
