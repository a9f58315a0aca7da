// Package mcpactions lets assistants use the portal: it serves the actions of the plugins
// as tools of the Model Context Protocol.
//
//	backend.Add(mcpactions.Plugin())
//
// Three concepts carry it:
//
//   - A tool is an action (docs/actions.md). The plugins that backend.actions.pluginSources
//     names have some; a caller sees and calls those that it may see and invoke itself.
//   - A server is a view of them: /api/mcp-actions/v1 has all, and mcpActions.servers.<key>
//     describes further ones at /api/mcp-actions/v1/<key>, with a filter.
//   - Programs get their token from the user, by the OAuth server of the plugin auth. The
//     plugin tells them where that is.
//
// There are no sessions: every request stands for itself, on any replica. The wire is that
// of contract/backend.md section 22; the protocol is the official SDK's, which nothing else
// of this module imports. docs/mcp.md describes the configuration.
package mcpactions
