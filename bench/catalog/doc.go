// Package catalogbench measures the catalog over HTTP: a backend in a process of its own,
// a private PostgreSQL server with the settings of production, a synthetic organisation
// that is ingested through files and through a provider, and a load generator.
//
//	go test ./bench/catalog -run TestTable -timeout 3h -v -args -sizes 1000,10000,50000,200000 -seconds 5
//
// prints the tables of bench/RESULTS.md. Without -args the same program runs over a few
// hundred entities and for an instant, which is how CI holds that it works.
//
// -rest 150s adds what it costs that nothing happens, -statements the statements that took
// longest while entities were ingested, -profile DIR CPU profiles; -only TEXT leaves out
// the scenarios that have other names.
//
// It consists of tests because what it measures is started by the testbed.
package catalogbench
