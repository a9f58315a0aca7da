// Package slacknotifications sends notifications by Slack.
//
//	backend.Add(notifications.Plugin(), slacknotifications.Module())
//
// Users are found by the annotation slack.com/bot-notify of their User in the catalog, or
// else by the address spec.profile.email. Users who are meant only because they are in a
// group get no message of their own: the group gets one, in the channel that its own
// annotation names. What is for everybody goes to the channels of the configuration.
package slacknotifications
