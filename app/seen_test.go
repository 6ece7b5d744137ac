package main

import (
	"fmt"
	"net/http"
	"testing"
)

// The negative control of TestWriterReadsItsWriteAtAnyReplica: it is Strata-Seen that makes the difference, and not that replicas are fast.
func TestWithoutStrataSeenAnotherReplicaMayAnswerWithTheOldValue(t *testing.T) {
	_, app := seeded(t, 200)
	app += "&options=-c%20strata.notify%3Doff" // so that the other replica looks at the change log in its own time
	writer, other := serve(t, app), serve(t, app)
	old := 0
	for i := 0; i < 500 && old == 0; i++ {
		before := listingIn(t, other.want(t, "/v1/listings/5")).PriceMinor
		price := int64(1000 + i)
		wrote := writer.ask(t, "PATCH", "/v1/listings/5", fmt.Sprintf(`{"price_minor": %d}`, price), "Authorization: Bearer "+writeToken)
		if wrote.status != http.StatusOK {
			t.Fatalf("PATCH: %d %s", wrote.status, wrote.body)
		}
		switch got := listingIn(t, other.want(t, "/v1/listings/5")).PriceMinor; got {
		case before:
			old++
		case price:
		default:
			t.Errorf("write %d: price %d, want %d or still %d", i, got, price, before)
		}
		if got := listingIn(t, other.want(t, "/v1/listings/5", "Strata-Seen: "+wrote.header.Get("Strata-Seen"))).PriceMinor; got != price {
			t.Errorf("write %d: with Strata-Seen price %d, want %d", i, got, price)
		}
	}
	if old == 0 {
		t.Error("no read without Strata-Seen was old: the check proves nothing")
	}
}
