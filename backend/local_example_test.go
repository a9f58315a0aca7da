package backend_test

import (
	"fmt"

	"github.com/callboard-dev/callboard/backend"
)

// A Translator is what one plugin leaves for others of its process.
type Translator interface{ Translate(text string) string }

type shouting struct{}

func (shouting) Translate(text string) string { return text + "!" }

// One plugin offers a Go value, and another uses it if both are in one process. Both get
// the *backend.Local injected; elsewhere the second plugin would go over HTTP.
func ExampleFind() {
	local := backend.NewLocal()
	backend.Offer[Translator](local, "translations", shouting{})

	if t, ok := backend.Find[Translator](local, "translations"); ok {
		fmt.Println(t.Translate("hello"))
	}
	_, ok := backend.Find[Translator](local, "elsewhere")
	fmt.Println(ok)
	// Output:
	// hello!
	// false
}
