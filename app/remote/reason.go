package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Reason is why Redis does not do what it is asked: one of a closed set. The zero value is none.
type Reason string

// The reasons.
const (
	Auth     Reason = "auth"     // the user or the password is wrong, or may not do it
	TLS      Reason = "tls"      // one side speaks TLS and the other does not, or does not trust it
	ReadOnly Reason = "readonly" // a replica
	OOM      Reason = "oom"      // no room, and it may drop nothing
	Refused  Reason = "refused"  // nobody listens there
	Timeout  Reason = "timeout"  // no answer in time
	Protocol Reason = "protocol" // an answer of another kind, or of another program
)

// Advice says what to do about a reason.
func (r Reason) Advice() string {
	return map[Reason]string{
		Auth:     "Redis refuses the user or the password, or the user's rights: look at REDIS_URL and at ACL LIST",
		TLS:      "one side speaks TLS and the other does not, or its certificate is not trusted: look at the scheme in REDIS_URL, redis or rediss",
		ReadOnly: "it is a replica: name the primary in REDIS_URL",
		OOM:      "it is full and may drop nothing: set maxmemory-policy allkeys-lfu, or give it more memory",
		Refused:  "nobody listens there: look at the host and the port in REDIS_URL, and whether Redis runs",
		Timeout:  "it does not answer in time: look at the network between, and at SLOWLOG GET",
		Protocol: "what answers there is not the Redis that was expected: look at the host and the port in REDIS_URL",
	}[r]
}

// ReasonOf returns the reason of an operation's error. That the breaker did not let it through is none: that has a reason of its own.
func ReasonOf(err error) Reason {
	var record tls.RecordHeaderError
	var certificate *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var network net.Error
	switch text := textOf(err); {
	case err == nil, errors.Is(err, redis.Nil), errors.Is(err, context.Canceled), refused(err):
		return ""
	case errors.As(err, &record), errors.As(err, &certificate), errors.As(err, &authority), strings.Contains(text, "tls: "):
		return TLS
	case hasOneOf(text, "WRONGPASS", "NOAUTH", "NOPERM", "ERR AUTH", "ERR invalid password", "ERR Client sent AUTH"):
		return Auth
	case hasOneOf(text, "READONLY", "NOREPLICAS", "MASTERDOWN"):
		return ReadOnly
	case hasOneOf(text, "OOM", "MISCONF"):
		return OOM
	case errors.As(err, &network) && network.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return Timeout
	case errors.As(err, new(*net.OpError)), errors.As(err, new(*net.DNSError)):
		return Refused
	}
	return Protocol
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func hasOneOf(text string, starts ...string) bool {
	for _, start := range starts {
		if strings.HasPrefix(text, start) || strings.Contains(text, ": "+start) {
			return true
		}
	}
	return false
}
