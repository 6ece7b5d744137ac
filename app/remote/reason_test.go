package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
)

func TestEachRefusalHasItsReasonAndWhatToDo(t *testing.T) {
	for text, want := range map[string]Reason{
		"WRONGPASS invalid username-password pair or user is disabled.": Auth, "NOAUTH Authentication required.": Auth,
		"NOPERM this user has no permissions to run the 'get' command": Auth, "ERR AUTH <password> called without any password configured": Auth,
		"READONLY You can't write against a read only replica.": ReadOnly, "OOM command not allowed when used memory > 'maxmemory'.": OOM,
		"MISCONF Redis is configured to save RDB snapshots": OOM, "tls: first record does not look like a TLS handshake": TLS, "redis: can't parse reply": Protocol,
	} {
		for _, err := range []error{errors.New(text), fmt.Errorf("greeting: %w", errors.New(text))} {
			if got := ReasonOf(err); got != want || got.Advice() == "" {
				t.Errorf("%v: reason %q, want %q", err, got, want)
			}
		}
	}
	var dial net.Dialer
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	if _, err := dial.DialContext(t.Context(), "tcp", addr); ReasonOf(err) != Refused {
		t.Errorf("%v: reason %q, want refused", err, ReasonOf(err))
	}
	for _, err := range []error{nil, context.Canceled} {
		if got := ReasonOf(err); got != "" {
			t.Errorf("%v: reason %q, want none", err, got)
		}
	}
	if got := ReasonOf(context.DeadlineExceeded); got != Timeout {
		t.Errorf("a deadline: reason %q", got)
	}
}
