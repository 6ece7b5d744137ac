package viewcache

import (
	"bytes"
	"runtime"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// coding is a content coding of RFC 9110, section 8.4.1.
type coding uint8

const (
	identity coding = iota
	gzipped
	brotlied
	zstandard

	codings = iota
)

// codingNames are the codings as Content-Encoding has them, and, after a hyphen, as the ETags of their forms end.
var codingNames = [codings]string{"identity", "gzip", "br", "zstd"}

// worthCoding is the least size of a body that is kept in other codings too: what fits into one packet arrives no sooner for being smaller,
// while four forms of each listing would fill L1 four times as fast.
const worthCoding = 1400

// encoders holds one encoder of each coding, since they are large and dear to make.
type encoders struct {
	buf  bytes.Buffer
	gzip *gzip.Writer
	br   *brotli.Writer
	zstd *zstd.Encoder
}

// idle holds the encoders that nobody uses, as many as there are processors: compressing does nothing but compute, so more at a time would only take
// more memory.
var idle = sync.OnceValue(func() chan *encoders {
	n := runtime.GOMAXPROCS(0)
	idle := make(chan *encoders, n)
	for range n {
		idle <- nil
	}
	return idle
})

// newEncoders makes encoders of each coding's fastest level. For pages of listings these leave 26, 27 and 26 % of the bytes; the levels that leave a
// tenth less take two to ten times as long, and somebody is waiting for the answer.
func newEncoders() *encoders {
	e := new(encoders)
	e.gzip, _ = gzip.NewWriterLevel(nil, gzip.BestSpeed) // the only error is of a level that there is not
	e.br = brotli.NewWriterLevel(nil, 1)
	e.zstd, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(1<<17), zstd.WithLowerEncoderMem(true)) // the only errors are of such options
	return e
}

// encoded returns the body in a coding, in memory of its own.
func (e *encoders) encoded(c coding, body []byte) []byte {
	e.buf.Reset()
	switch c {
	case gzipped: // a buffer takes everything, so none of these fails
		e.gzip.Reset(&e.buf)
		_, _ = e.gzip.Write(body)
		_ = e.gzip.Close()
	case brotlied:
		e.br.Reset(&e.buf)
		_, _ = e.br.Write(body)
		_ = e.br.Close()
	case zstandard:
		return bytes.Clone(e.zstd.EncodeAll(body, e.buf.AvailableBuffer()))
	case identity:
		return body
	}
	return bytes.Clone(e.buf.Bytes())
}

// encodedIn returns the body in some codings, and nil in the others.
func encodedIn(body []byte, wanted ...coding) (forms [codings][]byte) {
	e := <-idle()
	if e == nil {
		e = newEncoders()
	}
	defer func() { idle() <- e }()
	for _, c := range wanted {
		forms[c] = e.encoded(c, body)
	}
	return forms
}
