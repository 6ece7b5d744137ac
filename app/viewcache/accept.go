package viewcache

import (
	"bytes"
	"slices"
)

// accepts says how much a client wants each coding: the weight of RFC 9110, section 12.4.2, in thousandths. 0 is not at all.
type accepts [codings]uint16

// What clients commonly send, so that few requests have to be parsed.
var (
	anything    = accepts{1000, 1, 1, 1} // no field: whatever there is, but a client that says nothing may well understand nothing
	onlyIdentic = accepts{identity: 1000}
	onlyGzip    = accepts{identity: least, gzipped: 1000}
	gzipAndBr   = accepts{identity: least, gzipped: 1000, brotlied: 1000}
	allCodings  = accepts{identity: least, gzipped: 1000, brotlied: 1000, zstandard: 1000}
)

// least is the weight of identity when the field says nothing of it: it may be sent, but something else was asked for.
const least = 1

// acceptable reads Accept-Encoding (RFC 9110, section 12.5.3). field is nil if there is none.
func acceptable(field []byte) accepts {
	if field == nil {
		return anything
	}
	switch string(field) {
	case "gzip, deflate, br, zstd", "deflate, gzip, br, zstd": // Chromium, Firefox, Edge; curl
		return allCodings
	case "gzip, deflate, br", "br, gzip": // Safari and older browsers; Node
		return gzipAndBr
	case "gzip", "gzip, deflate": // Go and CDNs; Python
		return onlyGzip
	case "", "identity":
		return onlyIdentic
	}
	return parseAccept(field)
}

// parseAccept reads any Accept-Encoding. A member that is malformed is passed over, and of two that name the same coding the first counts.
func parseAccept(field []byte) accepts {
	const unsaid = 1 << 15
	a := accepts{unsaid, unsaid, unsaid, unsaid}
	others := uint16(unsaid) // what * says
	for len(field) > 0 {
		var member []byte
		member, field, _ = bytes.Cut(field, []byte(","))
		name, parameter, weighed := bytes.Cut(member, []byte(";"))
		q := uint16(1000)
		if weighed {
			var ok bool
			if q, ok = parseWeight(parameter); !ok {
				continue
			}
		}
		name = bytes.TrimSpace(name)
		if string(name) == "*" && others == unsaid {
			others = q
		}
		if c, known := codingOf(name); known && a[c] == unsaid {
			a[c] = q
		}
	}
	for c, q := range a {
		switch {
		case q != unsaid:
		case others != unsaid:
			a[c] = others
		case coding(c) == identity:
			a[c] = least
		default:
			a[c] = 0
		}
	}
	return a
}

func codingOf(name []byte) (coding, bool) {
	if bytes.EqualFold(name, []byte("x-gzip")) { // RFC 9110, section 8.4.1.3
		return gzipped, true
	}
	i := slices.IndexFunc(codingNames[:], func(known string) bool { return bytes.EqualFold(name, []byte(known)) })
	return coding(max(i, 0)), i >= 0
}

// parseWeight reads "q=0.5" as thousandths.
func parseWeight(parameter []byte) (uint16, bool) {
	parameter = bytes.TrimSpace(parameter)
	if len(parameter) < 3 || parameter[0]|0x20 != 'q' || parameter[1] != '=' || parameter[2] > '1' || parameter[2] < '0' {
		return 0, false
	}
	q, digits := uint16(parameter[2]-'0')*1000, parameter[3:]
	if len(digits) == 0 {
		return q, true
	}
	if digits[0] != '.' || len(digits) > 4 {
		return 0, false
	}
	for i, place := range []uint16{100, 10, 1} {
		if i+1 >= len(digits) {
			break
		}
		if digits[i+1] < '0' || digits[i+1] > '9' {
			return 0, false
		}
		q += uint16(digits[i+1]-'0') * place
	}
	return q, q <= 1000
}

// choose returns the coding that the client wants most among those that the view is kept in, the smallest of equals; else one that it
// accepts and the view can be brought into. ok is false if there is none: not even identity is acceptable.
func (a *accepts) choose(v *view) (c coding, ok bool) {
	best := uint16(0)
	for i, body := range &v.forms {
		if q := a[i]; body != nil && (q > best || q == best && q > 0 && len(body) < len(v.forms[c])) {
			c, best = coding(i), q
		}
	}
	if best > 0 {
		return c, true
	}
	for i, q := range a {
		if q > best {
			c, best = coding(i), q
		}
	}
	return c, best > 0
}

// nothing reports whether there is nothing here that the client accepts.
func (a *accepts) nothing() bool { return *a == accepts{} }
