// Package proxy is the plugin that passes requests on to other services, with the credentials
// that they want and the browser must not have.
//
//	backend.Add(proxy.Plugin())
//
// with, in app-config.yaml,
//
//	proxy:
//	  endpoints:
//	    /pagerduty:
//	      target: https://api.pagerduty.com
//	      headers: {Authorization: 'Token token=${PAGERDUTY_TOKEN}'}
//
// serves https://api.pagerduty.com/incidents at /api/proxy/pagerduty/incidents.
//
// Three concepts:
//
//   - An Endpoint is a path below /api/proxy and the target that it leads to. The longest
//     path that a request lies below decides, also who may call.
//   - What passes is listed: a few headers in both directions and those of allowedHeaders.
//     The caller's token goes on with credentials: forward alone, cookies never do.
//   - A path either lies below the target's own path, however often it is decoded, or is
//     answered with 400.
//
// Modules add endpoints from code through Extensions. The wire is that of
// contract/backend.md section 16; docs/proxy.md is for those who configure it.
package proxy
