package postgres

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"example.com/strata/app/listing"
)

// amenity is something a property has, and how its description mentions it.
type amenity struct{ name, phrase string }

var amenities = [...]amenity{
	{"balcony", "a balcony that catches the evening sun"},
	{"bike-storage", "a lockable room for bicycles"},
	{"concierge", "a concierge in the entrance hall"},
	{"dishwasher", "a dishwasher"},
	{"elevator", "a lift to every floor"},
	{"fireplace", "a working fireplace"},
	{"furnished", "furniture that can stay"},
	{"garage", "a garage"},
	{"garden", "a garden with old fruit trees"},
	{"heat-pump", "a heat pump fitted two winters ago"},
	{"parking", "a parking space of its own"},
	{"pets-allowed", "neighbours who like dogs"},
	{"pool", "a pool"},
	{"roof-terrace", "a shared roof terrace"},
	{"sea-view", "a glimpse of the water"},
	{"solar-panels", "solar panels on the roof"},
	{"storage", "a storage room in the cellar"},
	{"terrace", "a terrace large enough for a table of eight"},
	{"underfloor-heating", "underfloor heating"},
	{"washing-machine", "a washing machine"},
}

// The names of agents.
var (
	givenNames = [...]string{"Ada", "Alba", "Amir", "Ana", "Anders", "Bruno", "Camille", "Carla", "Chloe", "Daniel", "Davide", "Diego", "Elena", "Elif", "Emil", "Eva", "Farid", "Femke", "Filipa", "Greta",
		"Hanna", "Henrik", "Ines", "Irina", "Ivan", "Jana", "João", "Jonas", "Julia", "Katarina", "Lars", "Leila", "Lena", "Luca", "Magda", "Marek", "Maria", "Marta", "Mateo", "Mila",
		"Nadia", "Niamh", "Nina", "Noor", "Olga", "Omar", "Paula", "Pavel", "Pedro", "Petra", "Rafael", "Rita", "Rosa", "Sami", "Sara", "Sofia", "Stefan", "Tereza", "Tomas", "Yasmin"}
	familyNames = [...]string{"Almeida", "Andersson", "Bakker", "Bauer", "Bianchi", "Byrne", "Castro", "Costa", "Dahl", "Delgado", "Dubois", "Esposito", "Fischer", "Fontaine", "Garcia", "Greco", "Hansen", "Horvat",
		"Ionescu", "Jansen", "Kaya", "Keller", "Kowalska", "Larsen", "Laurent", "Lindgren", "Lopes", "Marin", "Martins", "Meyer", "Moreau", "Murphy", "Navarro", "Nemeth", "Nielsen", "Novak", "Nowak", "Oliveira",
		"Papadakis", "Pereira", "Petrov", "Popescu", "Ribeiro", "Ricci", "Rossi", "Santos", "Schmidt", "Silva", "Sousa", "Svensson", "Taylor", "Toth", "Vargas", "Vidal", "Visser", "Vogel", "Weber", "Wolf", "Yilmaz", "Zeman"}
)

var (
	adjectives = [...]string{"Bright", "Quiet", "Spacious", "Renovated", "Charming", "Sunny", "Elegant", "Modern", "Well-kept", "Airy", "Compact", "Handsome", "Light-filled", "Restored"}
	places     = [...]string{"near the old town", "by the park", "close to the river", "in a side street", "near the university", "by the market hall", "next to the tram", "in the garden quarter",
		"above a courtyard", "near the central station", "on a tree-lined avenue", "a short walk from the museum", "in the harbour district", "at the foot of the hill"}
	buildings = [...]string{"a brick building of 1904", "a house of the thirties", "a listed building", "a low building of the sixties", "a new building with few neighbours", "a converted workshop",
		"a block completed in 2019", "a corner house with high ceilings", "a former schoolhouse", "a small building looked after by its owners"}
	rooms = [...]string{"The living room faces south", "The kitchen opens onto the dining room", "The bedrooms look onto the courtyard", "The floors are oak throughout", "The windows were replaced recently",
		"The bathroom has daylight", "There is a study that could be another bedroom", "The hall has built-in cupboards", "The ceilings are over three metres high", "The kitchen is new and fully fitted"}
	surroundings = [...]string{"Bakery, pharmacy and a good school are around the corner", "The underground is four minutes away on foot", "The street has little traffic and many trees",
		"On Saturdays there is a farmers' market in the square", "Two playgrounds and a library are close by", "The airport can be reached in half an hour", "Cafés and small shops line the next street",
		"A cycle path leads to the centre in ten minutes", "The lake and its bathing place are a short ride away", "The hospital and two supermarkets are within walking distance"}
	closings = map[listing.Offer][]string{
		listing.Sale: {"Free of tenants.", "The owners move abroad in spring.", "Low monthly charges.", "Viewings on weekday evenings.", "The reserve fund of the house is healthy.", "Sold without commission."},
		listing.Rent: {"Available from the first of next month.", "Let for at least one year.", "Three months' deposit.", "Heating is included in the charges.", "Viewings on Saturday mornings.", "A guarantor is not needed."},
	}
	nouns = map[listing.PropertyType]string{
		listing.Apartment: "apartment", listing.Studio: "studio", listing.House: "house",
		listing.Townhouse: "townhouse", listing.Villa: "villa", listing.Loft: "loft",
	}
)

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// describe writes the title and the description that suit what is known of the listing.
func describe(r *rand.Rand, l *listing.Listing, city string) {
	noun, place := nouns[l.Type], pick(r, places[:])
	adjective := pick(r, adjectives[:])
	l.Title = fmt.Sprintf("%s %s %s", adjective, noun, place)
	if l.Bedrooms > 0 {
		l.Title = fmt.Sprintf("%s %d-bedroom %s %s", adjective, l.Bedrooms, noun, place)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s of %.0f m² %s in %s, in %s. ", adjective, noun, l.AreaM2, place, city, pick(r, buildings[:]))
	first := r.IntN(len(rooms))
	second := (first + 1 + r.IntN(len(rooms)-1)) % len(rooms)
	fmt.Fprintf(&b, "%s. %s. ", rooms[first], rooms[second])
	if mentioned := mention(r, l.Amenities); mentioned != "" {
		fmt.Fprintf(&b, "It has %s. ", mentioned)
	}
	fmt.Fprintf(&b, "%s. %s", pick(r, surroundings[:]), pick(r, closings[l.Offer]))
	l.Description = b.String()
}

// mention names up to three of the amenities in words.
func mention(r *rand.Rand, names []string) string {
	phrases := make([]string, 0, len(amenities))
	for _, a := range amenities {
		if slices.Contains(names, a.name) {
			phrases = append(phrases, a.phrase)
		}
	}
	r.Shuffle(len(phrases), func(i, j int) { phrases[i], phrases[j] = phrases[j], phrases[i] })
	phrases = phrases[:min(3, len(phrases))]
	switch len(phrases) {
	case 0:
		return ""
	case 1:
		return phrases[0]
	}
	return strings.Join(phrases[:len(phrases)-1], ", ") + " and " + phrases[len(phrases)-1]
}
