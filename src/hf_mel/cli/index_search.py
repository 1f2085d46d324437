"""`hf-mel index search INDEX`"""

import json
from dataclasses import dataclass, field

from .index_add import model_of
from .linkers import PROPOSALS_HELP, open_picture
from .options import parse


@dataclass
class SearchOptions:
    """Options of `hf-mel index search`."""

    text: str = field(metadata={"help": "The sentence."})
    mention: str = field(metadata={"help": "The words in it that name an entity."})
    model: str | None = field(
        default=None, metadata={"help": "Folder or Hub id of the model; by default where it was for the build."}
    )
    image: str | None = field(default=None, metadata={"help": "A picture file."})
    top_k: int = field(default=10, metadata={"help": "Entities to print."})
    backend: str = field(default="exact", metadata={"help": "exact, two_stage, faiss or qdrant."})
    num_proposals: int | None = field(default=None, metadata={"help": PROPOSALS_HELP})
    types: list[str] = field(default_factory=list, metadata={"help": "Only entities of these types."})
    json: bool = field(default=False, metadata={"help": "Print a line of JSON for each entity."})


def run(argv: list[str]) -> None:
    """Prints the entities nearest to a mention."""
    about = "Print the entities nearest to a mention, with the score of the model: no probability, no NIL."
    options, folder = parse("index search", about, SearchOptions, argv, ("index", "Folder or Hub id of an index."))
    from ..linking import EntityIndex, MentionQuery, get_backend
    from ..linking.candidates import CandidateFinder
    from ..linking.queries import as_queries, encode_queries

    image = open_picture(options.image)
    index = EntityIndex.load(folder)
    model, processor = model_of(options.model, index)
    index.check_model(model, processor)
    allowed = index.rows_of(types=options.types) if options.types else None
    queries = as_queries([MentionQuery(options.mention, options.text, image=image)])
    encoded = encode_queries(model, processor, queries)
    backend = options.backend
    if options.num_proposals is not None:
        backend = get_backend(options.backend, index, num_proposals=options.num_proposals)
    finder = CandidateFinder(index, model, "dense", options.top_k, backend)
    retrieved = finder.find(queries, encoded, options.top_k, allowed)
    each = zip(retrieved.scores[0].tolist(), retrieved.rows[0].tolist(), strict=True)
    found = [(score, row) for score, row in each if row >= 0]
    for (score, _), entity in zip(found, index.entities([row for _, row in found]), strict=True):
        if options.json:
            values = {"entity_id": entity.id, "name": entity.name, "text": entity.text, "score": score}
            print(json.dumps(values, ensure_ascii=False))
        else:
            print(f"{score:7.4f}  {entity.id}  {entity.name}  ({entity.text})")
