package freshness

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

const epoch Epoch = 1

func snap(t testing.TB, text string) Snapshot {
	t.Helper()
	s, err := ParseSnapshot(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func stampAt(t testing.TB, snapshot string, tags ...string) *Stamp {
	return &Stamp{Epoch: epoch, Snapshot: snap(t, snapshot), Tags: tags}
}

// poll applies changes, given as xid and tags, read under a snapshot.
func poll(t testing.TB, l *Ledger, snapshot string, changes ...Change) Reset {
	return l.Apply(Poll{Began: time.Now(), Epoch: epoch, Snapshot: snap(t, snapshot), Changes: changes})
}

func TestVerdicts(t *testing.T) {
	l := NewLedger(Config{})
	if got := l.Judge(stampAt(t, "5:5:", "a"), nil); got != Unjudged {
		t.Errorf("before the first poll: %v, want Unjudged", got)
	}
	if got := poll(t, l, "30:30:", Change{XID: 10, Tags: []string{"a"}}, Change{XID: 12, Tags: []string{"a", "b"}}); got != ResetStart {
		t.Errorf("first Apply = %q, want %q", got, ResetStart)
	}
	for _, tc := range []struct {
		name     string
		snapshot string
		tags     []string
		want     Verdict
	}{
		{"read after all changes", "13:13:", []string{"a", "b"}, Fresh},
		{"read before them", "10:10:", []string{"a"}, Invalidated},
		{"read between them", "11:11:", []string{"a"}, Invalidated},
		{"the change was in progress", "12:14:12", []string{"b"}, Invalidated},
		{"another was in progress", "11:14:11", []string{"a", "b"}, Fresh},
		{"only untouched tags", "5:5:", []string{"c"}, Fresh},
		{"no tags at all", "5:5:", nil, Fresh},
	} {
		if got := l.Judge(stampAt(t, tc.snapshot, tc.tags...), nil); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
	other := stampAt(t, "13:13:", "a")
	other.Epoch = 2
	if got := l.Judge(other, nil); got != Unjudged {
		t.Errorf("stamp of another epoch: %v, want Unjudged", got)
	}
	if got := l.Judge(new(Stamp), nil); got != Unjudged {
		t.Errorf("zero stamp: %v, want Unjudged", got)
	}
}

func TestLowerTransactionThatCommitsLaterInvalidates(t *testing.T) {
	l := NewLedger(Config{})
	poll(t, l, "12:14:12", Change{XID: 13, Tags: []string{"a"}})
	entry := stampAt(t, "12:14:12", "a") // sees 13, not 12
	if got := l.Judge(entry, nil); got != Fresh {
		t.Fatalf("before 12 commits: %v, want Fresh", got)
	}
	poll(t, l, "15:15:", Change{XID: 12, Tags: []string{"a"}})
	if got := l.Judge(entry, nil); got != Invalidated {
		t.Errorf("after 12 commits: %v, want Invalidated: a ledger that keeps the largest xid only would call it fresh", got)
	}
}

func TestTruncateInvalidatesEverything(t *testing.T) {
	l := NewLedger(Config{})
	poll(t, l, "20:20:", Change{XID: 10, Tags: []string{Everything}})
	if got := l.Judge(stampAt(t, "9:9:", "c"), nil); got != Invalidated {
		t.Errorf("read before: %v, want Invalidated", got)
	}
	if got := l.Judge(stampAt(t, "11:11:", "c"), nil); got != Fresh {
		t.Errorf("read after: %v, want Fresh", got)
	}
}

func TestEntryRemembersItsVerdictUntilSomethingChanges(t *testing.T) {
	l := NewLedger(Config{})
	poll(t, l, "20:20:")
	entry, seen := stampAt(t, "20:20:", "a"), new(atomic.Uint64)
	if got := l.Judge(entry, seen); got != Fresh || seen.Load() == 0 {
		t.Fatalf("verdict %v, remembered %d", got, seen.Load())
	}
	poll(t, l, "21:21:")
	if l.seq.Load() != seen.Load() {
		t.Error("a poll without changes made entries forget their verdict")
	}
	poll(t, l, "22:22:", Change{XID: 21, Tags: []string{"b"}})
	if got := l.Judge(entry, seen); got != Fresh {
		t.Errorf("after a change elsewhere: %v, want Fresh", got)
	}
	poll(t, l, "23:23:", Change{XID: 22, Tags: []string{"a"}})
	if got := l.Judge(entry, seen); got != Invalidated {
		t.Errorf("after its own change: %v, want Invalidated", got)
	}
}

func TestNewEpochRefusesEntriesOfTheOldOne(t *testing.T) {
	l := NewLedger(Config{})
	poll(t, l, "20:20:")
	entry, seen := stampAt(t, "20:20:", "a"), new(atomic.Uint64)
	l.Judge(entry, seen)
	// The new primary had not got as far: it gives transaction ids out again that the entry has
	// seen.
	reset := l.Apply(Poll{Began: time.Now(), Epoch: 2, Snapshot: snap(t, "15:15:")})
	if reset != ResetEpoch {
		t.Errorf("Apply = %q, want %q", reset, ResetEpoch)
	}
	if got := l.Judge(entry, seen); got != Unjudged {
		t.Errorf("entry of the old epoch: %v, want Unjudged", got)
	}
}

func TestFloorForgetsTagsAndRefusesOlderEntries(t *testing.T) {
	l := NewLedger(Config{})
	for x := XID(1); x <= 10; x++ {
		poll(t, l, fmt.Sprintf("%d:%d:", x+1, x+1), Change{XID: x, Tags: []string{fmt.Sprint("tag", x), "hot"}})
	}
	if got := l.Tags(); got != 11 {
		t.Fatalf("%d tags, want 11", got)
	}
	l.Apply(Poll{Began: time.Now(), Epoch: epoch, Snapshot: snap(t, "11:11:"), Floor: 6})
	if got := l.Tags(); got != 6 {
		t.Errorf("%d tags after the floor rose to 6, want the 5 above it and hot", got)
	}
	if got := l.Judge(stampAt(t, "5:5:", "c"), nil); got != Unjudged {
		t.Errorf("entry below the floor: %v, want Unjudged", got)
	}
	if got := l.Judge(stampAt(t, "9:9:", "hot"), nil); got != Invalidated {
		t.Errorf("entry above it, before a change that is kept: %v, want Invalidated", got)
	}
	if got := l.Judge(stampAt(t, "11:11:", "hot"), nil); got != Fresh {
		t.Errorf("entry after all changes: %v, want Fresh", got)
	}
}

func TestLedgerThatIsFullForgetsAllAndStaysTruthful(t *testing.T) {
	l := NewLedger(Config{MaxTags: 3})
	poll(t, l, "9:10:9", Change{XID: 5, Tags: []string{"a", "b", "c"}})
	if got := poll(t, l, "9:12:9", Change{XID: 11, Tags: []string{"d"}}); got != ResetFull {
		t.Fatalf("Apply = %q, want %q", got, ResetFull)
	}
	if got := l.Tags(); got != 0 {
		t.Errorf("%d tags left", got)
	}
	if got := l.Judge(stampAt(t, "9:12:9", "z"), nil); got != Unjudged {
		t.Errorf("entry whose Xmin lies below what was forgotten: %v, want Unjudged", got)
	}
	if got := l.Judge(stampAt(t, "12:12:", "a"), nil); got != Fresh {
		t.Errorf("entry read after all that: %v, want Fresh", got)
	}
}

func TestBlindLedgerSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLedger(Config{BlindAfter: time.Second})
		if _, _, blind := l.Horizon(); !blind {
			t.Error("a ledger without a poll is not blind")
		}
		poll(t, l, "2:2:")
		time.Sleep(time.Second)
		if asOf, age, blind := l.Horizon(); blind || age != time.Second || asOf != l.AsOf() {
			t.Errorf("after exactly BlindAfter: age %v, blind %v", age, blind)
		}
		time.Sleep(time.Millisecond)
		if _, _, blind := l.Horizon(); !blind {
			t.Error("not blind after more than BlindAfter")
		}
	})
}

