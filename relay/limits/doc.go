// Package limits says how much of the relay each user and each address may have.
//
// A [Limiter] decides from memory and never waits. Several relays may share counts and bans through a [Fleet], e.g.
// [Valkey]: sessions are admitted at once by what is known here, told to the fleet, and given back a round trip
// later if the fleet had too many of that user already. While the fleet's store is away, the limits hold on each node
// for itself and nothing stops.
package limits
