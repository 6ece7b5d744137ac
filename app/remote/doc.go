// Package remote is Redis for a service that can do without it: one node or a Cluster, behind a short deadline and a breaker for
// each node. Nothing here holds a request up for longer than the deadline, and whatever is kept here can be had elsewhere.
//
// It keeps entries, and marks: a mark stands in the place of an entry while somebody makes that entry. What the bytes mean is the
// caller's affair.
package remote
