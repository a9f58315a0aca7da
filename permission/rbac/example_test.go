package rbac_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
	"github.com/callboard-dev/callboard/permission"
	"github.com/callboard-dev/callboard/permission/rbac"
)

// A directory is another system that knows who is on call.
type directory struct {
	onCall string
	conn   *rbac.Connection
}

var _ rbac.Provider = (*directory)(nil)

// ProviderName is also the source of its roles.
func (d *directory) ProviderName() string { return "directory" }

// Connect says what the role may do, and then who has it.
func (d *directory) Connect(ctx context.Context, conn *rbac.Connection) error {
	d.conn = conn
	if err := conn.ApplyPermissions(ctx, [][4]string{{"role:default/on-call", "kubernetes.proxy", "use", "allow"}}); err != nil {
		return err
	}
	return d.Refresh(ctx)
}

// Refresh is called by POST /api/permission/refresh/directory.
func (d *directory) Refresh(ctx context.Context) error {
	return d.conn.ApplyRoles(ctx, [][2]string{{"user:default/" + d.onCall, "role:default/on-call"}})
}

// Roles come from another system.
func ExampleProvider() {
	rota := &directory{onCall: "carol"}
	module := backend.NewModule("permission", "directory", fx.Invoke(func(x *rbac.Extensions) { x.AddProvider(rota) }))

	cfg, err := config.Parse("app-config.yaml", []byte(`
backend:
  baseUrl: http://localhost:7007
  listen: 127.0.0.1:0
  auth: {externalAccess: [{type: static, options: {token: token-of-this-example, subject: example}}]}
permission: {enabled: true}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	backend := backend.New(backend.WithConfig(cfg), backend.Development(), backend.WithLogger(slog.DiscardHandler))
	backend.Add(permission.Plugin())
	backend.Add(rbac.Module())
	backend.Add(module)
	if err := backend.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	defer backend.Stop(context.Background())

	show := func() {
		req, _ := http.NewRequest(http.MethodGet, "http://"+backend.Addr().String()+"/api/permission/roles/role/default/on-call", nil)
		req.Header.Set("Authorization", "Bearer token-of-this-example")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer res.Body.Close()
		var roles []struct {
			MemberReferences []string
			Metadata         struct{ Source string }
		}
		if err := json.NewDecoder(res.Body).Decode(&roles); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(roles[0].MemberReferences, "by", roles[0].Metadata.Source)
	}
	show()
	rota.onCall = "dave"
	if err := rota.Refresh(context.Background()); err != nil {
		fmt.Println(err)
	}
	show()
	// Output:
	// [user:default/carol] by directory
	// [user:default/dave] by directory
}
