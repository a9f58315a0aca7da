// Package emailnotifications sends notifications by e-mail, over SMTP.
//
//	backend.Add(notifications.Plugin(), emailnotifications.Module())
//
// A user's address is spec.profile.email of the User in the catalog. Users turn the channel
// Email off as they do with others. What an e-mail looks like is for a Renderer to say:
// Module(WithRenderer(mine)).
package emailnotifications
