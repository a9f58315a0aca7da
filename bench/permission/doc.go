// Package permissionbench measures decisions while what they go by changes: two replicas
// over one PostgreSQL are asked at a steady rate, over HTTP, while their policy file is
// rewritten, cut off, made invalid, renamed and swapped by a symbolic link, and roles are
// changed by the REST API.
//
//	go test ./bench/permission -run TestChanges -timeout 10m -v -args -seconds 60 -roles 500 -rules 40
//
// prints the table of bench/RESULTS.md. Without -args the same program runs for an instant
// over a small policy, which is how CI holds that it works.
package permissionbench
