package httpapi

import (
	"fmt"
	"strings"
	"testing"

	"example.com/strata/app/cache"
	"example.com/strata/app/listing"
)

// sqlstates are a code of each class that PostgreSQL's manual lists, some that are unlike their class, and some of nobody's. With each, what a write and a read are answered
// when the server gives it.
var sqlstates = []struct {
	code        string
	write, read string
}{
	{"03000", "setup", "setup"}, {"08000", "unavailable", "unavailable"}, {"08006", "unavailable", "unavailable"}, {"08P01", "setup", "setup"}, {"09000", "refused", "database-fault"},
	{"0A000", "setup", "setup"}, {"0B000", "database-fault", "database-fault"}, {"0F001", "database-fault", "database-fault"}, {"0L000", "setup", "setup"},
	{"0P000", "setup", "setup"}, {"0Z002", "database-fault", "database-fault"}, {"10608", "database-fault", "database-fault"}, {"20000", "refused", "database-fault"},
	{"21000", "refused", "database-fault"}, {"22003", "refused", "database-fault"}, {"22012", "refused", "database-fault"}, {"22021", "refused", "refused"}, {"22P05", "refused", "refused"},
	{"23000", "referred", "database-fault"}, {"23001", "referred", "database-fault"}, {"23502", "refused", "database-fault"}, {"23503", "referred", "database-fault"},
	{"23505", "referred", "database-fault"}, {"23514", "refused", "database-fault"}, {"23P01", "referred", "database-fault"}, {"24000", "database-fault", "database-fault"},
	{"25000", "busy", "busy"}, {"25006", "read-only", "read-only"}, {"25P02", "busy", "busy"}, {"25P03", "busy", "busy"}, {"25P04", "unavailable", "unavailable"}, {"26000", "busy", "busy"},
	{"27000", "referred", "database-fault"}, {"28000", "setup", "setup"}, {"28P01", "setup", "setup"}, {"2BP01", "setup", "setup"}, {"2D000", "refused", "database-fault"},
	{"2F005", "refused", "database-fault"}, {"34000", "database-fault", "database-fault"}, {"38001", "refused", "database-fault"}, {"39004", "refused", "database-fault"},
	{"3B001", "database-fault", "database-fault"}, {"3D000", "setup", "setup"}, {"3F000", "setup", "setup"}, {"40001", "busy", "busy"}, {"40002", "referred", "database-fault"},
	{"40003", "unavailable", "unavailable"}, {"40P01", "busy", "busy"}, {"42501", "setup", "setup"}, {"42P01", "setup", "setup"}, {"44000", "refused", "database-fault"},
	{"53100", "exhausted", "exhausted"}, {"53200", "exhausted", "exhausted"}, {"53300", "exhausted", "exhausted"}, {"53400", "exhausted", "exhausted"}, {"54000", "refused", "database-fault"},
	{"55000", "busy", "busy"}, {"55P02", "setup", "setup"}, {"55P03", "busy", "busy"}, {"57014", "unavailable", "unavailable"}, {"57P01", "unavailable", "unavailable"},
	{"57P04", "setup", "setup"}, {"58030", "exhausted", "exhausted"}, {"72000", "busy", "busy"}, {"F0000", "setup", "setup"}, {"HV000", "unavailable", "unavailable"},
	{"P0001", "refused", "database-fault"}, {"XX000", "database-fault", "database-fault"}, {"XX001", "database-fault", "database-fault"}, {"ZZ999", "refused", "database-fault"},
}

