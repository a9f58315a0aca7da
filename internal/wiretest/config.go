package wiretest

import (
	"net/url"
	"strings"
)

// Config is the app-config.yaml that a backend under replay runs with. fixtureURL is the fixture server, filesDir the
// directory with its files, baseURL where the backend listens. It names no database: add one by a second file.
// Sections of plugins that do not exist yet are for later; the backend ignores them.
func Config(fixtureURL, filesDir, baseURL string) string {
	host := func(s string) (host, port string) {
		u, err := url.Parse(s)
		if err != nil {
			return s, ""
		}
		return u.Hostname(), u.Port()
	}
	listenHost, listenPort := host(baseURL)
	fixtureHost, fixturePort := host(fixtureURL)
	return strings.NewReplacer(
		"FIXTURES", fixtureURL, "FILES", filesDir, "BASE", baseURL,
		"LISTENHOST", listenHost, "LISTENPORT", listenPort,
		"ALLOWEDHOST", fixtureHost+":"+fixturePort,
		"STATICTOKEN", StaticToken, "LIMITEDTOKEN", LimitedToken,
	).Replace(configText)
}

const configText = `# What the recorded exchanges suppose.
app:
  title: Reference Portal
  baseUrl: BASE
organization:
  name: Reference Org
backend:
  baseUrl: BASE
  listen:
    host: LISTENHOST
    port: LISTENPORT
  csp:
    connect-src: ["'self'", "http:", "https:"]
  cors:
    origin: http://127.0.0.1:3000
    methods: [GET, HEAD, PATCH, POST, PUT, DELETE]
    credentials: true
  reading:
    allow:
      - host: ALLOWEDHOST
  auth:
    externalAccess:
      - type: static
        options:
          token: STATICTOKEN
          subject: test
      - type: static
        options:
          token: LIMITEDTOKEN
          subject: limited
        accessRestrictions:
          - plugin: catalog
            permission: catalog.entity.read
          - plugin: search
      - type: legacy
        options:
          secret: bGVnYWN5LXNlY3JldC1mb3ItcmVjb3JkaW5n
          subject: legacy-caller
  actions:
    pluginSources: [auth, catalog, scaffolder]
integrations:
  github:
    - host: github.com
auth:
  environment: development
  session:
    secret: reference-session-secret
  providers:
    guest:
      dangerouslyAllowOutsideDevelopment: true
    oidc:
      development:
        metadataUrl: FIXTURES/oidc/.well-known/openid-configuration
        clientId: fixture-client
        clientSecret: fixture-secret
        prompt: auto
        signIn:
          resolvers:
            - resolver: emailMatchingUserEntityProfileEmail
            - resolver: emailLocalPartMatchingUserEntityName
    github:
      development: { clientId: gh-client, clientSecret: gh-secret }
proxy:
  endpoints:
    /echo:
      target: FIXTURES/echo
      headers: { X-Injected: injected-value, Authorization: Basic c2VjcmV0 }
      allowedHeaders: [X-Custom, X-Upstream]
    /readonly:
      target: FIXTURES/echo
      allowedMethods: [GET]
    /forward:
      target: FIXTURES/echo
      credentials: forward
      allowedHeaders: [Authorization]
    /public:
      target: FIXTURES
      credentials: dangerously-allow-unauthenticated
    /rewrite:
      target: FIXTURES
      pathRewrite: { '^/api/proxy/rewrite/old': '/echo/new' }
    /dead: http://127.0.0.1:1
permission:
  enabled: true
catalog:
  orphanStrategy: delete
  rules:
    - allow: [Component, System, API, Resource, Location, Domain, User, Group]
  locations:
    - type: url
      target: FIXTURES/fixtures/catalog/root.yaml
    - type: file
      target: FILES/templates/root.yaml
      rules:
        - allow: [Template, Location]
search:
  collators:
    catalog:
      schedule:
        frequency: { seconds: 20 }
        timeout: { minutes: 1 }
        initialDelay: { seconds: 12 }
    techdocs:
      schedule:
        frequency: { seconds: 20 }
        timeout: { minutes: 1 }
        initialDelay: { seconds: 14 }
notifications:
  defaultSettings:
    channels:
      - id: Web
        origins:
          - id: plugin:scaffolder
            enabled: true
techdocs:
  builder: external
  publisher:
    type: local
    local:
      publishDirectory: FILES/techdocs
`
