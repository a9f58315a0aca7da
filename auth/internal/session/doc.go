// Package session keeps the sessions of users who have signed in with an identity
// provider.
//
//   - A Keeper has the sessions. The browser holds a sealed cookie with the id of its
//     session and the refresh token; the database has a row per session, so that it can be
//     listed and ended, and never a refresh token in the clear.
//   - A refresh is made once, however many tabs, processes and replicas want it: refresh
//     tokens are for one use, and an identity provider that sees one twice takes it for
//     stolen and ends the session (RFC 9700, 4.14).
//
// # How a refresh is made once
//
// Callers in one process share one attempt. Attempts of several processes meet in the
// database, in a row whose key is the hash of the refresh token: whoever inserts it asks
// the identity provider, and stores the answer, sealed, for the others, who look at the
// row until it is there. For a minute, the answer is handed to whoever still comes with
// the old token. After that, and as long as the new token has not been used, whoever comes
// with the old one gets the new one instead: their browser has not seen the answer. Once
// the new one has been used, the old one is taken for stolen, and the session ends.
//
// The row is claimed for a time (a lease) that its holder renews, not locked: a lock would
// hold one connection of the plugin's pool, of which there are four unless configured
// otherwise, for as long as an identity provider takes to answer. So four slow answers would stop
// the whole plugin; TestASlowIdentityProviderHoldsNoConnection shows that they do not.
//
// # When the process that asks is killed
//
// Nobody knows then whether the token was used, so nobody uses it again. Once the lease
// has ended, one caller is told that the session has ended (401); those who wait at that
// time, and who still come within a minute, are told to come back (503), and find no cookie
// any more. An answer that comes late, from a process that was only slow, makes the session
// whole again. If the identity provider did not answer at all, the token is free to be used
// again: to give it up would sign the user out for certain, and to use it may do so.
package session
