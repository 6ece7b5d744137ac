package postgres

// seedCity is a real city and what property costs there, roughly.
type seedCity struct {
	slug, name, region, country string
	latitude, longitude         float64
	currency                    string
	sale                        float64 // median price of a square metre, in units of the currency
	rent                        float64 // median rent of a square metre and month, in units of the currency
	radius                      float64 // kilometres within which most listings lie
}

// seedCities in the order of their share of the listings, the largest first.
var seedCities = [...]seedCity{
	{"london", "London", "England", "GB", 51.5074, -0.1278, "GBP", 8100, 33, 14},
	{"paris", "Paris", "Île-de-France", "FR", 48.8566, 2.3522, "EUR", 9600, 31, 8},
	{"madrid", "Madrid", "Community of Madrid", "ES", 40.4168, -3.7038, "EUR", 5100, 20, 9},
	{"berlin", "Berlin", "Berlin", "DE", 52.5200, 13.4050, "EUR", 5300, 17, 12},
	{"lisbon", "Lisbon", "Lisbon District", "PT", 38.7223, -9.1393, "EUR", 5600, 21, 6},
	{"barcelona", "Barcelona", "Catalonia", "ES", 41.3874, 2.1686, "EUR", 4800, 22, 6},
	{"rome", "Rome", "Lazio", "IT", 41.9028, 12.4964, "EUR", 3500, 17, 11},
	{"milan", "Milan", "Lombardy", "IT", 45.4642, 9.1900, "EUR", 5400, 23, 7},
	{"new-york", "New York", "New York", "US", 40.7128, -74.0060, "USD", 14500, 58, 12},
	{"vienna", "Vienna", "Vienna", "AT", 48.2082, 16.3738, "EUR", 5700, 18, 9},
	{"amsterdam", "Amsterdam", "North Holland", "NL", 52.3676, 4.9041, "EUR", 7900, 28, 7},
	{"warsaw", "Warsaw", "Masovia", "PL", 52.2297, 21.0122, "PLN", 16200, 79, 9},
	{"munich", "Munich", "Bavaria", "DE", 48.1351, 11.5820, "EUR", 8600, 22, 8},
	{"porto", "Porto", "Porto District", "PT", 41.1579, -8.6291, "EUR", 3700, 16, 5},
	{"dublin", "Dublin", "Leinster", "IE", 53.3498, -6.2603, "EUR", 5500, 29, 9},
	{"prague", "Prague", "Prague", "CZ", 50.0755, 14.4378, "CZK", 132000, 420, 8},
	{"athens", "Athens", "Attica", "GR", 37.9838, 23.7275, "EUR", 2500, 11, 8},
	{"stockholm", "Stockholm", "Stockholm County", "SE", 59.3293, 18.0686, "SEK", 92000, 290, 9},
	{"copenhagen", "Copenhagen", "Capital Region", "DK", 55.6761, 12.5683, "DKK", 52000, 185, 7},
	{"hamburg", "Hamburg", "Hamburg", "DE", 53.5511, 9.9937, "EUR", 5900, 16, 10},
	{"valencia", "Valencia", "Valencian Community", "ES", 39.4699, -0.3763, "EUR", 2800, 15, 5},
	{"brussels", "Brussels", "Brussels-Capital", "BE", 50.8503, 4.3517, "EUR", 3500, 16, 7},
	{"budapest", "Budapest", "Central Hungary", "HU", 47.4979, 19.0402, "HUF", 1150000, 5200, 9},
	{"toronto", "Toronto", "Ontario", "CA", 43.6532, -79.3832, "CAD", 10800, 42, 13},
	{"zurich", "Zurich", "Canton of Zurich", "CH", 47.3769, 8.5417, "CHF", 16500, 41, 6},
	{"lyon", "Lyon", "Auvergne-Rhône-Alpes", "FR", 45.7640, 4.8357, "EUR", 4700, 15, 6},
	{"manchester", "Manchester", "England", "GB", 53.4808, -2.2426, "GBP", 3600, 17, 8},
	{"oslo", "Oslo", "Oslo", "NO", 59.9139, 10.7522, "NOK", 94000, 330, 7},
	{"frankfurt", "Frankfurt", "Hesse", "DE", 50.1109, 8.6821, "EUR", 6000, 18, 6},
	{"sydney", "Sydney", "New South Wales", "AU", -33.8688, 151.2093, "AUD", 15800, 49, 15},
	{"turin", "Turin", "Piedmont", "IT", 45.0703, 7.6869, "EUR", 2000, 11, 6},
	{"naples", "Naples", "Campania", "IT", 40.8518, 14.2681, "EUR", 2800, 13, 5},
	{"krakow", "Kraków", "Lesser Poland", "PL", 50.0647, 19.9450, "PLN", 15400, 68, 6},
	{"helsinki", "Helsinki", "Uusimaa", "FI", 60.1699, 24.9384, "EUR", 5000, 21, 8},
	{"marseille", "Marseille", "Provence-Alpes-Côte d'Azur", "FR", 43.2965, 5.3698, "EUR", 3400, 15, 7},
	{"seville", "Seville", "Andalusia", "ES", 37.3891, -5.9845, "EUR", 2500, 12, 5},
	{"malaga", "Málaga", "Andalusia", "ES", 36.7213, -4.4214, "EUR", 3300, 15, 6},
	{"rotterdam", "Rotterdam", "South Holland", "NL", 51.9244, 4.4777, "EUR", 4500, 19, 7},
	{"cologne", "Cologne", "North Rhine-Westphalia", "DE", 50.9375, 6.9603, "EUR", 4900, 15, 8},
	{"edinburgh", "Edinburgh", "Scotland", "GB", 55.9533, -3.1883, "GBP", 4200, 19, 6},
	{"bucharest", "Bucharest", "Bucharest", "RO", 44.4268, 26.1025, "EUR", 2100, 10, 8},
	{"tokyo", "Tokyo", "Kantō", "JP", 35.6762, 139.6503, "JPY", 1450000, 4600, 16},
	{"nice", "Nice", "Provence-Alpes-Côte d'Azur", "FR", 43.7102, 7.2620, "EUR", 5300, 19, 5},
	{"antwerp", "Antwerp", "Flanders", "BE", 51.2194, 4.4025, "EUR", 2900, 13, 6},
	{"gothenburg", "Gothenburg", "Västra Götaland", "SE", 57.7089, 11.9746, "SEK", 54000, 195, 8},
	{"thessaloniki", "Thessaloniki", "Central Macedonia", "GR", 40.6401, 22.9444, "EUR", 2100, 9, 5},
	{"bologna", "Bologna", "Emilia-Romagna", "IT", 44.4949, 11.3426, "EUR", 3500, 17, 5},
	{"florence", "Florence", "Tuscany", "IT", 43.7696, 11.2558, "EUR", 4400, 21, 5},
	{"geneva", "Geneva", "Canton of Geneva", "CH", 46.2044, 6.1432, "CHF", 14600, 38, 5},
	{"bordeaux", "Bordeaux", "Nouvelle-Aquitaine", "FR", 44.8378, -0.5792, "EUR", 4400, 15, 6},
	{"wroclaw", "Wrocław", "Lower Silesia", "PL", 51.1079, 17.0385, "PLN", 13300, 62, 6},
	{"bristol", "Bristol", "England", "GB", 51.4545, -2.5879, "GBP", 4300, 20, 6},
	{"salzburg", "Salzburg", "Salzburg", "AT", 47.8095, 13.0550, "EUR", 6100, 18, 4},
	{"ljubljana", "Ljubljana", "Central Slovenia", "SI", 46.0569, 14.5058, "EUR", 4400, 16, 5},
	{"tallinn", "Tallinn", "Harju County", "EE", 59.4370, 24.7536, "EUR", 3300, 13, 6},
	{"riga", "Riga", "Riga", "LV", 56.9496, 24.1052, "EUR", 1700, 9, 7},
	{"vilnius", "Vilnius", "Vilnius County", "LT", 54.6872, 25.2797, "EUR", 2800, 13, 7},
	{"braga", "Braga", "Braga District", "PT", 41.5454, -8.4265, "EUR", 1900, 9, 4},
	{"faro", "Faro", "Algarve", "PT", 37.0194, -7.9304, "EUR", 3100, 13, 5},
	{"granada", "Granada", "Andalusia", "ES", 37.1773, -3.5986, "EUR", 2300, 10, 4},
	{"ghent", "Ghent", "Flanders", "BE", 51.0543, 3.7174, "EUR", 3300, 13, 5},
	{"bergen", "Bergen", "Vestland", "NO", 60.3913, 5.3221, "NOK", 59000, 230, 6},
}
