"""
Ten languages: context kept, offsets, exact names and candidates, on the small test set of tests/fixtures/languages.

    [MINILM=...] python benchmarks/languages.py

Each language has 10 entities and 12 mentions; the knowledge base is that of all languages together. Texts are cut by a tokenizer of
the kind that multilingual towers have (Unigram over spaces, as XLM-R), made from the texts of the set, so that nothing is
downloaded. With `MINILM`, the folder of all-MiniLM-L6-v2, the table also says what an English tower does with the texts. The numbers
go to docs/results/languages.json and docs/linking.md.
"""

import argparse
import json
import math
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, PreTrainedTokenizerFast, set_seed

from hf_mel import KnowledgeBase, Linker, MELProcessor
from hf_mel.encoding import unknown_share
from hf_mel.evaluation import Environment, render_into
from hf_mel.linking import MentionQuery, Span, find_mentions
from hf_mel.linking.spans import queries_of
from hf_mel.models import PAIR_FEATURES, PGMELConfig, PGMELModel
from hf_mel.names import LexicalIndex, NameIndex


ROOT = Path(__file__).parents[1]
FIXTURES = ROOT / "tests" / "fixtures" / "languages"
OUTPUT = ROOT / "docs" / "results" / "languages.json"
PAGE = ROOT / "docs" / "linking.md"
MAX_LENGTH = 48  # tokens of a mention with its sentence; four texts of each language are longer
CANDIDATES = (1, 5)
SPECIAL = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}


@dataclass(frozen=True)
class Mention:
    """A mention of the test set; `exact`: it is a name or alias of its entity, apart from case, width, accents and the like."""

    language: str
    text: str
    mention: str
    start: int
    entity_id: str
    exact: bool

    @property
    def end(self) -> int:
        """The character after the last."""
        return self.start + len(self.mention)


def load() -> tuple[KnowledgeBase, list[Mention]]:
    """The entities of all languages, and the mentions. In the files, a mention stands in double square brackets."""
    entities, mentions = [], []
    for path in sorted(FIXTURES.glob("*.json")):
        part = json.loads(path.read_text(encoding="utf-8"))
        entities += part["entities"]
        for each in part["mentions"]:
            before, rest = each["text"].split("[[")
            words, after = rest.split("]]")
            text = before + words + after
            mentions.append(Mention(part["language"], text, words, len(before), each["entity_id"], each["exact"]))
    return KnowledgeBase.from_records(entities), mentions


