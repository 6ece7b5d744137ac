package remote

import (
	"context"
	"time"
)

// Op is one operation that a request waits for.
type Op struct {
	Kind    Kind
	Command string // of Redis
	Where   Place
	Began   time.Time
}

// Kind is what an operation is for.
type Kind uint8

const (
	// Get asks for an entry.
	Get Kind = iota
	// Set keeps an entry or a mark.
	Set
	// Delete drops entries, or a mark.
	Delete

	// Kinds is how many kinds there are.
	Kinds = iota
)

// String is the kind's label value.
func (k Kind) String() string { return [Kinds]string{"get", "set", "delete"}[k] }

// Place says which Redis an operation goes to. Of a Cluster nothing is known: which node it was is the Cluster's affair.
type Place struct {
	Host string // or the path of a socket; empty for a Cluster
	Port int    // 0 for a socket
	DB   int
}

// Observer sees each operation and each breaker. A nil Observer sees nothing.
type Observer interface {
	// Start is told before an operation; what it returns is the operation's context.
	Start(ctx context.Context, op Op) context.Context
	// End is told after it, with that context. That there is nothing under a key is no error.
	End(ctx context.Context, op Op, err error)

	// Breaker is told when a node's breaker changes, with the worst state of all nodes: 1 if one is open, 0.5 if one is being tried.
	Breaker(node, from, to string, worst float64)
}

type nobody struct{}

func (nobody) Start(ctx context.Context, _ Op) context.Context { return ctx }
func (nobody) End(context.Context, Op, error)                  {}
func (nobody) Breaker(string, string, string, float64)         {}
