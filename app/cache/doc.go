// Package cache reads through: L1 in the process, L2 in Redis, then the origin. One Layered holds one class of values.
//
// How an entry is judged is the strategy's business: by its age alone (TTL, Aside) or by its stamp (Stamped, see package freshness).
// The layers know nothing of each other's content: an L2 value written by another replica carries the stamp that it was read
// under and is judged by whoever reads it.
package cache
