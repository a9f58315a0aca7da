package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"go.uber.org/fx"

	"github.com/callboard-dev/callboard/backend"
)

// tour is a module of the catalog. It asks the catalog's own API until all that the
// sample organisation leads to is served, and then says what there is and where.
func tour() backend.Feature { return backend.NewModule("catalog", "tour", fx.Invoke(guide)) }

func guide(lc fx.Lifecycle, bg *backend.Background, where backend.Discovery) {
	lc.Append(fx.StartHook(func() {
		bg.Go(func(ctx context.Context) {
			base, err := where.BaseURL("catalog")
			if err != nil {
				return
			}
			if kinds := settled(ctx, base); kinds != "" {
				site := strings.TrimSuffix(base, "/api/catalog")
				fmt.Printf("\nThe catalog serves %s.\n\n  a page          %s/\n  one component   %s/entities/by-name/component/default/checkout-api\n  everything      %s/entities\n  health          %s/.backstage/health/v1/readiness\n\nThe data is in .callboard/quickstart; Ctrl-C stops, and the next start goes on from there.\n\n",
					kinds, site, base, base, site)
			}
		})
	}))
}

// settled waits until the number of entities is the same twice, and returns it by kind.
func settled(ctx context.Context, base string) string {
	last := ""
	for {
		now := count(ctx, base)
		if now != "" && now == last {
			return now
		}
		last = now
		select {
		case <-ctx.Done():
			return ""
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// count asks for the facet kind: 122 entities (29 Component, 15 API, ...).
func count(ctx context.Context, base string) string {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/entity-facets?facet=kind", nil)
	if err != nil {
		return ""
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	var body struct {
		Facets struct {
			Kind []struct {
				Value string
				Count int
			}
		}
	}
	if json.NewDecoder(res.Body).Decode(&body) != nil || len(body.Facets.Kind) == 0 {
		return ""
	}
	total, parts := 0, []string{}
	for _, k := range body.Facets.Kind {
		total += k.Count
		parts = append(parts, fmt.Sprintf("%d %s", k.Count, k.Value))
	}
	return fmt.Sprintf("%d entities (%s)", total, strings.Join(parts, ", "))
}