def multilingual_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Pieces of one to four characters by their frequency, over words that begin with a sign for the space before them."""
    split = pre_tokenizers.Metaspace()
    counts: Counter[str] = Counter()
    for text in texts:
        for word, _ in split.pre_tokenize_str(normalizers.NFKC().normalize_str(text)):
            counts.update(word[begin : begin + size] for size in range(1, 5) for begin in range(len(word) - size + 1))
    pieces = {piece: count for piece, count in counts.items() if len(piece) == 1 or count > 3}
    total = sum(pieces.values())
    scored = sorted((piece, math.log(count / total)) for piece, count in pieces.items())
    backend = Tokenizer(models.Unigram([(token, 0.0) for token in SPECIAL.values()] + scored, unk_id=3))
    backend.normalizer, backend.pre_tokenizer = normalizers.NFKC(), split
    backend.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=512, sep_token="</s>", **SPECIAL)


def linker_of(kb: KnowledgeBase, processor: MELProcessor) -> Linker:
    """A linker with a small random tower, for what does not depend on what a tower has learned."""
    set_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    text_config = BertConfig(vocab_size=len(processor.tokenizer), **shape).to_dict()
    config = PGMELConfig(text_config=text_config, pooling="mean", projection_size=16, name_features=True)
    return Linker(PGMELModel(config).eval(), processor, kb)


# ---- What is measured ----


def window_used(processor: MELProcessor, mention: Mention) -> dict[str, float] | None:
    """
    The share of the window that a text fills, and 1 if context on both sides is kept where there is some; `None` for a text that
    is not too long.
    """
    tokenizer, separator = processor.tokenizer, processor.tokenizer.sep_token_id
    whole = f"{mention.mention} {processor.separator} {mention.text}"
    if len(tokenizer(whole)["input_ids"]) <= processor.max_length:
        return None
    ids = processor.mentions(mention.mention, mention.text, mention.start)["input_ids"][0].tolist()
    window, words = (
        tokenizer.decode(part, skip_special_tokens=True).replace("▁", " ").strip()
        for part in (ids[ids.index(separator) + 1 :], ids[: ids.index(separator)])
    )
    before, found, after = window.partition(words)
    sides = [part for part, there in ((before, mention.start > 0), (after, mention.end < len(mention.text))) if there]
    return {"used": len(ids) / processor.max_length, "sides": float(bool(found) and all(map(str.strip, sides)))}


def offsets_right(linker: Linker, mention: Mention) -> bool:
    """The mention is what stands at the offsets of the answer, and a span found by a model stays what it is."""
    (query,) = queries_of(mention.text, [(mention.start, mention.end)])
    (answer,) = linker.link_queries([query])
    (found,) = find_mentions([mention.text], lambda texts, **options: [[{"start": mention.start, "end": mention.end}]])
    spans = [Span(mention.start, mention.end, mention.mention)]
    return found == spans and answer.text[answer.start : answer.end] == mention.mention == query.mention


def measure(minilm: str | None = None) -> dict[str, dict]:
    """The numbers of each language."""
    kb, mentions = load()
    texts = [*kb.names(), *kb.texts(), *(mention.text for mention in mentions)]
    processor = MELProcessor(tokenizer=multilingual_tokenizer(texts), max_length=MAX_LENGTH)
    linker, names = linker_of(kb, processor), NameIndex(kb.names(), kb.aliases())
    golds = kb.rows([mention.entity_id for mention in mentions])
    lexical, _ = LexicalIndex(kb.names(), kb.aliases()).search([each.mention for each in mentions], max(CANDIDATES))
    exact = [list(PAIR_FEATURES).index(name) for name in ("name_exact", "alias_exact")]
    english = None if minilm is None else Linker.from_towers(minilm, kb)
    result = {}
    for language in dict.fromkeys(mention.language for mention in mentions):
        own = [number for number, mention in enumerate(mentions) if mention.language == language]
        windows = [found for number in own if (found := window_used(processor, mentions[number])) is not None]
        named = [number for number in own if mentions[number].exact]
        features = names.features([mentions[number].mention for number in named]).at(
            torch.from_numpy(golds[named])[:, None]
        )[:, 0]
        values = {
            "mentions": len(own),
            "cut": len(windows),
            "window_used": _mean(each["used"] for each in windows),
            "both_sides": _mean(each["sides"] for each in windows),
            "offsets_right": _mean(offsets_right(linker, mentions[number]) for number in own),
            "exact": len(named),
            "exact_found": _mean((features[:, exact].amax(dim=1) == 1).tolist()),
            **{f"recall@{k}": _mean(golds[number] in lexical[number, :k] for number in own) for k in CANDIDATES},
        }
        if english is not None:
            values |= _of_english(english, kb, [mentions[number] for number in own])
        result[language] = values
    return result


def _of_english(linker: Linker, kb: KnowledgeBase, mentions: list[Mention]) -> dict[str, float]:
    """Share of tokens that an English tower does not know, and of mentions whose best candidate is right."""
    answers = linker.link_queries([MentionQuery(each.mention, each.text, each.start) for each in mentions])
    right = _mean(answer.best.entity_id == each.entity_id for answer, each in zip(answers, mentions, strict=True))
    texts = [each.text for each in mentions]
    return {"english_unknown": unknown_share(linker.processor.tokenizer, texts), "english_right": right}


def _mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


# ---- The table ----

COLUMNS: dict[str, tuple[str, Callable[[dict], str]]] = {
    "window used": ("window_used", lambda row: f"{row['window_used']:.0%}"),
    "both sides kept": ("both_sides", lambda row: f"{row['both_sides']:.0%}"),
    "offsets right": ("offsets_right", lambda row: f"{row['offsets_right']:.0%}"),
    "exact name found": ("exact_found", lambda row: f"{row['exact_found']:.0%} of {row['exact']}"),
    **{f"recall@{k} by name": (f"recall@{k}", lambda row, k=k: f"{row[f'recall@{k}']:.0%}") for k in CANDIDATES},
    "MiniLM (English): tokens unknown": ("english_unknown", lambda row: f"{row['english_unknown']:.0%}"),
    "MiniLM (English): first is right": ("english_right", lambda row: f"{row['english_right']:.0%}"),
}


def table(record: dict) -> str:
    """Markdown, with where the numbers come from."""
    rows = record["languages"]
    shown = [heading for heading, (key, _) in COLUMNS.items() if key in next(iter(rows.values()))]
    lines = ["| | " + " | ".join(shown) + " |", "|---|" + "---:|" * len(shown)]
    lines += [
        f"| {name} | {' | '.join(COLUMNS[heading][1](row) for heading in shown)} |" for name, row in rows.items()
    ]
    environment = record["environment"]
    lines += [
        "",
        f"`{record['command']}`; commit {environment['git_commit']}, {environment['machine']}, {record['date']}.",
    ]
    return "\n".join(lines)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    record = {
        "command": "python benchmarks/languages.py",
        "date": date.today().isoformat(),
        "environment": asdict(Environment.collect(repository=ROOT)),
        "max_length": MAX_LENGTH,
        "languages": measure(os.environ.get("MINILM")),
    }
    OUTPUT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(table(record))
    render_into(PAGE, "languages", table(record))


if __name__ == "__main__":
    main()