func TestAwaitReturnsOnceTheTransactionIsCovered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLedger(Config{})
		poll(t, l, "10:12:10")
		if !l.Await(t.Context(), Commit{epoch, 11}) {
			t.Error("a covered transaction is waited for")
		}
		done := make(chan bool)
		go func() { done <- l.Await(t.Context(), Commit{epoch, 10}) }()
		synctest.Wait()
		select {
		case <-l.Wanted():
		default:
			t.Fatal("nobody asked for a poll")
		}
		poll(t, l, "12:12:", Change{XID: 10, Tags: []string{"a"}})
		if !<-done {
			t.Error("Await = false after the transaction was covered")
		}
	})
}

func TestAwaitDoesNotWaitForInventedTransactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLedger(Config{})
		poll(t, l, "10:10:")
		done := make(chan bool)
		go func() { done <- l.Await(t.Context(), Commit{epoch, 1 << 60}) }()
		synctest.Wait()
		time.Sleep(time.Millisecond)
		poll(t, l, "11:11:") // began after the call: it holds every acknowledged write
		if !<-done {
			t.Error("Await = false although a whole poll has passed")
		}

		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if l.Await(ctx, Commit{epoch, 1 << 60}) {
			t.Error("Await = true without any poll")
		}
	})
}

// world is a database of few rows and transactions, written down in full, to judge the ledger by.
type world struct {
	next      XID
	running   []XID
	committed []Change
	touched   map[XID][]string
}

