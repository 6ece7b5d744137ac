// Package witness finds out how stale a service's answers are, from outside: it changes listings by plain SQL, remembers when each change
// was committed, and reads the same listings through HTTP all the while. It trusts nothing that the service says about itself.
//
// A read is stale if it started after a commit was acknowledged and shows an older state. Its staleness is the time from the commit
// of the oldest change that it fails to show to the start of the read. What the service learns while a read is under way counts for it,
// and where an answer fits several states, the newest of them is taken: the witness never accuses without proof.
package witness
