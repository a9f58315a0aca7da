package scm

import (
	"fmt"
	"testing"

	"github.com/callboard-dev/callboard/backend/scm/scmtest"
)

// Tokens of users come and go; their budgets must not stay.
func TestClientsForgetIdleBudgets(t *testing.T) {
	t.Parallel()
	is, err := NewIntegrations(Config{})
	if err != nil {
		t.Fatal(err)
	}
	i, _ := is.ByHost(KindGitHub, "github.com")
	clients := NewClients(ClientOptions{Transport: scmtest.NewNetwork()})
	for n := range 3 * maxBudgets {
		clients.For(i, BearerCredential(fmt.Sprint(n)))
	}
	if n := len(clients.budgets); n > maxBudgets {
		t.Errorf("%d budgets", n)
	}
	if a, b := clients.For(i, BearerCredential("same")), clients.For(i, BearerCredential("same")); a == b || len(clients.budgets) > maxBudgets {
		t.Error("two clients of one credential must share a budget, not be one client")
	}
}
