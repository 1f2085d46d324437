"""Sentences put together from templates; they fill the training split only."""

from draws import Draw
from texts import Entity, Sentence, surfaces


# Sentences of a kind of thing. They leave open which one, where two that share the name are of that kind.
BY_TYPE = {
    "animal": ("The [x] was fed at noon.", "A [x] ran away when it heard us.", "The vet looked after the [x].",
               "We watched the [x] for an hour without making a sound.", "The [x] has had young ones this spring.",
               "In the wild a [x] can grow old."),
    "plant": ("The gardener cut back the [x].", "A [x] grows behind the house.", "The [x] had no water for weeks."),
    "food": ("We ate the [x] for lunch.", "Fresh from the kitchen: the [x].", "The [x] tasted better than last time.",
             "For this recipe you need one [x].", "She left half of the [x] on her plate."),
    "drink": ("He finished his [x] and paid.", "One more [x] before we go?", "The [x] was too cold to drink.",
              "The waiter brought a [x] to table four."),
    "instrument": ("She practises the [x] an hour a day.", "He played the [x] at the concert.",
                   "The sound of the [x] filled the hall.", "The [x] was out of tune."),
    "sports equipment": ("We bring the [x] to every training.", "The coach lent me his [x].",
                         "The team needs a new [x] for next season.", "He got a [x] when he joined the club."),
    "sport": ("He practises with his [x] on Sundays.", "The champion signed my [x]."),
    "vehicle": ("The [x] left on time.", "Twenty people were on board the [x].", "The [x] broke down on the way.",
                "We travelled by [x] all day.", "The driver of the [x] waved to us."),
    "clothing": ("She wore her [x] to the party.", "The [x] does not fit me any more.", "He hung up his [x] to dry.",
                 "This [x] is in fashion again."),
    "tool": ("The craftsman reached for the [x].", "The [x] lies on the workbench.", "I repaired it with a [x]."),
    "household": ("We keep the [x] in the kitchen.", "The [x] is a present from my mother-in-law.",
                  "Clean the [x] once a week."),
    "office": ("Put the [x] back on my desk.", "The secretary asked for the [x].", "The pupils brought a [x] each."),
    "electronics": ("The [x] needs an update.", "The [x] broke one day after the guarantee ended.",
                    "Do not let the [x] get wet."),
    "container": ("The [x] is full to the top.", "What is inside the [x]?", "She carried the [x] home."),
    "building": ("The [x] was built a hundred years ago.", "We stood at the entrance of the [x].",
                 "The town wants to renovate the [x]."),
    "game": ("It was my turn, and I played the [x].", "He won thanks to the [x]."),
    "symbol": ("She had a [x] drawn on the cover.", "The sign above the door shows a [x]."),
    "body part": ("The doctor examined the [x].", "My [x] hurts."),
    "nature": ("The [x] was the finest sight of the trip.", "We stopped to look at the [x]."),
    "money": ("She counted the money in front of her: the [x] was missing.", "The cashier asked about the [x]."),
    "jewellery": ("The [x] was made by a goldsmith.", "She inherited the [x] from her grandmother."),
    "person": ("The [x] smiled at the camera and went on.", "The [x] was interviewed after the show."),
    "fantasy": ("In the legend a [x] appears at night.", "The [x] of the fairy tale frightened me as a child."),
    "weapon": ("The warrior raised his [x].", "The [x] hangs in the armoury."),
    "award": ("The [x] was handed over at the ceremony.", "She kissed the [x] and cried."),
    "gesture": ("He greeted us with a [x].", "A [x] was the only answer."),
    "medicine": ("The nurse brought the [x].", "The hospital is short of such a [x]."),
    "safety": ("The inspector checked the [x].", "In an emergency look for the [x]."),
    "party": ("For the feast we still need a [x].", "The guests admired the [x]."),
    "place": ("We spent our holidays in [x].", "The president of [x] spoke on television."),
}  # fmt: skip
OPENINGS = ("Look at this [x]!", "My [x].", "Here is the [x] again.", "This [x] was a surprise.", "What a [x].",
            "I found a [x] today.", "Who has seen the [x]?", "The [x] from yesterday.", "One [x], please.",
            "She showed me her [x].", "He sent me a picture of a [x].", "The [x] I told you about.",
            "Do you like the [x]?", "That is no ordinary [x].", "I dreamt of a [x].", "The [x] is here.",
            "Where did you get that [x]?", "A [x], as promised.", "Not every [x] is like this one.",
            "Nobody wanted the [x].", "Guess how old this [x] is.", "Good old [x].", "Our [x] at last.",
            "We talked about the [x] all evening.", "I drew this [x] for you.", "The [x] of the day.")  # fmt: skip
CLOSINGS = ("", "Thoughts?", "What do you say?", "More tomorrow.", "Nothing else to report.", "Seen on Monday.",
            "Photo by Kim.", "No comment.", "Second try.", "I am speechless.", "Love it.", "Greetings from here.")  # fmt: skip
# How many sentences a name of an entity gets, by kind of template.
PLAIN, TYPED = 3, 2


def fill(entities: dict[str, Entity], known: set[str], taken: set[str]) -> list[Sentence]:
    """Sentences for the ambiguous names of entities.

    Args:
        entities (`dict[str, Entity]`): all entities.
        known (`set[str]`): ids of those that may occur in training.
        taken (`set[str]`): sentences in lower case that are used already; the new ones are added.
    """
    sentences = []
    for name, sharing in sorted(surfaces(entities).items()):
        of_training = [entity for entity in sharing if entity.id in known]
        if len(sharing) < 2 or not of_training:
            continue
        for entity in of_training:
            sentences += _plain(entity, name, taken) + _typed(entity, name, sharing, taken)
    return sentences


def _plain(entity: Entity, name: str, taken: set[str]) -> list[Sentence]:
    """Sentences that tell nothing: the picture decides."""
    draw, found = Draw(entity.id, name, "plain"), []
    for opening in draw.shuffled(OPENINGS):
        text = f"{opening} {draw.choice(CLOSINGS)}".strip()
        found += _sentence(entity, name, "image", text, taken)
        if len(found) == PLAIN:
            break
    return found


def _typed(entity: Entity, name: str, sharing: list[Entity], taken: set[str]) -> list[Sentence]:
    """Sentences that tell the type; the picture shows another of the name as well, unless the type decides alone."""
    draw, found = Draw(entity.id, name, "typed"), []
    others = [other for other in sharing if other.type != entity.type]
    if not others or entity.type not in BY_TYPE:
        return []
    alone = len(others) == len(sharing) - 1
    for number, text in enumerate(draw.shuffled(BY_TYPE[entity.type])[:TYPED]):
        kind = "text" if alone and number % 2 else "both"
        text = f"{text} {draw.choice(CLOSINGS)}".strip()
        found += _sentence(entity, name, kind, text, taken, None if kind == "text" else draw.choice(others).id)
    return found


def _sentence(entity, name, kind, text, taken, shown=None) -> list[Sentence]:
    """None where the same name has that sentence already."""
    before, after = text.split("[x]")
    if before.split()[-1:] in (["a"], ["A"]) and name[0] in "aeiou":
        before = f"{before[:-1]}n "
    text = f"{before}{name}{after}"
    if text.lower() in taken:
        return []
    taken.add(text.lower())
    return [Sentence(entity, kind, text, name, len(before), shown=shown, source="template")]