func (w *world) snapshot() Snapshot {
	s := Snapshot{Xmin: w.next, Xmax: w.next, InProgress: slices.Clone(w.running)}
	slices.Sort(s.InProgress)
	if len(s.InProgress) > 0 {
		s.Xmin = s.InProgress[0]
	}
	return s
}

// judgeAgainstHistory runs random histories and compares each verdict of judge with what really
// happened. It returns the first wrong Fresh.
func judgeAgainstHistory(t *rapid.T, judge func(l *Ledger, s *Stamp) Verdict) (wrong string) {
	tags := []string{"a", "b", "c"}
	w := &world{next: 3, touched: make(map[XID][]string)}
	l := NewLedger(Config{})
	last := Snapshot{Xmin: 1, Xmax: 1}
	pollNow := func() {
		now := w.snapshot()
		p := Poll{Began: time.Now(), Epoch: epoch, Snapshot: now}
		for _, c := range w.committed {
			if !last.Sees(c.XID) {
				p.Changes = append(p.Changes, c)
			}
		}
		l.Apply(p)
		last = now
	}
	pollNow()
	var entries []Stamp
	known := 0 // committed changes that the ledger was told of
	judgeEntries := func() (wrong string) {
		for i := range entries {
			fresh := true
			for _, c := range w.committed[:known] {
				if c.Tags[0] == entries[i].Tags[0] && !entries[i].Snapshot.Sees(c.XID) {
					fresh = false
				}
			}
			if got := judge(l, &entries[i]); (got == Fresh) != fresh {
				return fmt.Sprintf("%v under %v: %v, history says fresh=%v", entries[i].Tags, entries[i].Snapshot, got, fresh)
			}
		}
		return ""
	}
	for range rapid.IntRange(5, 60).Draw(t, "steps") {
		switch rapid.IntRange(0, 4).Draw(t, "step") {
		case 0:
			w.running = append(w.running, w.next)
			w.next++
		case 1:
			if len(w.running) > 0 {
				i := rapid.IntRange(0, len(w.running)-1).Draw(t, "which")
				w.committed = append(w.committed, Change{XID: w.running[i], Tags: []string{rapid.SampledFrom(tags).Draw(t, "tag")}})
				w.running = slices.Delete(w.running, i, i+1)
			}
		case 2:
			entries = append(entries, Stamp{Epoch: epoch, Snapshot: w.snapshot(), Tags: []string{rapid.SampledFrom(tags).Draw(t, "tag")}})
		case 3:
			pollNow()
			known = len(w.committed)
		case 4:
			if wrong := judgeEntries(); wrong != "" {
				return wrong
			}
		}
	}
	pollNow()
	known = len(w.committed)
	return judgeEntries()
}

func TestLedgerAgreesWithHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if wrong := judgeAgainstHistory(t, func(l *Ledger, s *Stamp) Verdict { return l.Judge(s, nil) }); wrong != "" {
			t.Fatal(wrong)
		}
	})
}

// The negative control: the same histories find the ledger that keeps only the largest transaction
// of a tag. A history that does is rare (an older transaction must outlive a younger one of the
// same tag, with a stamp between), so the search goes on until there is one.
func TestHistoryFindsALedgerThatKeepsTheLargestTransactionOnly(t *testing.T) {
	largestOnly := func(l *Ledger, s *Stamp) Verdict {
		if h := l.tags[s.Tags[0]]; h != nil && !s.Snapshot.Sees(h.largest()) {
			return Invalidated
		}
		return Fresh
	}
	for range 100 {
		found := false
		rapid.Check(t, func(t *rapid.T) {
			if judgeAgainstHistory(t, largestOnly) != "" {
				found = true
			}
		})
		if found {
			return
		}
	}
	t.Error("no history told the two apart: the check proves nothing")
}

