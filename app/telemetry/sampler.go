package telemetry

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// defaultRatio keeps one trace of a hundred: enough exemplars for a board, too few to be felt by a server whose usual answer takes microseconds.
const defaultRatio = 0.01

// sampler decides about a trace at its head, from the request's traceparent alone, before anything is allocated for it.
type sampler struct {
	on       bool   // false where traces are off
	byParent bool   // a caller's decision is ours
	bound    uint64 // of 1<<63: how many of all traces are kept
}

// newSampler reads the values of OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG. As the specification says, a ratio sampler
// without an argument keeps everything; with no sampler named it is ours: parentbased_traceidratio, 0.01.
func newSampler(name, arg string) (sampler, error) {
	name, arg = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(arg)
	ratio := 1.0
	if name == "" {
		name, ratio = "parentbased_traceidratio", defaultRatio
	}
	s := sampler{on: true}
	kind, byParent := strings.CutPrefix(name, "parentbased_")
	s.byParent = byParent
	switch kind {
	case "always_on":
		s.bound = 1 << 63
	case "always_off":
		s.bound = 0
	case "traceidratio":
		if arg != "" {
			r, err := strconv.ParseFloat(arg, 64)
			if err != nil || !(r >= 0 && r <= 1) { // written so that NaN is refused too
				return sampler{}, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG: %q is not a ratio from 0 to 1", arg)
			}
			ratio = r
		}
		s.bound = uint64(ratio * (1 << 63))
	default:
		return sampler{}, fmt.Errorf("OTEL_TRACES_SAMPLER: %q is none of always_on, always_off, traceidratio, or one of these with parentbased_ before it", name)
	}
	return s, nil
}

// sampled allocates nothing.
func (s *sampler) sampled(traceparent string) bool {
	if !s.on {
		return false
	}
	parent, ok := parseTraceparent(traceparent)
	switch {
	case !ok:
		return rand.Uint64()>>1 < s.bound
	case s.byParent:
		return parent.TraceFlags.IsSampled()
	}
	return binary.BigEndian.Uint64(parent.TraceID[8:])>>1 < s.bound // as the SDK does, so that all services keep the same traces
}

// parseTraceparent reads the header of W3C Trace Context, and reports false for anything that the specification does not
// allow. It accepts exactly what propagation.TraceContext does, without a map, a context or an allocation.
func parseTraceparent(h string) (trace.SpanContextConfig, bool) {
	const length = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	var parent trace.SpanContextConfig
	var version, flags [1]byte
	if len(h) < length || h[2] != '-' || h[35] != '-' || h[52] != '-' {
		return parent, false
	}
	if !unhex(version[:], h[:2]) || !unhex(parent.TraceID[:], h[3:35]) || !unhex(parent.SpanID[:], h[36:52]) || !unhex(flags[:], h[53:55]) {
		return parent, false
	}
	switch {
	case version[0] == 0xff:
		return parent, false
	case version[0] == 0 && (len(h) != length || flags[0] > 3):
		return parent, false
	case len(h) > length && h[length] != '-': // a later version may append more
		return parent, false
	}
	parent.TraceFlags = trace.TraceFlags(flags[0]) & (trace.FlagsSampled | trace.FlagsRandom)
	parent.Remote = true
	return parent, parent.TraceID.IsValid() && parent.SpanID.IsValid()
}

// unhex decodes lower-case hexadecimal only, as the specification wants it.
func unhex(dst []byte, src string) bool {
	for i := range dst {
		hi, lo := nibble(src[2*i]), nibble(src[2*i+1])
		if hi|lo > 0xf {
			return false
		}
		dst[i] = hi<<4 | lo
	}
	return true
}

func nibble(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// decided is the SDK's sampler. The decision was made by Sampled before the SDK was asked, so that a span which StartServer
// starts is always kept, children follow their parent, and nothing else begins a trace.
type decided struct{}

type keepKey struct{}

func (decided) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	parent := trace.SpanContextFromContext(p.ParentContext)
	result := sdktrace.SamplingResult{Decision: sdktrace.Drop, Tracestate: parent.TraceState()}
	if parent.IsSampled() || p.ParentContext.Value(keepKey{}) != nil {
		result.Decision = sdktrace.RecordAndSample
	}
	return result
}

func (decided) Description() string { return "DecidedAtHead" }

// appendTraceparent is the inverse of parseTraceparent for our own spans.
func appendTraceparent(b []byte, span trace.SpanContext) []byte {
	traceID, spanID := span.TraceID(), span.SpanID()
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, traceID[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, spanID[:])
	b = append(b, '-')
	return hex.AppendEncode(b, []byte{byte(span.TraceFlags() & (trace.FlagsSampled | trace.FlagsRandom))})
}
