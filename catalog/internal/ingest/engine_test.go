package ingest

import (
	"testing"

	"github.com/callboard-dev/callboard/backend/apierr"
)

func TestLocationsAreReadAndServed(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.file("a.yaml", documents(yamlComponent("one", "first"), yamlComponent("two", "second")))
		w.provide("p", location("root", "a.yaml"))
		w.settle()
		w.expect("component:default/one first", "component:default/two second", "location:default/root")
		w.file("a.yaml", yamlComponent("one", "changed"))
		w.round()
		w.expect("component:default/one changed", "location:default/root")
		w.provide("p")
		w.settle()
		w.expect()
	})
}

func TestWhatCannotBeReadStays(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.file("a.yaml", yamlComponent("one", "a"))
		w.file("b.yaml", yamlComponent("two", "b"))
		w.provide("p", location("root", "a.yaml", "b.yaml"))
		w.settle()
		w.fail("a.yaml", apierr.ServiceUnavailable.New("503"))
		w.file("b.yaml", documents(yamlComponent("two", "b2"), yamlComponent("three", "b")))
		w.round()
		w.expect("component:default/one a", "component:default/two b2", "component:default/three b", "location:default/root (errors)")
		w.fail("a.yaml", nil)
		w.file("a.yaml", yamlComponent("other", "a"))
		w.round()
		w.expect("component:default/other a", "component:default/two b2", "component:default/three b", "location:default/root")
	})
}
