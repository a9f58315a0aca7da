// Package scheduler runs the recurring tasks of one plugin (contract/backend.md
// section 10; architecture.md, "Scheduler").
//
// A task of global scope runs on one replica at a time. Two things see to that:
//
//   - A lock, which a session of its own holds in PostgreSQL (db.Locks), excludes the
//     others while the owner lives, and is free at once when it is killed. Its name has
//     the number of the run: when the time of a run is over, whoever sees it raises the
//     number, and a paused owner keeps a lock that nobody wants any more.
//   - A ticket in the row of the task is the fence. Every write of the scheduler about a
//     run, and whatever the task itself guards with Fence.Check, happens only while the
//     ticket is still in the row.
//
// A task of local scope runs on every replica, and is kept in memory.
package scheduler
