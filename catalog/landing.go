package catalog

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/catalog/entity"
	"github.com/callboard-dev/callboard/catalog/internal/query"
)

// maxListed is how many entities the landing page lists.
const maxListed = 500

// listed lists entities by kind, with their addresses in the API, for people who look at
// a backend that has no frontend.
func listed(reads *query.Query) func(context.Context) ([]backend.Link, error) {
	return func(ctx context.Context) ([]backend.Link, error) {
		limit := maxListed
		page, err := reads.Page(ctx, query.PageRequest{Order: []query.Order{{Field: "kind"}}, Limit: &limit})
		if err != nil {
			return nil, err
		}
		type row struct {
			kind string
			link backend.Link
		}
		rows := make([]row, len(page.Items))
		for i, doc := range page.Items {
			var e struct {
				Kind     string `json:"kind"`
				Metadata struct {
					Name      string `json:"name"`
					Namespace string `json:"namespace"`
					Title     string `json:"title"`
				} `json:"metadata"`
			}
			if err := json.Unmarshal(doc, &e); err != nil {
				return nil, err
			}
			ref := entity.Ref{Kind: e.Kind, Namespace: e.Metadata.Namespace, Name: e.Metadata.Name}
			low := ref.Lower()
			href := "/api/catalog/entities/by-name/" + url.PathEscape(low.Kind) + "/" + url.PathEscape(low.Namespace) + "/" + url.PathEscape(low.Name)
			rows[i] = row{e.Kind, backend.Link{Text: ref.String(), Href: href, Note: e.Metadata.Title}}
		}
		slices.SortFunc(rows, func(a, b row) int {
			return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.link.Text, b.link.Text))
		})
		links := make([]backend.Link, 0, len(rows)+1)
		for _, r := range rows {
			links = append(links, r.link)
		}
		if more := page.Total - len(links); more > 0 {
			links = append(links, backend.Link{Text: fmt.Sprintf("and %d more", more), Href: "/api/catalog/entities"})
		}
		return links, nil
	}
}
