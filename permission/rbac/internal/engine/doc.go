// Package engine decides by roles, rules and conditions (contract permission.md,
// section 4).
//
// Three concepts:
//
//   - A State is what is stored: rules, members of roles, roles, and conditions. It is plain
//     data; who changes it makes a new one.
//   - A Snapshot is a State made ready for deciding. It is immutable, so that every
//     decision is of one State, whatever is being written at the time.
//   - Who is the user of a question, with the groups that a Groups found.
//
// The package knows no database, no file and no wire. casbin.go says the same as
// decide.go in another language; a test holds them against each other.
package engine
