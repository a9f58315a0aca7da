package entity_test

import (
	"testing"

	"github.com/callboard-dev/callboard/catalog/entity"
)

// TestCheckIdentity holds that placeholders may stand anywhere but in an entity's name.
func TestCheckIdentity(t *testing.T) {
	t.Parallel()
	m := entity.NewModel(entity.ModelOptions{})
	placeholder := map[string]any{"$json": "./links.json"}
	with := func(member string, v any) entity.Entity {
		return entity.Entity{"apiVersion": "backstage.io/v1alpha1", "kind": "Component", "metadata": map[string]any{"name": "x", member: v}}
	}
	for _, member := range []string{"links", "labels", "tags", "annotations", "description"} {
		if err := m.CheckIdentity(with(member, placeholder)); err != nil {
			t.Errorf("a placeholder for %s: %v", member, err)
		}
	}
	if err := m.CheckEnvelope(with("links", placeholder)); err == nil {
		t.Error("the envelope accepts an unresolved placeholder for links")
	}
	for _, member := range []string{"name", "namespace"} {
		if err := m.CheckIdentity(with(member, placeholder)); err == nil {
			t.Errorf("a placeholder for %s is accepted", member)
		}
	}
}
