// Package usersettings keeps what users have set in the frontend: themes, starred
// entities, what they have visited.
//
//	backend.Add(usersettings.Plugin())
//
// A setting is any JSON under a bucket and a key, and belongs to one user. Users read and
// change their own with their own token; services have no settings, and cannot read those
// of users. Every change is told to the user's other tabs with a signal.
//
// The API is that of contract/backend.md section 20; docs/user-settings.md describes the
// limits.
package usersettings
