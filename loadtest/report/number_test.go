package report

import "testing"

func TestNumbersAreWrittenForPeople(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{duration(0), "0"}, {duration(1e-9), "<1 µs"}, {duration(42e-6), "42 µs"}, {duration(0.00042), "0.42 ms"}, {duration(0.00099999), "1.0 ms"},
		{duration(0.0017), "1.7 ms"}, {duration(0.00996), "10 ms"}, {duration(0.0478), "48 ms"}, {duration(0.9996), "1.0 s"}, {duration(9.8), "9.8 s"},
		{duration(60), "60 s"}, {duration(150), "2.5 min"},
		{count(0), "0"}, {count(999), "999"}, {count(1000), "1,000"}, {count(1234567.4), "1,234,567"}, {count(-1200), "-1,200"},
		{percent(0), "0 %"}, {percent(0.00001), "<0.01 %"}, {percent(0.0004), "0.04 %"}, {percent(0.084), "8.4 %"}, {percent(0.31), "31 %"},
		{percent(0.996), "99.6 %"}, {percent(0.9996), "99.96 %"}, {percent(0.99999), ">99.99 %"}, {percent(1), "100 %"}, {percent(1.3), "130 %"},
		{figure(0), "0"}, {figure(0.0004), "<0.001"}, {figure(0.0042), "0.0042"}, {figure(0.069), "0.069"}, {figure(0.32), "0.32"}, {figure(1.59), "1.6"}, {figure(1271), "1,271"},
		{factor(28.4), "28×"}, {factor(5.27), "5.3×"},
		{effort(0), "0.0 s"}, {effort(0.004), "0.004 s"}, {effort(74.21), "74.2 s"},
		{size(12), "12 B"}, {size(64_300_000), "64 MB"}, {size(8.3e9), "8.3 GB"},
		{list(nil), ""}, {list([]string{"a"}), "a"}, {list([]string{"a", "b", "c"}), "a, b and c"},
		{noun(1, "read"), "1 read"}, {noun(12430, "read"), "12,430 reads"},
		{pair(0.0011, 0.0046), "1.1 / 4.6\u00a0ms"}, {pair(0.0011, 1.5), "1.1 ms / 1.5\u00a0s"},
		{glue("31 % within 9.8 s of 5 reads"), "31\u00a0% within 9.8\u00a0s of 5 reads"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

func TestQuantileGoesAlongALogarithmicScale(t *testing.T) {
	buckets := []Bucket{{UpTo: 0.001}, {UpTo: 0.01, Count: 50}, {UpTo: 0.1, Count: 50}}
	for _, test := range []struct{ q, want float64 }{{0.25, 0.0031623}, {0.5, 0.01}, {1, 0.1}} {
		if got, ok := quantile(buckets, test.q); !ok || got < test.want*0.999 || got > test.want*1.001 {
			t.Errorf("quantile %g: got %g, %v, want %g", test.q, got, ok, test.want)
		}
	}
	if _, ok := quantile(nil, 0.5); ok {
		t.Error("quantile of nothing is known")
	}
}

func TestLabelsAreMovedApart(t *testing.T) {
	tags := []tag{{want: 100, name: "a"}, {want: 101, name: "b"}, {want: 98, name: "c"}}
	spread(tags, 18, 0, 110)
	for i := 1; i < len(tags); i++ {
		if tags[i].y-tags[i-1].y < 18 || tags[i].y > 110 {
			t.Errorf("%s at %g, %s at %g", tags[i-1].name, tags[i-1].y, tags[i].name, tags[i].y)
		}
	}
}
