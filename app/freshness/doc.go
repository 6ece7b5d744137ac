// Package freshness answers one question: is this cached value still true?
//
// Every cached value carries a Stamp: the PostgreSQL snapshot that it was read under, and the tags it depends on. Every
// replica keeps a Ledger of the transactions that touched each tag. A value is served only if every known transaction on
// each of its tags is visible in its snapshot. Nothing depends on the order in which fills and changes arrive, on clocks,
// or on a message getting through. The idea is TxCache's: Ports, Clements, Zhang, Madden and Liskov, "Transactional
// Consistency and Automatic Management in an Application Data Cache", OSDI 2010.
package freshness
