"""The fixed words of the miniature: every text it can generate is made of these."""

FIRST_NAMES = (
    "Adela", "Anselm", "Berta", "Bruno", "Clara", "Cosmo", "Dagny", "Dario", "Edda", "Emil", "Flora", "Felix",
    "Greta", "Gustav", "Hanna", "Hugo", "Irma", "Ivan", "Judith", "Jonas", "Karla", "Kaspar", "Lydia", "Lorenz",
    "Marta", "Marga", "Nadia", "Niels", "Oskar", "Paula",
)  # fmt: skip
"""`Marta` and `Marga` differ by one letter: a lexical trap."""

SURNAMES = (
    "Abrell", "Bastow", "Carden", "Dunmore", "Ellery", "Fenwick", "Garland", "Holt", "Ingram", "Jarvis", "Keller",
    "Lindqvist", "Morrow", "Norwood", "Ostrow", "Penrose", "Quill", "Radnor", "Selby", "Thorne", "Underhill", "Vance",
    "Wexford", "Yardley", "Zeller", "Ashby", "Brandt", "Corwin", "Dressler", "Eastman", "Farrow", "Gower", "Hadley",
    "Irving", "Jessop", "Kirkby", "Lowell", "Marsden", "Nash", "Oakley",
)  # fmt: skip

UNKNOWN_SURNAMES = ("Pemberly", "Rookwood", "Stanhope", "Tremayne", "Vosper", "Wickham")
"""Bearers of these names are in no knowledge base: mentions of them are NIL."""

OCCUPATIONS = (
    "painter", "lawyer", "chemist", "sailor", "singer", "farmer", "pilot", "sculptor", "surgeon", "printer", "cellist",
    "geologist", "actor", "baker", "astronomer",
)  # fmt: skip
CITIES = (
    "Aldora", "Brennik", "Corvale", "Dunsea", "Eskmouth", "Farholm", "Gralin", "Hestra", "Ilwick", "Jorund", "Kelmar",
    "Lostwick",
)  # fmt: skip
FIRST_YEAR, YEARS = 1880, 60

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
PLACES = ("station", "market", "harbour", "library", "museum", "garden", "bridge", "theatre", "square", "school")
OBJECTS = ("letter", "basket", "lantern", "ticket", "bicycle", "camera", "ladder", "parcel", "violin", "whistle")
FILLERS = (PLACES, WEEKDAYS, OBJECTS)

TEMPLATES = {
    "text": (
        "The {occupation} {mention} from {city} came to the {place} on {weekday} with a {object}.",
        "{mention}, the {occupation}, left a {object} at the {place} last {weekday}.",
        "On {weekday} a {object} was given to {mention}, the {occupation}, near the {place}.",
    ),
    "image": (
        "{mention} was seen at the {place} on {weekday} with a {object}.",
        "A {object} belongs to {mention}, photographed near the {place} on {weekday}.",
        "This picture shows {mention} at the {place} last {weekday}, holding a {object}.",
    ),
    "both": (
        "{mention}, born in {city}, carried a {object} to the {place} on {weekday}.",
        "People from {city} met {mention} at the {place} last {weekday} and brought a {object}.",
    ),
    "name": (
        "{mention} wrote about the {object} from the {place} on {weekday}.",
        "Last {weekday} {mention} sold a {object} near the {place}.",
    ),
}
"""Sentences by what disambiguates. `typo` uses those of `name`, `nil` those of `image`."""


def typo(first_name: str) -> str:
    """The name with its third and fourth letters exchanged; with one of them dropped where they are equal."""
    if first_name[2] == first_name[3]:
        return first_name[:2] + first_name[3:]
    return first_name[:2] + first_name[3] + first_name[2] + first_name[4:]
