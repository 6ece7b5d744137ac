package report

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// absent stands where nothing was measured. A zero that was measured is written 0.
const absent = "–"

// duration writes seconds with the unit that suits them and two or three significant digits.
func duration(seconds float64) string {
	switch {
	case seconds <= 0:
		return "0"
	case seconds < 0.5e-6:
		return "<1 µs"
	case seconds < 0.0995e-3:
		return fmt.Sprintf("%.0f µs", seconds*1e6)
	case seconds < 0.995e-3:
		return fmt.Sprintf("%.2f ms", seconds*1e3)
	case seconds < 0.9995:
		return short(seconds*1e3) + " ms"
	case seconds < 99.5:
		return short(seconds) + " s"
	}
	return short(seconds/60) + " min"
}

// short writes one decimal below ten and none above.
func short(v float64) string {
	if v < 9.95 {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return count(math.Round(v))
}

// effort writes CPU seconds. The unit stays, so that a row of them can be compared at a glance.
func effort(seconds float64) string {
	if seconds > 0 && seconds < 0.05 {
		return fmt.Sprintf("%.3f s", seconds)
	}
	return fmt.Sprintf("%.1f s", seconds)
}

// count writes a whole number with commas between thousands.
func count(v float64) string {
	digits := strconv.FormatFloat(math.Abs(math.Round(v)), 'f', 0, 64)
	var b strings.Builder
	if v <= -0.5 {
		b.WriteByte('-')
	}
	for i, digit := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	return b.String()
}

// figure writes a number without a unit with two significant digits or more.
func figure(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 0.001:
		return "<0.001"
	case v < 0.00995:
		return strconv.FormatFloat(v, 'f', 4, 64)
	case v < 0.0995:
		return strconv.FormatFloat(v, 'f', 3, 64)
	case v < 0.995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return short(v)
}

// percent writes a share. It never rounds a share to 0 % or to 100 % that is neither.
func percent(share float64) string {
	p := share * 100
	switch {
	case p <= 0:
		return "0 %"
	case p >= 100:
		return fmt.Sprintf("%.0f %%", p)
	case p < 0.01:
		return "<0.01 %"
	case p < 0.095:
		return fmt.Sprintf("%.2f %%", p)
	case p < 9.95, p >= 99.5 && p < 99.95:
		return fmt.Sprintf("%.1f %%", p)
	case p < 99.5:
		return fmt.Sprintf("%.0f %%", p)
	case p < 99.995:
		return fmt.Sprintf("%.2f %%", p)
	}
	return ">99.99 %"
}

// factor writes how many times.
func factor(v float64) string {
	return short(v) + "×"
}

// size writes bytes in decimal units.
func size(bytes float64) string {
	switch {
	case bytes < 1e3:
		return fmt.Sprintf("%.0f B", bytes)
	case bytes < 1e6:
		return short(bytes/1e3) + " kB"
	case bytes < 1e9:
		return short(bytes/1e6) + " MB"
	}
	return short(bytes/1e9) + " GB"
}

// list joins "a", "b" and "c" to "a, b and c".
func list(items []string) string {
	if len(items) < 2 {
		return strings.Join(items, "")
	}
	last := len(items) - 1
	return strings.Join(items[:last], ", ") + " and " + items[last]
}

// noun counts things: 1 request, 2,000 requests.
func noun(n int64, singular string) string {
	if n == 1 {
		return "1 " + singular
	}
	return count(float64(n)) + " " + singular + "s"
}

var unit = regexp.MustCompile(`(\d) (µs|ms|s|min|%|B|kB|MB|GB)\b|(\d) (%)`)

// glue puts a no-break space between a number and its unit, so that no line ends between them.
func glue(text string) string {
	return unit.ReplaceAllString(text, "$1$3\u00a0$2$4")
}
