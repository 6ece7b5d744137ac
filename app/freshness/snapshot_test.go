package freshness

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestSnapshotIsReadAsPostgresPrintsIt(t *testing.T) {
	for _, tc := range []struct {
		text string
		want Snapshot
	}{
		{"1:1:", Snapshot{Xmin: 1, Xmax: 1}},
		{"10:20:", Snapshot{Xmin: 10, Xmax: 20}},
		{"10:20:10,14,19", Snapshot{Xmin: 10, Xmax: 20, InProgress: []XID{10, 14, 19}}},
		{"18446744073709551614:18446744073709551615:", Snapshot{Xmin: 1<<64 - 2, Xmax: 1<<64 - 1}},
	} {
		got, err := ParseSnapshot(tc.text)
		if err != nil {
			t.Errorf("ParseSnapshot(%q): %v", tc.text, err)
			continue
		}
		if diff := cmp.Diff(got, tc.want); diff != "" {
			t.Errorf("ParseSnapshot(%q), got -, want +:\n%s", tc.text, diff)
		}
		if got.String() != tc.text {
			t.Errorf("String() = %q, want %q", got.String(), tc.text)
		}
	}
	for _, text := range []string{"", "1", "1:2", "a:2:", "2:1:", "1:2:x", "10:20:9", "10:20:20", "10:20:,", "-1:2:", "10:20:11,,12", " 1:2:"} {
		if got, err := ParseSnapshot(text); !errors.Is(err, ErrSnapshot) {
			t.Errorf("ParseSnapshot(%q) = %v, %v; want ErrSnapshot", text, got, err)
		}
	}
}

func TestSnapshotSeesWhatHadEndedBeforeIt(t *testing.T) {
	s := Snapshot{Xmin: 10, Xmax: 20, InProgress: []XID{10, 14}}
	for x, want := range map[XID]bool{0: true, 9: true, 10: false, 11: true, 13: true, 14: false, 15: true, 19: true, 20: false, 1000: false} {
		if got := s.Sees(x); got != want {
			t.Errorf("%v.Sees(%d) = %v, want %v", s, x, got, want)
		}
		if standby := s.Standby(); standby.Sees(x) != (x < s.Xmin) {
			t.Errorf("%v.Standby().Sees(%d) = %v: on a standby only what lies below Xmin is sure", s, x, standby.Sees(x))
		}
	}
}

// snapshots draws snapshots over few transaction ids, so that any two overlap in every way.
func snapshots() *rapid.Generator[Snapshot] {
	return rapid.Custom(func(t *rapid.T) Snapshot {
		s := Snapshot{Xmin: XID(rapid.IntRange(1, 20).Draw(t, "xmin"))}
		s.Xmax = s.Xmin + XID(rapid.IntRange(0, 15).Draw(t, "width"))
		for x := s.Xmin; x < s.Xmax; x++ {
			if rapid.Bool().Draw(t, "running") {
				s.InProgress = append(s.InProgress, x)
			}
		}
		return s
	})
}

func TestBothAndEitherSeeExactlyTheIntersectionAndTheUnion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := snapshots().Draw(t, "a"), snapshots().Draw(t, "b")
		both, either := Both(a, b), Either(a, b)
		for x := XID(0); x < 40; x++ {
			if both.Sees(x) != (a.Sees(x) && b.Sees(x)) {
				t.Fatalf("Both(%v, %v) = %v sees %d: %v", a, b, both, x, both.Sees(x))
			}
			if either.Sees(x) != (a.Sees(x) || b.Sees(x)) {
				t.Fatalf("Either(%v, %v) = %v sees %d: %v", a, b, either, x, either.Sees(x))
			}
		}
	})
}

func stamps() *rapid.Generator[Stamp] {
	return rapid.Custom(func(t *rapid.T) Stamp {
		tags := rapid.SliceOfNDistinct(rapid.StringN(0, 8, 30), 0, 5, rapid.ID).Draw(t, "tags")
		if len(tags) == 0 {
			tags = nil
		}
		slices.Sort(tags)
		return Stamp{Epoch: Epoch(rapid.Uint64().Draw(t, "epoch")), Snapshot: snapshots().Draw(t, "snapshot"), Tags: tags}
	})
}

func TestStampSurvivesItsEncoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := stamps().Draw(t, "stamp")
		b, err := want.AppendBinary([]byte("before"))
		if err != nil {
			t.Fatal(err)
		}
		got, rest, err := DecodeStamp(append(b, "after"...)[len("before"):])
		if err != nil || string(rest) != "after" {
			t.Fatalf("DecodeStamp: rest %q, error %v", rest, err)
		}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Fatalf("got -, want +:\n%s", diff)
		}
	})
}

func FuzzDecodeStampRefusesWhatItDidNotWrite(f *testing.F) {
	stamp := Stamp{Epoch: 7, Snapshot: Snapshot{Xmin: 10, Xmax: 20, InProgress: []XID{12, 15}}, Tags: []string{"city:porto", "listing:1"}}
	b, _ := stamp.AppendBinary(nil)
	f.Add(b)
	f.Add(b[:9])
	f.Add([]byte("12345678\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		stamp, rest, err := DecodeStamp(b)
		if err != nil {
			return
		}
		again, err := stamp.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		back, _, err := DecodeStamp(again)
		if err != nil {
			t.Fatalf("its own encoding is refused: %v", err)
		}
		if diff := cmp.Diff(back, stamp); diff != "" {
			t.Fatal(diff)
		}
		if len(rest) > len(b) {
			t.Fatal("more left than there was")
		}
	})
}
