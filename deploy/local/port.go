package local

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

const (
	loopback = "127.0.0.1"

	// Below the range from which Linux takes the ports of outgoing connections: there, a client that keeps dialling a stopped
	// server could be given the server's own port, and take it or even connect to itself.
	firstPort, lastPort = 15000, 32000

	portTries = 10
)

var errPortTaken = errors.New("the port is in use")

// freePort returns a loopback port that nobody listens on now. Somebody may a moment later, so whoever uses it tries again.
func freePort() (int, error) {
	var err error
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		var listener net.Listener
		if listener, err = net.Listen("tcp", address(port)); err == nil {
			return port, listener.Close()
		}
	}
	return 0, fmt.Errorf("looking for a free port: %w", err)
}

func address(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }

// onFreePort calls start with one free port after the other until it does not return errPortTaken.
func (s *Stack) onFreePort(start func(port int) error) error {
	for try := 1; ; try++ {
		port, err := s.cfg.freePort()
		if err != nil {
			return err
		}
		if err = start(port); !errors.Is(err, errPortTaken) || try == portTries {
			return err
		}
	}
}
