// Package events is the plugin that brings events in from outside, by webhook, and
// carries them between processes.
//
//	backend.Add(events.Plugin())
//	backend.Add(githubevents.Module()) // POST /api/events/http/github, signed
//
// Plugins publish and subscribe through backend.Events whether or not this plugin is
// part of the backend; without it, events stay within the process.
//
// Three concepts:
//
//   - An Ingress is a topic that webhooks may post to, with a Validator that tells
//     real requests from forged ones.
//   - A Router publishes an event again on a topic that says more: what comes in on
//     "github" goes on as "github.push".
//   - The bus keeps events until every subscription has handled them: in PostgreSQL,
//     shared by all processes, or in memory where the database is SQLite.
//
// The routes are those of contract/backend.md section 17. Modules extend the plugin
// through Extensions.
package events
