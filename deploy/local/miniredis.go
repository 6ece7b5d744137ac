package local

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// miniRedis imitates Redis inside this process, so that the demo goes on where there is none. Its speed says nothing about Redis.
type miniRedis struct {
	password string
	server   *miniredis.Miniredis
	halt     chan struct{} // closed to end the clock
	halted   chan struct{}
}

func (m *miniRedis) start(_ context.Context, port int) error {
	server := miniredis.NewMiniRedis()
	server.RequireAuth(m.password)
	if err := server.StartAddr(address(port)); errors.Is(err, syscall.EADDRINUSE) {
		return errPortTaken
	} else if err != nil {
		return err
	}
	m.server, m.halt, m.halted = server, make(chan struct{}), make(chan struct{})
	go m.clock()
	return nil
}

// clock lets time pass: a miniredis expires nothing by itself.
func (m *miniRedis) clock() {
	defer close(m.halted)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-m.halt:
			return
		case now := <-tick.C:
			m.server.FastForward(now.Sub(last))
			last = now
		}
	}
}

func (m *miniRedis) stop() {
	if m.server == nil {
		return
	}
	close(m.halt)
	<-m.halted
	m.server.Close()
	m.server = nil
}

func (m *miniRedis) pid() int {
	if m.server == nil {
		return 0
	}
	return os.Getpid()
}
