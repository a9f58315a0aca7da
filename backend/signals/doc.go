// Package signals is the plugin that tells browsers at once that something is new: a
// notification, a setting that another tab has changed, an event of a plugin of your own.
//
//	backend.Add(signals.Plugin())
//
// Three concepts:
//
//   - A browser keeps one WebSocket to GET /api/signals, and subscribes it to channels. A
//     channel is a name, such as "notifications".
//   - A signal is a message on a channel, for everybody or for those who own things through
//     an entity. Plugins publish them with package client.
//   - Signals travel as events, so that each replica delivers them to its own connections.
//
// Delivery is best effort: a browser that is not connected, or does not read, misses
// signals, and asks the API of the plugin in question when it is back. The protocol is that
// of contract/backend.md section 19.
package signals
