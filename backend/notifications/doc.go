// Package notifications is the plugin that tells users what has happened: in the stock
// frontend, and by e-mail, Slack, or whatever a processor reaches.
//
//	backend.Add(notifications.Plugin(), signals.Plugin())
//	backend.Add(emailnotifications.Module(), slacknotifications.Module())
//
// Three concepts:
//
//   - Services send notifications, with package client, to users, groups, the owners of
//     entities, or everybody. Users read them, and settle which they want on which channel.
//   - A NotificationProcessor is a further channel, or changes what is sent. Modules add
//     processors through Extensions.
//   - What processors have to do is stored with the notification, and done by whichever
//     replica gets to it: at least once, also when a replica dies.
//
// The routes are those of contract/backend.md section 18.
package notifications
