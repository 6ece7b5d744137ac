package main

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// latencyLimit is the time within which 99 of 100 answers come at a service's capacity.
const latencyLimit = 50 * time.Millisecond

// What stops a search for the capacity.
const (
	limitLatency   = "latency"   // the service answered too slowly
	limitErrors    = "errors"    // the service answered wrongly, or not at all
	limitGenerator = "generator" // the generator could not ask faster; the service might have gone on
	limitCeiling   = "ceiling"   // the search had no steps left, or reached the highest rate that it tries
)

// probe is what a short time at one rate showed.
type probe struct {
	rate      float64       // that was asked for
	achieved  float64       // requests started in the time
	p99       time.Duration // from when a request should have been sent to its answer
	answerP99 time.Duration // from when it was sent
	errors    int
	generator float64 // cores that the generator used
	served    float64 // cores that service, database and Redis used
}

// limit says what kept the probe from being sustained; "" if nothing did.
func (p probe) limit() string {
	switch {
	case p.errors > 0:
		return limitErrors
	case p.p99 < latencyLimit && p.achieved >= 0.98*p.rate:
		return ""
	// Answers come in time but requests were late, or the generator is what keeps the processors busy.
	case p.answerP99 < latencyLimit, p.generator > p.served:
		return limitGenerator
	}
	return limitLatency
}

// attacker is a generator of the traffic: vegeta in this process, which costs a fraction of what k6 does.
type attacker struct {
	traffic *traffic
	prices  []int64 // by id, for writes
	url     string
	token   string
	served  func() (float64, error) // CPU seconds used so far by what is attacked
	next    atomic.Uint32           // number of the next request
}

// vegetaWorkers bounds the requests under way. At a capacity with p99 under 50 ms there are fewer.
const vegetaWorkers = 1000

// probe attacks at a rate for a while. It takes longer than that at low rates, so that there are some requests to judge.
func (a *attacker) probe(ctx context.Context, rate float64, length time.Duration) (probe, error) {
	const enough = 100 // requests
	length = min(max(length, time.Duration(enough/rate*float64(time.Second))), 2*length)
	p := probe{rate: rate}
	served, err := a.served()
	if err != nil {
		return p, err
	}
	own := ownCPUSeconds()
	began := time.Now()

	generator := vegeta.NewAttacker(vegeta.Workers(32), vegeta.MaxWorkers(vegetaWorkers), vegeta.Connections(vegetaWorkers),
		vegeta.Timeout(5*time.Second), vegeta.MaxBody(0))
	stop := context.AfterFunc(ctx, func() { generator.Stop() })
	defer stop()
	pace := vegeta.Rate{Freq: int(math.Round(rate * 100)), Per: 100 * time.Second}
	var fromDue, fromSent []time.Duration
	for result := range generator.Attack(a.target, pace, length, "") {
		due := time.Duration(float64(result.Seq) / rate * float64(time.Second))
		late := max(result.Timestamp.Sub(began)-due, 0)
		fromDue = append(fromDue, late+result.Latency)
		fromSent = append(fromSent, result.Latency)
		if result.Code != http.StatusOK {
			p.errors++
		}
	}
	if ctx.Err() != nil {
		return p, ctx.Err()
	}

	seconds := time.Since(began).Seconds()
	p.generator = (ownCPUSeconds() - own) / seconds
	now, err := a.served()
	if err != nil {
		return p, err
	}
	p.served = (now - served) / seconds
	p.achieved = float64(len(fromSent)) / length.Seconds()
	slices.Sort(fromDue)
	slices.Sort(fromSent)
	p.p99, p.answerP99 = quantile(fromDue, 0.99), quantile(fromSent, 0.99)
	return p, nil
}

// saturate asks without a pause, as visitors who wait for their answers do, and returns how many requests a second are answered. The first
// part of the time does not count: connections are made and the database's memory fills.
func (a *attacker) saturate(ctx context.Context, visitors uint64, length time.Duration) (float64, error) {
	generator := vegeta.NewAttacker(vegeta.Workers(visitors), vegeta.MaxWorkers(visitors), vegeta.Timeout(5*time.Second), vegeta.MaxBody(0))
	stop := context.AfterFunc(ctx, func() { generator.Stop() })
	defer stop()
	counted := time.Now().Add(length / 3)
	answered := 0
	var failure error
	asFastAsAnswered := vegeta.Rate{}
	for result := range generator.Attack(a.target, asFastAsAnswered, length, "") {
		if result.Code != http.StatusOK {
			failure = fmt.Errorf("%s %s: %s", result.Method, result.URL, result.Error)
		}
		if result.Timestamp.After(counted) {
			answered++
		}
	}
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return float64(answered) / time.Since(counted).Seconds(), failure
}

// target makes the next request of the traffic.
func (a *attacker) target(t *vegeta.Target) error {
	r := a.traffic.request(a.next.Add(1))
	t.Method, t.URL = r.method, a.url+r.path
	if r.class == classWrite {
		price := int64(math.Round(float64(a.prices[r.id]) * r.factor))
		t.Body = strconv.AppendInt([]byte(`{"price_minor":`), price, 10)
		t.Body = append(t.Body, '}')
		t.Header = http.Header{"Authorization": {"Bearer " + a.token}, "Content-Type": {"application/merge-patch+json"}}
	}
	return nil
}

// search looks for the highest rate that try sustains: it doubles the rate until one is not, then halves the interval. A
// rate that is not sustained by little gets a second chance, since any machine has a bad second. It returns
// the best probe, whose rate is 0 if no rate was sustained, and what kept it from being better.
func search(ctx context.Context, start float64, steps int, try func(context.Context, float64) (probe, error)) (best probe, limit string, err error) {
	const (
		highest = 100_000 // requests a second
		near    = 1.08    // bounds that are this near are not worth a step
	)
	limit = limitCeiling
	rate, bad := start, math.Inf(1)
	for step := 0; step < steps && rate <= highest && bad/max(best.rate, 1) > near; step++ {
		p, err := try(ctx, rate)
		if err == nil && p.limit() != "" && p.p99 < 3*latencyLimit && step+1 < steps {
			step++
			p, err = try(ctx, rate)
		}
		if err != nil {
			return best, limit, fmt.Errorf("trying %.0f requests/s: %w", rate, err)
		}
		if why := p.limit(); why != "" {
			bad, limit = rate, why
		} else {
			best = p
		}
		switch {
		case math.IsInf(bad, 1):
			rate *= 2
		case best.rate == 0:
			rate /= 2
		default:
			rate = math.Sqrt(best.rate * bad)
		}
	}
	return best, limit, nil
}
