package freshness

import (
	"strconv"
	"testing"
	"time"
)

func TestFirstValueReadAfterATracedChangeIsToldOfItOnce(t *testing.T) {
	l := NewLedger(Config{})
	l.Apply(Poll{Began: time.Now(), Epoch: 1, Snapshot: Snapshot{Xmin: 12, Xmax: 12}, Changes: []Change{
		{XID: 10, Tags: []string{"a", "b"}, Traceparent: "first"}, {XID: 11, Tags: []string{"a"}, Traceparent: "second"}, {XID: 11, Tags: []string{"c"}},
	}})
	for _, tt := range []struct {
		about string
		tag   string
		xmax  XID
		want  string
	}{
		{"read before the change", "a", 11, ""},
		{"first read after it", "a", 12, "second"},
		{"second read after it", "a", 12, ""},
		{"another tag of the earlier change", "b", 12, "first"},
		{"a change that was not traced", "c", 12, ""},
		{"no change", "d", 12, ""},
	} {
		if got := l.Cause(&Stamp{Epoch: 1, Snapshot: Snapshot{Xmin: tt.xmax, Xmax: tt.xmax}, Tags: []string{tt.tag}}); got != tt.want {
			t.Errorf("%s: cause %q, want %q", tt.about, got, tt.want)
		}
	}
}

func TestLedgerRemembersTheLastTracedChangesOnly(t *testing.T) {
	l := NewLedger(Config{})
	for i := range XID(5 * mostCauses) {
		l.Apply(Poll{Began: time.Now(), Epoch: 1, Snapshot: Snapshot{Xmin: i + 2, Xmax: i + 2}, Changes: []Change{
			{XID: i + 1, Tags: []string{"tag:" + strconv.Itoa(int(i))}, Traceparent: "t"},
		}})
	}
	if got := len(l.causes.byTag); got > mostCauses {
		t.Errorf("%d tags are remembered, want at most %d", got, mostCauses)
	}
	at := func(i int) string {
		s := Snapshot{Xmin: 1 << 40, Xmax: 1 << 40}
		return l.Cause(&Stamp{Epoch: 1, Snapshot: s, Tags: []string{"tag:" + strconv.Itoa(i)}})
	}
	if at(0) != "" || at(5*mostCauses-1) != "t" {
		t.Error("the oldest is remembered or the newest is not")
	}
}
