package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// step is a part of the work and about how long it takes.
type step struct {
	name  string
	takes time.Duration
}

// progress tells how far the work is: by a bar where somebody looks at it, else by a line for each step. It keeps to a plan; a step
// that takes longer than planned holds the bar up.
type progress struct {
	out  io.Writer
	plan []step
	bar  *progressbar.ProgressBar // nil where nobody looks

	mu      sync.Mutex
	at      int // index of the present step; -1 before the first
	began   time.Time
	stopped chan struct{}
	drawn   sync.WaitGroup
}

func newProgress(out *os.File, plan []step) *progress {
	p := &progress{out: out, plan: plan, at: -1, stopped: make(chan struct{})}
	if !term.IsTerminal(int(out.Fd())) {
		return p
	}
	p.bar = progressbar.NewOptions64(int64(p.total()/time.Millisecond), progressbar.OptionSetWriter(out), progressbar.OptionSetWidth(30),
		progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false), progressbar.OptionClearOnFinish())
	p.drawn.Go(func() {
		ticker := time.NewTicker(250 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-p.stopped:
				_ = p.bar.Clear() // a bar that cannot be drawn is no reason to stop
				return
			case <-ticker.C:
				p.draw()
			}
		}
	})
	return p
}

// next begins the next step of the plan.
func (p *progress) next() {
	p.mu.Lock()
	p.at++
	p.began = time.Now()
	p.mu.Unlock()
	if p.bar == nil && p.at < len(p.plan) {
		_, _ = fmt.Fprintf(p.out, "%3d %%  %s (about %s left)\n", 100*p.done()/max(p.total(), 1), p.plan[p.at].name, inWords(p.total()-p.done()))
	}
}

// say writes a line that is not about progress.
func (p *progress) say(line string) {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	_, _ = fmt.Fprintln(p.out, line)
}

// stop removes the bar.
func (p *progress) stop() {
	close(p.stopped)
	p.drawn.Wait()
}

func (p *progress) draw() {
	p.mu.Lock()
	name := ""
	if p.at >= 0 && p.at < len(p.plan) {
		name = p.plan[p.at].name
	}
	p.mu.Unlock()
	done := p.done()
	p.bar.Describe(fmt.Sprintf("%s, about %s left", name, inWords(p.total()-done)))
	_ = p.bar.Set64(int64(done / time.Millisecond))
}

// done returns how much of the plan is behind us.
func (p *progress) done() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	var done time.Duration
	for i := 0; i < min(p.at, len(p.plan)); i++ {
		done += p.plan[i].takes
	}
	if p.at >= 0 && p.at < len(p.plan) {
		done += min(time.Since(p.began), p.plan[p.at].takes)
	}
	return done
}

func (p *progress) total() time.Duration {
	var total time.Duration
	for _, s := range p.plan {
		total += s.takes
	}
	return total
}

// inWords rounds a duration to what a waiting person wants to know.
func inWords(d time.Duration) string {
	seconds := int(math.Ceil(d.Seconds()))
	if seconds < 60 {
		return fmt.Sprintf("%d s", seconds)
	}
	return fmt.Sprintf("%d min %02d s", seconds/60, seconds%60)
}
