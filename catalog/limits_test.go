package catalog_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/catalog/entity"
)

// TestLimitsOfTheConfiguration holds that each bound is the configuration's, and that what
// is beyond it is an error of the Location, beside the other targets.
func TestLimitsOfTheConfiguration(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("{a: ", 30) + "1" + strings.Repeat("}", 30)
	for _, tt := range []struct{ name, limit, document, want string }{
		{"bytes of a file", "fileBytes: 400", component("big", ", text: "+strings.Repeat("x", 400)), "400"},
		{"documents of a file", "documentsPerFile: 2", document(component("one", ""), component("two", ""), component("three", "")), "2"},
		{"depth", "depth: 20", component("deep", ", data: "+deep), "20"},
		{"values of a document", "valuesPerDocument: 60", component("wide", ", list: ["+strings.Repeat("1, ", 60)+"1]"), "60"},
		{"values that aliases repeat", "aliasedValues: 40", component("aliased", ", a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9], b: [*a, *a, *a, *a, *a, *a]"), "40"},
		{"entities of a location", "entitiesPerLocation: 2", document(component("one", ""), component("two", ""), component("three", "")), "catalog.limits.entitiesPerLocation"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, filepath.Join(dir, "root.yaml"), locationOf("root", "targets: [./fine.yaml, ./beyond.yaml]"))
			write(t, filepath.Join(dir, "fine.yaml"), component("fine", ""))
			write(t, filepath.Join(dir, "beyond.yaml"), tt.document)
			r := start(t, fmt.Sprintf("catalog:\n  limits: {%s}\n  locations:\n    - {type: file, target: %q}\n", tt.limit, filepath.Join(dir, "root.yaml")))
			served := r.until("an error, beside what is fine", func(all map[string]entity.Entity) bool {
				root := all["location:default/root"]
				return root != nil && all["component:default/fine"] != nil && statusOf(root) != "[]" && statusOf(root) != "<nil>"
			})
			if got := statusOf(served["location:default/root"]); !strings.Contains(got, tt.want) {
				t.Errorf("the Location says %s, want something about %s", got, tt.want)
			}
		})
	}
}
