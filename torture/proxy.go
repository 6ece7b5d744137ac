package main

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// proxy stands before Postgres. It can be turned to another server, cut all connections, and hold back what goes through.
type proxy struct {
	listener net.Listener
	target   atomic.Pointer[string]
	refuse   atomic.Bool
	delay    atomic.Int64 // nanoseconds before each piece is passed on to the server

	mu      sync.Mutex
	open    map[net.Conn]struct{}
	running sync.WaitGroup
}

func newProxy(target string) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, open: make(map[net.Conn]struct{})}
	p.target.Store(&target)
	p.running.Go(func() {
		for {
			in, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				p.running.Go(func() { p.carry(in) })
			}
		}
	})
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) carry(in net.Conn) {
	defer in.Close()
	if p.refuse.Load() {
		return
	}
	out, err := net.Dial("tcp", *p.target.Load())
	if err != nil {
		return
	}
	defer out.Close()
	p.mu.Lock()
	p.open[in], p.open[out] = struct{}{}, struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.open, in)
		delete(p.open, out)
		p.mu.Unlock()
	}()
	back := make(chan struct{})
	go func() { defer close(back); _, _ = io.Copy(in, out); _ = in.Close() }()
	_, _ = io.Copy(slowly{out, &p.delay}, in)
	_ = out.Close()
	<-back
}

// slowly waits before each write.
type slowly struct {
	io.Writer
	delay *atomic.Int64
}

func (s slowly) Write(b []byte) (int, error) {
	if d := s.delay.Load(); d > 0 {
		time.Sleep(time.Duration(d))
	}
	return s.Writer.Write(b)
}

// cut ends all connections; new ones are taken.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		_ = c.Close()
	}
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.cut()
	p.running.Wait()
}