func TestEachStateOfTheServersHasItsAnswer(t *testing.T) {
	s := newService(t, cache.Config{Strategy: cache.None})
	// What the server says is what the table says: to writes by a trigger, to reads by a view in the place of the cities.
	s.exec(t, `CREATE TABLE state (code text); INSERT INTO state VALUES ('');
		CREATE FUNCTION complain() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ DECLARE c text; BEGIN SELECT code INTO c FROM state; IF c <> '' THEN RAISE EXCEPTION 'SECRET words' USING ERRCODE = c; END IF; RETURN NEW; END $$;
		CREATE TRIGGER complain BEFORE UPDATE ON listings FOR EACH ROW EXECUTE FUNCTION complain();
		CREATE FUNCTION complaint() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$ DECLARE c text; BEGIN SELECT code INTO c FROM state; IF c <> '' THEN RAISE EXCEPTION 'SECRET words' USING ERRCODE = c; END IF; RETURN true; END $$;
		ALTER TABLE cities RENAME TO real_cities;
		CREATE VIEW cities AS SELECT * FROM real_cities WHERE complaint();
		GRANT SELECT ON cities TO strata_app;`)
	for _, state := range sqlstates {
		t.Run(state.code, func(t *testing.T) {
			s.exec(t, `UPDATE state SET code = $1`, state.code)
			for what, slug := range map[string]string{"write": state.write, "read": state.read} {
				r := s.get(t, "/v1/cities")
				if what == "write" {
					r = s.write(t, "PATCH", "/v1/listings/1", fmt.Sprintf(`{"title": "Not %s"}`, state.code))
				}
				p := r.problem(t)
				if p.Type != problemPath+slug || r.status != kindNamed(slug).status || strings.Contains(r.body, "SECRET") {
					t.Errorf("%s: got %d %s, want %s", what, r.status, r.body, slug)
				}
				if again := r.header.Get("Retry-After"); (again != "") != (r.status == 503) {
					t.Errorf("%s: Retry-After is %q with status %d", what, again, r.status)
				}
			}
			if !strings.Contains(s.log.String(), state.code) {
				t.Error("the log does not say which")
			}
		})
	}
	s.exec(t, `UPDATE state SET code = ''`)
	if r := s.write(t, "PATCH", "/v1/listings/1", `{"title": "Well"}`); r.status != 200 {
		t.Errorf("afterwards: status %d", r.status)
	}
}

func TestWhatTheServerAsksForIsDoneOver(t *testing.T) {
	s := newService(t, cache.Config{Strategy: cache.None})
	s.exec(t, `CREATE SEQUENCE tries; GRANT USAGE ON SEQUENCE tries TO strata_app;
		CREATE FUNCTION complain() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF nextval('tries') % 3 <> 0 THEN RAISE EXCEPTION 'not now' USING ERRCODE = TG_ARGV[0]; END IF; RETURN NEW; END $$;`)
	for _, code := range []string{"40001", "40P01", "55P03"} {
		s.exec(t, `CREATE OR REPLACE TRIGGER complain BEFORE INSERT OR UPDATE ON listings FOR EACH ROW EXECUTE FUNCTION complain('`+code+`')`)
		if r := s.write(t, "PATCH", "/v1/listings/1", `{"title": "`+code+`"}`); r.status != 200 {
			t.Errorf("%s: status %d %s", code, r.status, r.body)
		}
		if r := s.write(t, "POST", "/v1/listings", aDraft(), headerIdempotencyKey, code); r.status != 201 {
			t.Errorf("%s: creating: status %d %s", code, r.status, r.body)
		}
	}
}

func TestLoadedIDsAreSteppedOver(t *testing.T) {
	s := newService(t, cache.Config{Strategy: cache.None})
	s.exec(t, `INSERT INTO listings (id, title, description, city, type, offer, price_minor, currency, bedrooms, bathrooms, area_m2, latitude, longitude, agent_id)
		SELECT 30 + g, 't', '', 'lisbon', 'house', 'sale', 1, 'EUR', 1, 1, 50, 38.7, -9.1, 1 FROM generate_series(1, 500) g`)
	var l listingWire
	for i, header := range [][]string{nil, {headerIdempotencyKey, "a-key"}} {
		r := s.write(t, "POST", "/v1/listings", aDraft(), header...)
		if r.into(t, &l); r.status != 201 || l.ID != 531+int64(i) {
			t.Errorf("got status %d and id %d, want 201 and %d", r.status, l.ID, 531+i)
		}
	}
}

// aDraft is a body that makes a listing.
func aDraft() string {
	return `{"title": "A house", "city": "lisbon", "type": "` + string(listing.House) + `", "offer": "sale", "price_minor": 100, "currency": "EUR", "bedrooms": 1, "bathrooms": 1,
		"area_m2": 50, "latitude": 38.7, "longitude": -9.1, "agent_id": 1}`
}
