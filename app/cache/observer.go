package cache

import (
	"context"
	"time"
)

// Op is something that a read waits for.
type Op struct {
	Kind  Kind
	Class string
	Level Level
	Began time.Time

	// What End is told beside.
	Took   time.Duration // the origin's part of a load; 0 if it was not asked, or if nothing is to be counted
	Joined bool          // the waiting brought another replica's value
}

// Kind is what a read waits for.
type Kind uint8

const (
	// Load is the origin, on behalf of a cache.
	Load Kind = iota
	// Await is another replica's load of the same key.
	Await
)

// Observer sees what reads wait for; the shape is pgx's QueryTracer. Hits of L1 never reach it: Stats counts those, and whoever
// exports them reads them when asked. A nil Observer sees nothing. L2 has its own.
type Observer interface {
	// Class is told of each class when it is made.
	Class(class string, level Level)

	// Start is told before; what it returns is the context of what is waited for.
	Start(ctx context.Context, op Op) context.Context
	// End is told after, with that context.
	End(ctx context.Context, op Op, err error)

	// Note is what others should know of the load that ctx belongs to, a traceparent say; empty mostly. It travels with marks.
	Note(ctx context.Context) string
	// Joined tells of the note of the load that the read with this context was given a value of.
	Joined(ctx context.Context, note string)
	// Caused tells of the note of the change that a load is the first to show.
	Caused(ctx context.Context, op Op, note string)

	// Age tells of the age of an entry that was served, since it was read from the origin: of one in 16.
	Age(level Level, age time.Duration)
}

type nobody struct{}

func (nobody) Class(string, Level)                             {}
func (nobody) Start(ctx context.Context, _ Op) context.Context { return ctx }
func (nobody) End(context.Context, Op, error)                  {}
func (nobody) Note(context.Context) string                     { return "" }
func (nobody) Joined(context.Context, string)                  {}
func (nobody) Caused(context.Context, Op, string)              {}
func (nobody) Age(Level, time.Duration)                        {}
