package inject

import (
	"strings"
	"testing"
)

var scope = Scope{PublicPath: "/portal", Config: map[string]any{
	"app": map[string]any{"title": `R&D "<b>"`, "n": int64(3), "off": false, "list": []any{"a", "b"}},
}}

func TestTemplates(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want, wantErr string }{
		{in: `no tags, ${publicPath}`, want: `no tags, ${publicPath}`},
		{in: `<%= publicPath %>/x <%=publicPath%>`, want: `/portal/x /portal`},
		{in: `<%= config.getOptionalString('app.title') ?? 'Backstage' %>`, want: `R&D "<b>"`},
		{in: `<%- config.getOptionalString("app.title") %>`, want: `R&amp;D &#34;&lt;b&gt;&#34;`},
		{in: `<%= config.getOptionalString('app.none') ?? 'Backstage' %>`, want: `Backstage`},
		{in: `<%= config.getOptionalString('app.none') %>`, want: ``},
		{in: `<%= config.getOptionalString('app.none') || config.getOptional('app.none') || 'It\'s' %>`, want: `It's`},
		{in: `<%= config.get('app.n') %> <%= config.getOptional('app.list') %> <%= config.has('app.off') %>`, want: `3 a,b true`},
		{in: `<%= (config.getOptional('app.none') ?? '') || "x" %>`, want: `x`},
		{in: `<%= !config.has('app.none') && 'yes' %>`, want: `yes`},
		{in: `<% if (config.has('app.title')) { %>A<% } else { %>B<% } %>C`, want: `AC`},
		{in: `<% if (config.has('app.none')) { %>A<% } else { %>B<% } %>C`, want: `BC`},
		{in: `<% if (config.has('app.none')) { %>A<% } else if (config.getOptional('app.n')) { %>B<% } else { %>C<% } %>`, want: `B`},
		{in: `<% if (config.has('app')) { %>[<% if (false) { %>x<% } %>]<% } %>`, want: `[]`},
		{in: "a\n<%= config.getString('app.none') %>", wantErr: "t:2:5: the frontend-visible configuration has no value at app.none"},
		{in: `<%= config.getOptionalString('app.n') %>`, wantErr: "t:1:5: the value at app.n is not text"},
		{in: "a\n  <%= window.x %>", wantErr: `t:2:7: "window.x" is not supported`},
		{in: `<%= config.getNumber('app.n') %>`, wantErr: "t:1:12: config.getNumber is not supported, use one of get, "},
		{in: `<%= config['x'] %>`, wantErr: `t:1:11: "['x']" is not supported`},
		{in: `<%= 1 + 1 %>`, wantErr: `"+ 1" is not supported`},
		{in: `<%= true ?? 'a' || 'b' %>`, wantErr: "?? cannot be mixed"},
		{in: `<%= true && 'a' ?? 'b' %>`, wantErr: "?? cannot be mixed"},
		{in: "<%= `x` %>", wantErr: "is not supported"},
		{in: `<%= 'x %>`, wantErr: "the text is not closed"},
		{in: `<%= %>`, wantErr: "the expression ends too early"},
		{in: `<%= publicPath`, wantErr: "t:1:1: <% has no %>"},
		{in: `a<%>b`, wantErr: "t:1:2: <% has no %>"},
		{in: `<%%>`, wantErr: `the script "" is not supported`},
		{in: `<% for (;;) { %>x<% } %>`, wantErr: `t:1:3: the script "for (;;) {" is not supported`},
		{in: `<% console.log(1) %>`, wantErr: "is not supported"},
		{in: `<% if (true) { %>x`, wantErr: "the if block is not closed"},
		{in: `x<% } %>`, wantErr: "closes a block that was not opened"},
		{in: `<% if (true) { %>x<% } while (1) { %>`, wantErr: "is not supported: an if block goes on with"},
		{in: `<% if (true) { %>x<% } else { %>y<% } else { %>z<% } %>`, wantErr: "after } else { a block can only be closed"},
		{in: `<%= ` + strings.Repeat("(", 1000) + ` %>`, wantErr: "nested too deeply"},
	} {
		tmpl, err := ParseTemplate("t", tt.in)
		got := ""
		if err == nil {
			got, err = tmpl.Render(scope)
		}
		switch {
		case tt.wantErr == "" && (err != nil || got != tt.want):
			t.Errorf("%s\nis %q, %v; want %q", tt.in, got, err, tt.want)
		case tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)):
			t.Errorf("%s\nerror %v, want %q", tt.in, err, tt.wantErr)
		}
	}
}

// FuzzTemplate holds that templates either render or are refused with a place.
func FuzzTemplate(f *testing.F) {
	f.Add(`<title><%= config.getOptionalString('app.title') ?? 'Backstage' %></title>`)
	f.Add(`<% if (config.has('a')) { %><%- publicPath %><% } else if (!(true || null)) { %>b<% } else { %>c<% } %>`)
	f.Fuzz(func(t *testing.T, text string) {
		tmpl, err := ParseTemplate("index.html.tmpl", text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "index.html.tmpl:") {
				t.Errorf("the error does not say where: %v", err)
			}
			return
		}
		out, err := tmpl.Render(scope)
		if err == nil && !strings.Contains(text, "<%") && out != text {
			t.Errorf("text without tags became %q", out)
		}
	})
}
