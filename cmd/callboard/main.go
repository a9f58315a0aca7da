// Callboard is a portal with everything in this repository added, for those who want a
// binary and no Go toolchain. Its flags are those of backend.Main.
package main

import (
	"github.com/callboard-dev/callboard/auth"
	"github.com/callboard-dev/callboard/auth/awsalbauth"
	"github.com/callboard-dev/callboard/auth/azureeasyauth"
	"github.com/callboard-dev/callboard/auth/cloudflareauth"
	"github.com/callboard-dev/callboard/auth/gcpiapauth"
	"github.com/callboard-dev/callboard/auth/githubauth"
	"github.com/callboard-dev/callboard/auth/gitlabauth"
	"github.com/callboard-dev/callboard/auth/googleauth"
	"github.com/callboard-dev/callboard/auth/guestauth"
	"github.com/callboard-dev/callboard/auth/microsoftauth"
	"github.com/callboard-dev/callboard/auth/oauth2auth"
	"github.com/callboard-dev/callboard/auth/oauth2proxyauth"
	"github.com/callboard-dev/callboard/auth/oidcauth"
	"github.com/callboard-dev/callboard/auth/oktaauth"
	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/app"
	"github.com/callboard-dev/callboard/backend/devtools"
	"github.com/callboard-dev/callboard/backend/events"
	"github.com/callboard-dev/callboard/backend/events/azuredevopsevents"
	"github.com/callboard-dev/callboard/backend/events/bitbucketcloudevents"
	"github.com/callboard-dev/callboard/backend/events/bitbucketserverevents"
	"github.com/callboard-dev/callboard/backend/events/gerritevents"
	"github.com/callboard-dev/callboard/backend/events/githubevents"
	"github.com/callboard-dev/callboard/backend/events/gitlabevents"
	"github.com/callboard-dev/callboard/backend/mcpactions"
	"github.com/callboard-dev/callboard/backend/notifications"
	"github.com/callboard-dev/callboard/backend/notifications/emailnotifications"
	"github.com/callboard-dev/callboard/backend/notifications/slacknotifications"
	"github.com/callboard-dev/callboard/backend/oteltelemetry"
	"github.com/callboard-dev/callboard/backend/proxy"
	"github.com/callboard-dev/callboard/backend/rediscache"
	"github.com/callboard-dev/callboard/backend/signals"
	"github.com/callboard-dev/callboard/backend/usersettings"
	"github.com/callboard-dev/callboard/catalog"
	"github.com/callboard-dev/callboard/catalog/codeownerscatalog"
	"github.com/callboard-dev/callboard/catalog/openapicatalog"
	"github.com/callboard-dev/callboard/catalog/scaffoldercatalog"
	"github.com/callboard-dev/callboard/permission"
	"github.com/callboard-dev/callboard/permission/rbac"
)

func main() {
	backend := backend.New()
	backend.Add(app.Plugin())
	backend.Add(auth.Plugin(), guestauth.Module(), oidcauth.Module(), oauth2auth.Module())
	backend.Add(githubauth.Module(), gitlabauth.Module(), googleauth.Module(), microsoftauth.Module(), oktaauth.Module())
	backend.Add(awsalbauth.Module(), azureeasyauth.Module(), cloudflareauth.Module(), gcpiapauth.Module(), oauth2proxyauth.Module())
	backend.Add(catalog.Plugin(), scaffoldercatalog.Module(), codeownerscatalog.Module(), openapicatalog.Module())
	backend.Add(notifications.Plugin(), emailnotifications.Module(), slacknotifications.Module())
	backend.Add(signals.Plugin(), events.Plugin())
	backend.Add(githubevents.Module(), gitlabevents.Module())
	backend.Add(bitbucketcloudevents.Module(), bitbucketserverevents.Module())
	backend.Add(azuredevopsevents.Module(), gerritevents.Module())
	backend.Add(proxy.Plugin())
	backend.Add(permission.Plugin(), rbac.Module())
	backend.Add(devtools.Plugin())
	backend.Add(usersettings.Plugin())
	backend.Add(mcpactions.Plugin())
	backend.Add(rediscache.Module(), oteltelemetry.Service())
	backend.Main()
}
