package main

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"golang.org/x/sync/errgroup"
)

// warmFrom is the number of the first request that warms the service. The measured ones begin at 0, those of the search for the capacity at
// capacityFrom: the same distribution, other draws.
const (
	warmFrom     = 1 << 31
	capacityFrom = 1 << 30
)

// warm asks for each path once. What a cache keeps does not depend on how often it was asked, so this stands for as much traffic
// as named the paths, at the price of its misses.
func warm(ctx context.Context, url string, paths []string) error {
	const visitors = 8
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: visitors}}
	defer client.CloseIdleConnections()
	group, ctx := errgroup.WithContext(ctx)
	next := make(chan string)
	group.Go(func() error {
		defer close(next)
		for _, path := range paths {
			select {
			case next <- path:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range visitors {
		group.Go(func() error {
			for path := range next {
				if err := visit(ctx, client, url+path); err != nil {
					return fmt.Errorf("warming: %w", err)
				}
			}
			return nil
		})
	}
	return group.Wait()
}

func visit(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, answer.Status)
	}
	return nil
}