func BenchmarkJudge(b *testing.B) {
	l := NewLedger(Config{})
	l.Apply(Poll{Began: time.Now(), Epoch: epoch, Snapshot: snap(b, "100:100:"), Changes: []Change{{XID: 50, Tags: []string{"listing:1", "city:porto"}}}})
	stamp, seen := stampAt(b, "100:100:", "listing:1", "city:porto"), new(atomic.Uint64)
	b.Run("nothing changed", func(b *testing.B) {
		for b.Loop() {
			l.Judge(stamp, seen)
		}
	})
	b.Run("full check", func(b *testing.B) {
		for b.Loop() {
			l.Judge(stamp, nil)
		}
	})
}

// While one transaction stays open every snapshot's Xmin lies behind it, and lists change often.
// Their entries must not be refused for changes that they have seen, nor served without those that
// they have not.
func TestOpenTransactionDoesNotKeepOftenChangedTagsFromBeingFresh(t *testing.T) {
	l := NewLedger(Config{})
	const open = XID(3)
	poll(t, l, "3:4:3")
	var before *Stamp
	for x := XID(4); x < 1000; x++ {
		entry := stampAt(t, fmt.Sprintf("3:%d:3", x), "hot") // just before the change
		poll(t, l, fmt.Sprintf("3:%d:3", x+1), Change{XID: x, Tags: []string{"hot"}})
		if got := l.Judge(entry, nil); got != Invalidated {
			t.Fatalf("change %d: an entry that lacks it is %v", x, got)
		}
		if before != nil && l.Judge(before, nil) != Invalidated {
			t.Fatalf("change %d: an entry that lacks earlier ones is not refused", x)
		}
		before = entry
		if got := l.Judge(stampAt(t, fmt.Sprintf("3:%d:3", x+1), "hot"), nil); got != Fresh {
			t.Fatalf("change %d: an entry that has seen all is %v", x, got)
		}
	}
	entry := stampAt(t, "3:1000:3", "hot")
	poll(t, l, "1001:1001:", Change{XID: open, Tags: []string{"hot"}})
	if got := l.Judge(entry, nil); got != Invalidated {
		t.Errorf("after the open one committed: %v, want Invalidated", got)
	}
}

// Memory grows with tags, not with changes.
func TestLedgerForgetsByTagHoweverOftenItChanged(t *testing.T) {
	l := NewLedger(Config{})
	for x := XID(3); x < 5000; x++ {
		poll(t, l, fmt.Sprintf("%d:%d:", x+1, x+1), Change{XID: x, Tags: []string{"hot", fmt.Sprint("cold", x%10)}})
	}
	if len(l.aging) != 11 {
		t.Errorf("%d places in the queue for 11 tags", len(l.aging))
	}
	if n := len(l.tags["hot"].recent); n > 2*exact {
		t.Errorf("%d transactions are kept of one tag, want %d at most", n, 2*exact)
	}
	l.Apply(Poll{Began: time.Now(), Epoch: epoch, Snapshot: snap(t, "5000:5000:"), Floor: 5000})
	l.Apply(Poll{Began: time.Now(), Epoch: epoch, Snapshot: snap(t, "5000:5000:"), Floor: 5000})
	if n := l.Tags(); n != 0 {
		t.Errorf("%d tags are left behind the floor", n)
	}
}

func TestCommitIsReadAsItIsWritten(t *testing.T) {
	for _, c := range []Commit{{}, {XID: 7}, {Epoch: 1, XID: 7}, {Epoch: 1<<64 - 1, XID: 1<<64 - 1}} {
		if got, err := ParseCommit(c.String()); err != nil || got != c {
			t.Errorf("%v: read as %v, %v", c, got, err)
		}
	}
	for _, text := range []string{"", "x", "-1", "7-", "7-12", "7-000000000000000g", "7-0000000000000001-", " 7"} {
		if c, err := ParseCommit(text); err == nil {
			t.Errorf("%q was read as %v", text, c)
		}
	}
}
