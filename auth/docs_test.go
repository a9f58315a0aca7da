package auth_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/guestauth"
	"github.com/callboard-dev/callboard/auth/oidcauth"
	"github.com/callboard-dev/callboard/catalog"
)

const page = "../docs/sign-in.md"

var (
	heading   = regexp.MustCompile("(?m)^### (`.*)$")
	quoted    = regexp.MustCompile("`([^`]+)`")
	yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")
)

func readPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestConfigurationOfTheDocumentation boots the first configuration of the page, with each
// of the others over it.
func TestConfigurationOfTheDocumentation(t *testing.T) {
	t.Parallel()
	variables := strings.NewReplacer("${SESSION_SECRET}", "a-secret-of-these-tests", "${OLD_SESSION_SECRET}", "an-older-secret-of-these-tests", "${OKTA_CLIENT_ID}", "id", "${OKTA_CLIENT_SECRET}", "not-so-secret")
	blocks := yamlBlock.FindAllStringSubmatch(readPage(t), -1)
	if len(blocks) < 5 {
		t.Fatalf("the page has %d configurations", len(blocks))
	}
	for i, b := range blocks {
		text := variables.Replace(b[1])
		if i > 0 && !strings.Contains(text, "guest") {
			// The first one has all that is needed; the others change a part of the section.
			text = strings.Replace(variables.Replace(blocks[0][1]), "auth:\n", text, 1)
			if strings.Contains(b[1], "session:") {
				text = strings.Replace(text, "  session: { secret: \"a-secret-of-these-tests\" }\n", "", 1)
			}
		}
		if why, _ := boot(t, text, auth.Plugin(), oidcauth.Module(), guestauth.Module(), catalog.Plugin()); why != "" {
			t.Errorf("configuration %d: %s\n%s", i+1, why, text)
		}
	}
}

// TestErrorsOfTheDocumentation holds that the texts that the page explains are texts that
// somebody can meet. Each is made here, except for those of other packages, whose tests
// have them.
func TestErrorsOfTheDocumentation(t *testing.T) {
	t.Parallel()
	var met []string
	add := func(texts ...string) { met = append(met, texts...) }

	noResolver, _ := boot(t, strings.Replace(production, "[{resolver: emailMatchingUserEntityProfileEmail}, {resolver: emailLocalPartMatchingUserEntityName}]", "[]", 1), auth.Plugin(), (&idp{}).module("idp", auth.Scopes{}))
	unknown, _ := boot(t, strings.Replace(production, "emailMatching", "emailMatches", 1), auth.Plugin(), (&idp{}).module("idp", auth.Scopes{}))
	noSecret, _ := boot(t, strings.Replace(production, "secret: a-secret-of-these-tests", "", 1), auth.Plugin(), (&idp{}).module("idp", auth.Scopes{}))
	add(noResolver, unknown, noSecret)

	p := open(t, production)
	b := p.browser()
	for _, who := range []string{"nomail", "unverified", "stranger", "twins"} {
		m, _ := b.signIn(who, "")
		add(m.Error.Message)
	}
	for _, path := range []string{"/idp/refresh?env=production", "/nope/start", "/idp/start", "/idp/start?env=staging", "/idp/start?env=production&origin=https://evil.example"} {
		add(b.script("GET", path).error(t).Error.Message)
	}
	add(b.do("GET", "/idp/refresh?env=production", "").error(t).Error.Message)
	callback := func(state, more string) string {
		return posted(t, b.do("GET", "/idp/handler/frame?env=production&state="+state+more, "")).Error.Message
	}
	old := b.start("env=production").Get("state")
	add(p.browser().comeBack(old))
	b.start("env=production")
	add(callback(old, "&code=alice"), callback("6e6f6e63653d6e26656e763d70", "&code=alice"))
	add(callback(b.start("env=production").Get("state"), "&error=access_denied"))

	domain := open(t, strings.Replace(production, "emailMatchingUserEntityProfileEmail", "emailMatchingUserEntityProfileEmail, allowedDomains: [corp.example]", 1))
	m, _ := domain.browser().signIn("alice", "")
	add(m.Error.Message)

	// The catalog is where nobody listens; the provider is registered, and not configured.
	away := openAlone(t, strings.Replace(production, "auth:\n", "discovery: {endpoints: [{target: 'http://127.0.0.1:1/api/{{pluginId}}', plugins: [catalog]}]}\nauth:\n", 1))
	m, _ = away.browser().signIn("alice", "")
	add(m.Error.Message)
	none := openAlone(t, "auth: {}")
	add(none.browser().script("GET", "/idp/refresh?env=production").error(t).Error.Message)

	elsewhere := []string{
		"discovery document could not be read yet",           // oidcauth: TestAnIssuerThatIsAwayAtStart
		"refused: invalid_client",                            // oauth
		"The ID token of the identity provider is not valid", // oidcauth: TestAnIssuerThatMisbehaves
		"The guest provider is for development",              // guestauth: TestNoGuestsInProduction
	}
	found := 0
	for _, h := range heading.FindAllStringSubmatch(readPage(t), -1) {
		for _, text := range quoted.FindAllStringSubmatch(h[1], -1) {
			found++
			if slices.Contains(elsewhere, text[1]) {
				continue
			}
			if !slices.ContainsFunc(met, func(s string) bool { return strings.Contains(s, text[1]) }) {
				t.Errorf("nobody meets %q; what is met is\n%s", text[1], strings.Join(met, "\n"))
			}
		}
	}
	if found < 20 {
		t.Errorf("the page explains %d errors", found)
	}
}
