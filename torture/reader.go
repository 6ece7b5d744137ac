package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// readers is how many read at once, and batch how many requests each sends before it reads the answers.
const (
	readers = 4
	batch   = 32
)

// asked is one request of a batch.
type asked struct {
	kind string // listing, page, cursor, cities, stats
	id   int64
	city string
	held held // what If-None-Match says that the client has
}

// held is a listing that a client has.
type held struct {
	tag   string
	state state
}

// reader keeps a connection to one replica at a time.
type reader struct {
	w   *world
	rng *rand.Rand

	conn     net.Conn
	in       *bufio.Reader
	out, raw []byte
	asked    []asked
	next     string             // the last cursor
	held     [listings + 1]held // by id

	asOfText []byte
	asOf     time.Time
}

func (w *world) read(ctx context.Context, rng *rand.Rand) {
	r := &reader{w: w, rng: rng, in: bufio.NewReaderSize(nil, 64<<10)}
	for ctx.Err() == nil {
		if err := r.batch(); err != nil {
			w.tally.broken.Add(1)
			if r.conn != nil {
				_ = r.conn.Close()
			}
			r.conn = nil
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	if r.conn != nil {
		_ = r.conn.Close()
	}
}

func (r *reader) batch() error {
	if r.conn == nil || r.rng.IntN(200) == 0 {
		if r.conn != nil {
			_ = r.conn.Close()
		}
		var err error
		if r.conn, err = net.DialTimeout("tcp", r.w.replicas[r.rng.IntN(replicaCount)].http, time.Second); err != nil {
			r.conn = nil
			return err
		}
		r.in.Reset(r.conn)
	}
	r.out, r.asked = r.out[:0], r.asked[:0]
	for range batch {
		r.ask()
	}
	_ = r.conn.SetDeadline(time.Now().Add(8 * time.Second))
	if _, err := r.conn.Write(r.out); err != nil {
		return err
	}
	for _, a := range r.asked {
		if err := r.answer(a); err != nil {
			return err
		}
	}
	return nil
}

// ask adds a request to the batch.
func (r *reader) ask() {
	city := cities[r.rng.IntN(len(cities))]
	a := asked{kind: "listing", id: 1 + r.rng.Int64N(listings), city: city}
	path := ""
	switch k := r.rng.IntN(1000); {
	case k < 965:
		path = "/v1/listings/" + strconv.FormatInt(a.id, 10)
		if k < 300 {
			a.held = r.held[a.id]
		}
	case k < 980:
		a.kind, path = "page", "/v1/listings?city="+city+"&limit=100"
		if k%2 == 0 {
			path += "&type=apartment&facets=type"
		}
	case k < 988:
		a.kind, path = "cursor", "/v1/listings?limit=20"
		if r.next != "" {
			path += "&cursor=" + r.next
		}
	case k < 994:
		a.kind, path = "stats", "/v1/cities/"+city+"/stats"
	default:
		a.kind, path = "cities", "/v1/cities"
	}
	r.out = append(r.out, "GET "...)
	r.out = append(r.out, path...)
	r.out = append(r.out, " HTTP/1.1\r\nHost: a\r\n"...)
	if a.held.tag != "" {
		r.out = append(r.out, "If-None-Match: "...)
		r.out = append(r.out, a.held.tag...)
		r.out = append(r.out, "\r\n"...)
	} else if c := r.rng.IntN(40); c < 3 {
		r.out = append(r.out, "Accept-Encoding: "+[]string{"gzip", "br", "zstd"}[c]+"\r\n"...)
	}
	r.out = append(r.out, "\r\n"...)
	r.asked = append(r.asked, a)
}

// answered is what the header of an answer says.
type answered struct {
	status     int
	length     int
	tag        string
	coding     string
	stale, hit bool
	status9211 string
}

func (r *reader) answer(a asked) error {
	h, err := r.header()
	if err != nil {
		return err
	}
	if cap(r.raw) < h.length {
		r.raw = make([]byte, 2*h.length)
	}
	body := r.raw[:h.length]
	if _, err := io.ReadFull(r.in, body); err != nil {
		return err
	}
	t := &r.w.tally
	t.reads.Add(1)
	switch {
	case h.status >= 500 || h.status == 429:
		t.refused.Add(1)
		return nil
	case h.status != 200 && h.status != 304:
		return fmt.Errorf("status %d: %s", h.status, body)
	case h.stale:
		t.labelled.Add(1)
		return nil
	case r.asOf.IsZero():
		t.unclaimed.Add(1)
		return nil
	}
	if h.hit {
		t.hits.Add(1)
	}
	if h.coding != "" {
		if body, err = decode(h.coding, body); err != nil {
			return err
		}
	}
	r.judge(a, h, body, time.Now())
	return nil
}

// header reads up to the body. Each line is looked at in place.
func (r *reader) header() (h answered, err error) {
	line, err := r.in.ReadSlice('\n')
	if err != nil {
		return h, err
	}
	if len(line) < 12 {
		return h, fmt.Errorf("not HTTP: %q", line)
	}
	h.status, _ = strconv.Atoi(string(line[9:12]))
	seen := false
	for {
		if line, err = r.in.ReadSlice('\n'); err != nil {
			return h, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch string(name) {
		case "Content-Length":
			h.length, _ = strconv.Atoi(string(value))
		case "ETag":
			h.tag = string(value)
		case "Content-Encoding":
			h.coding = string(value)
		case "Cache-Status":
			h.stale, h.hit = bytes.Contains(value, []byte("detail=stale")), bytes.Contains(value, []byte("; hit"))
			h.status9211 = string(value)
		case "Strata-As-Of":
			seen = true
			if !bytes.Equal(value, r.asOfText) {
				r.asOfText = append(r.asOfText[:0], value...)
				r.asOf, err = time.Parse(time.RFC3339Nano, string(value))
				if err != nil {
					return h, err
				}
			}
		}
	}
	if !seen {
		r.asOf, r.asOfText = time.Time{}, r.asOfText[:0]
	}
	if h.status == 304 {
		h.length = 0
	}
	return h, nil
}

// item is what matters of a listing in a page.
type item struct {
	ID         int64
	City       string
	PriceMinor int64 `json:"price_minor"`
}

func (r *reader) judge(a asked, h answered, body []byte, end time.Time) {
	base := suspect{kind: a.kind, id: a.id, asOf: r.asOf, end: end, detail: h.status9211}
	switch a.kind {
	case "listing":
		r.judgeListing(a, h, body, base)
	case "page", "cursor":
		r.judgePage(a, body, base)
	case "stats":
		var got struct{ Listings int64 }
		if json.Unmarshal(body, &got) == nil {
			base.in, base.count = a.city, &got.Listings
			r.w.judge(base)
		}
	case "cities":
		var got struct {
			Items []struct {
				Slug    string
				ForSale int64 `json:"for_sale"`
			}
		}
		if json.Unmarshal(body, &got) == nil {
			for i := range got.Items {
				one := base
				one.in, one.count = got.Items[i].Slug, &got.Items[i].ForSale
				r.w.judge(one)
			}
		}
	}
}

func (r *reader) judgeListing(a asked, h answered, body []byte, s suspect) {
	if h.status == 304 {
		s.kind, s.state = "304", a.held.state
		r.w.judge(s)
		return
	}
	s.state = state{number(body, `"price_minor":`), text(body, `"city":"`)}
	r.w.judge(s)
	r.held[a.id] = held{h.tag, s.state}
}

func (r *reader) judgePage(a asked, body []byte, s suspect) {
	var page struct {
		Items  []item
		Next   string
		Facets map[string][]struct{ Count int64 }
	}
	if json.Unmarshal(body, &page) != nil {
		return
	}
	there := make(map[int64]bool)
	for _, i := range page.Items {
		one := s
		one.id, one.state = i.ID, state{i.PriceMinor, i.City}
		there[i.ID] = true
		r.w.judge(one)
	}
	if a.kind == "cursor" {
		r.next = page.Next
		return
	}
	for id := int64(1); id <= listings; id++ {
		if !there[id] {
			one := s
			one.id, one.in = id, a.city
			r.w.judge(one)
		}
	}
	for _, f := range page.Facets["type"] {
		one := s
		one.kind, one.in, one.count = "facets", a.city, &f.Count
		r.w.judge(one)
	}
}

func number(body []byte, name string) int64 {
	at := bytes.Index(body, []byte(name))
	if at < 0 {
		return -1
	}
	n := int64(0)
	for _, c := range body[at+len(name):] {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + int64(c-'0')
	}
	return n
}

// text returns the value of a field: one of cities, so that none is made anew.
func text(body []byte, name string) string {
	at := bytes.Index(body, []byte(name))
	if at < 0 {
		return ""
	}
	rest := body[at+len(name):]
	value := rest[:max(0, bytes.IndexByte(rest, '"'))]
	for _, c := range cities {
		if string(value) == c {
			return c
		}
	}
	return string(value)
}

func decode(coding string, body []byte) ([]byte, error) {
	switch coding {
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(z)
	case "br":
		return io.ReadAll(brotli.NewReader(bytes.NewReader(body)))
	case "zstd":
		z, err := zstd.NewReader(bytes.NewReader(body), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		return io.ReadAll(z)
	}
	return nil, fmt.Errorf("coding %q was not asked for", coding)
}
