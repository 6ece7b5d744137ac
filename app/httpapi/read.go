package httpapi

import (
	"context"

	"github.com/gofiber/fiber/v2"
)

type listingOutput struct {
	ETag string `header:"ETag" doc:"Strong; for If-None-Match and If-Match"`
	Body listingWire
}

type pageOutput struct{ Body pageWire }

type citiesOutput struct{ Body citiesWire }

type statsOutput struct{ Body statsWire }

func (s *Server) getListing(ctx context.Context, c *fiber.Ctx) (*listingOutput, error) {
	if err := noQuery(c); err != nil {
		return nil, err
	}
	id, err := idOf(c)
	if err != nil {
		return nil, err
	}
	l, err := s.listings.Listing(ctx, id)
	if err != nil {
		return nil, err
	}
	return &listingOutput{ETag: etagOf(&l), Body: listingWire(l)}, nil
}

func (s *Server) searchListings(ctx context.Context, c *fiber.Ctx) (*pageOutput, error) {
	q, err := queryOf(c)
	if err != nil {
		return nil, err
	}
	page, err := s.listings.Search(ctx, q)
	if err != nil {
		return nil, err
	}
	facets, err := s.listings.Facets(ctx, q)
	if err != nil {
		return nil, err
	}
	return &pageOutput{pageOf(page, facets)}, nil
}

func (s *Server) getCities(ctx context.Context, c *fiber.Ctx) (*citiesOutput, error) {
	if err := noQuery(c); err != nil {
		return nil, err
	}
	cities, err := s.listings.Cities(ctx)
	if err != nil {
		return nil, err
	}
	return &citiesOutput{citiesOf(cities)}, nil
}

func (s *Server) getStats(ctx context.Context, c *fiber.Ctx) (*statsOutput, error) {
	if err := noQuery(c); err != nil {
		return nil, err
	}
	city, err := cityOf(c)
	if err != nil {
		return nil, err
	}
	stats, err := s.listings.CityStats(ctx, city)
	if err != nil {
		return nil, err
	}
	return &statsOutput{statsOf(stats)}, nil
}
