package cache

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSourcesHaveTheirLabels(t *testing.T) {
	var got []string
	for i, s := range Sources {
		if int(s) != i {
			t.Errorf("source %v is number %d of Sources, want %d", s, i, s)
		}
		got = append(got, s.String())
	}
	want := []string{"view_l1", "view_l2", "data_l1", "data_l2", "postgres", "stale", "error"}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("labels (-got +want):\n%s", diff)
	}
}
