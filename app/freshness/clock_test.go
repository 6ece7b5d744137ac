package freshness

import (
	"testing"
	"testing/synctest"
	"time"
)

// A machine whose clock runs an hour ahead of the database's must not promise what has not happened
// yet.
func TestAsOfIsToldByTheDatabasesClockAndNeverLaterThanThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ahead = time.Hour
		l := NewLedger(Config{})
		began := time.Now()
		time.Sleep(3 * time.Millisecond) // the question's way, and that of the answer
		database := time.Now().Add(-ahead)
		time.Sleep(4 * time.Millisecond)
		l.Apply(Poll{Began: began, Ended: time.Now(), Database: database, Epoch: epoch, Snapshot: snap(t, "5:5:")})
		told, err := time.Parse(TimeFormat, l.AsOf().Text)
		if err != nil {
			t.Fatal(err)
		}
		if truth := began.Add(-ahead); told.After(truth) || truth.Sub(told) > 7*time.Millisecond {
			t.Errorf("as of %v, want the database's %v or little less", told, truth)
		}
		if got := l.Clock().Database(time.Time{}); !got.IsZero() {
			t.Errorf("an unknown moment became %v", got)
		}
		if _, age, blind := l.Horizon(); blind || age != 7*time.Millisecond {
			t.Errorf("age %v, blind %v: what is measured here is measured by one clock", age, blind)
		}
	})
}
