import json
import random
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import softmax

from hf_mel import KnowledgeBase
from hf_mel.data import MENTION_FEATURES, as_mentions
from hf_mel.data.schema import dataset_of_columns
from hf_mel.linking import Linker, calibrate
from hf_mel.linking.fit_calibration import measure_calibration
from hf_mel.linking.labelled_scores import hidden_sets, labelled_scores
from tests.training.common import tiny_data, tiny_linker, tiny_processor


NUM_ENTITIES = 120
IDS = [f"Q{number}" for number in range(NUM_ENTITIES)]


class ToyIndex:
    """Entities 3 and 7 were removed."""

    def __init__(self):
        self.alive = np.ones(NUM_ENTITIES, dtype=bool)
        self.alive[[3, 7]] = False

    def __len__(self):
        return int(self.alive.sum())

    def __contains__(self, entity_id):
        return entity_id in IDS and bool(self.alive[IDS.index(entity_id)])

    def row(self, entity_id):
        assert entity_id in self
        return IDS.index(entity_id)


class ToyLinker:
    """A mention is a number, which says how it scores with each entity: the gold as often best as a softmax says."""

    def __init__(self, num_candidates: int = 10, temperature: float = 0.1):
        self.index, self.temperature = ToyIndex(), temperature
        self.model = SimpleNamespace(sees_pictures=False, config=SimpleNamespace(name_features=False))
        self.setup = {
            "knowledge_base": "toys",
            "model": "toy",
            "candidates": "dense",
            "num_candidates": num_candidates,
            "reranker": None,
        }
        self.encoded = self.retrieved = 0

    def scores(self, number: int) -> np.ndarray:
        return np.random.default_rng(number).normal(0.3, 0.2, NUM_ENTITIES)

    def encode_queries(self, queries):
        self.encoded += len(queries)
        assert all(query.text == f"mention {query.mention} here" and query.start == 8 for query in queries)
        return np.stack([self.scores(int(query.mention)) for query in queries])

    def retrieve(self, queries, allowed, encoded):
        assert len(encoded) == len(queries)
        self.retrieved += len(queries)
        scores = np.where(allowed, encoded, -np.inf)
        rows = np.argsort(-scores, axis=1, kind="stable")[:, : self.setup["num_candidates"]]
        return SimpleNamespace(rows=rows, scores=np.take_along_axis(scores, rows, axis=1))

    def gold(self, number: int) -> str:
        scores = np.where(self.index.alive, self.scores(number), -np.inf)
        return IDS[np.random.default_rng([1, number]).choice(NUM_ENTITIES, p=softmax(scores / self.temperature))]


def toy_mentions(golds: list, first: int = 0):
    names = [str(first + number) for number in range(len(golds))]
    return dataset_of_columns(
        {
            "id": [f"m{name}" for name in names],
            "mention": names,
            "text": [f"mention {name} here" for name in names],
            "start": [8] * len(names),
            "entity_id": golds,
        },
        MENTION_FEATURES,
    )


def mentions_of(linker: ToyLinker, number: int, first: int = 0):
    return toy_mentions([linker.gold(first + each) for each in range(number)], first)


@pytest.fixture
def linker() -> ToyLinker:
    return ToyLinker()


# ---- Hidden entities ----


def test_sets_do_not_overlap_and_do_not_depend_on_what_else_there_is():
    ids = [f"Q{number}" for number in range(4000)]
    sets = hidden_sets(ids, 0.2, 0, range(5))
    assert [len(each) for each in sets] == pytest.approx([800] * 5, abs=100)
    assert frozenset().union(*sets) == set(ids) and sum(map(len, sets)) == len(ids)
    shuffled = random.Random(0).sample(ids, len(ids))
    assert hidden_sets(shuffled, 0.2, 0, [3]) == [sets[3]]
    assert hidden_sets(ids[:100], 0.2, 0, [3]) == [sets[3] & set(ids[:100])]
    other = hidden_sets(ids, 0.2, 1, [3])[0]
    assert len(other & sets[3]) == pytest.approx(160, abs=40)
    assert hidden_sets(ids, 0.0, 0, [0]) == [frozenset()]


@pytest.mark.parametrize(("share", "places"), [(0.6, [0]), (-0.1, [0]), (0.4, [2]), (0.2, [5]), (0.2, [-1])])
def test_sets_that_there_are_not(share, places):
    with pytest.raises(ValueError, match="nil_share|there are no"):
        hidden_sets(IDS, share, 0, places)


# ---- Scores ----


def test_labelled_scores_by_hand(linker):
    mentions = toy_mentions(["Q0", None, "Q1", "Q0"])
    hidden = [frozenset(), frozenset({"Q0"}), frozenset({"Q1", "Q2"})]
    none, first, second = labelled_scores(linker, mentions, hidden, batch_size=3)
    assert (linker.encoded, linker.retrieved) == (4, 12), "each mention is encoded once"
    assert none.gold[1] == first.gold[1] == second.gold[1] == -1
    assert (first.gold[0], first.gold[3], second.gold[2]) == (-1, -1, -1) and -1 not in none.gold[[0, 2, 3]]
    for number, (found, gone) in enumerate(((none, []), (first, [0]), (second, [1, 2]))):
        for mention in range(4):
            scores = linker.scores(mention)
            scores[[3, 7, *gone]] = -np.inf
            order = np.argsort(-scores)[:10]
            np.testing.assert_allclose(found.scores[mention], scores[order])
            gold = [0, None, 1, 0][mention]
            if gold is not None and gold not in gone:
                assert found.gold[mention] == (list(order).index(gold) if gold in order else -2), number


def test_all_unknown_golds_are_named(linker):
    mentions = toy_mentions(["Q0", "Q3", "nobody", None])
    with pytest.raises(ValueError, match="index of 118 entities: 2 problems") as refused:
        labelled_scores(linker, mentions)
    assert "mention 'm1': gold `entity_id` 'Q3'" in str(refused.value) and "'nobody'" in str(refused.value)
    assert "an `entity_id` of null" in str(refused.value)
    with pytest.raises(ValueError, match="no mention"):
        labelled_scores(linker, mentions.select([]))


# ---- Fitting and measuring ----


def test_calibrated_where_it_was_not_fitted():
    linker = ToyLinker(num_candidates=60)
    calibration = calibrate(linker, mentions_of(linker, 800), data="toy", batch_size=500)
    report = measure_calibration(calibration, linker, mentions_of(linker, 2000, first=5000))
    assert calibration.temperature == pytest.approx(linker.temperature, rel=0.15)
    # Where many golds are not retrieved, an answer of NIL is surer than it should be: see the next test.
    assert report.metrics["ece"] < 0.03 and report.metrics["best_ece"] < 0.03
    assert report.metrics["nil"] == pytest.approx(400, abs=130) and 0 < report.metrics["not_retrieved"] < 200
    assert report.metrics["mentions"] == 2000 and report.metrics["split"] == "test"
    hot = replace(calibration, temperature=1.0)
    before = measure_calibration(hot, linker, mentions_of(linker, 500, 5000))
    assert before.metrics["ece"] > 0.1
    values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert len(values["coverage_curve"]["accuracy"]) == 100 and sum(values["reliability"]["count"]) == 2000


def test_the_best_entity_is_calibrated_also_where_many_golds_are_not_retrieved(linker):
    calibration = calibrate(linker, mentions_of(linker, 800))
    metrics = measure_calibration(calibration, linker, mentions_of(linker, 2000, first=5000)).metrics
    assert metrics["not_retrieved"] > 400 and metrics["best_ece"] < 0.03 < metrics["ece"]


def test_what_is_written_down(linker):
    mentions = mentions_of(linker, 300)
    calibration = calibrate(linker, mentions, data="toy", split="dev", seed=3)
    fitted_on = calibration.fitted_on
    assert {name: fitted_on[name] for name in ("data", "split", "mentions", "nil_share", "hidden_sets", "seed")} == {
        "data": "toy",
        "split": "dev",
        "mentions": 300,
        "nil_share": 0.2,
        "hidden_sets": 4,
        "seed": 3,
    }
    sets = hidden_sets(set(mentions["entity_id"][:]), 0.2, 3, range(1, 5))
    assert fitted_on["hidden_entities"] == sum(map(len, sets)) and fitted_on["observations"] == 1200
    assert fitted_on["nil"] == sum(gold in each for each in sets for gold in mentions["entity_id"][:])
    assert fitted_on["entities"] == 118 and len(fitted_on["data_fingerprint"]) == 64
    assert calibration.setup == linker.setup and calibration.num_candidates == 10
    fitted = calibration.metrics["fitted"]
    assert (fitted["split"], fitted["mentions"], fitted["observations"]) == ("dev", 300, 1200)
    assert fitted["nil"] == fitted_on["nil"] and fitted["not_retrieved"] == fitted_on["not_retrieved"]


def test_no_entity_is_hidden_here_and_there(linker):
    mentions = mentions_of(linker, 400)
    golds = set(mentions["entity_id"][:])
    seen = []
    retrieve = linker.retrieve

    def watched(queries, allowed, encoded):
        seen.append(frozenset(np.flatnonzero(linker.index.alive & ~allowed).tolist()))
        return retrieve(queries, allowed, encoded)

    linker.retrieve = watched
    calibration = calibrate(linker, mentions, batch_size=1000)
    fitted = set().union(*seen)
    assert len(seen) == 4 and sum(map(len, seen)) == len(fitted) > 0.7 * len(golds)
    seen.clear()
    measure_calibration(calibration, linker, mentions, batch_size=1000)
    assert len(seen) == 1 and not seen[0] & fitted and {IDS[row] for row in seen[0] | fitted} == golds


def test_the_order_and_the_batches_do_not_matter(linker):
    mentions = mentions_of(linker, 200)
    plain = calibrate(linker, mentions)
    moved = calibrate(linker, mentions.select(np.random.default_rng(0).permutation(200)), batch_size=17)
    for name in ("temperature", "nil_score", "nil_slope", "threshold"):
        assert getattr(moved, name) == pytest.approx(getattr(plain, name), rel=1e-5)
    assert moved.fitted_on["nil"] == plain.fitted_on["nil"]
    other = calibrate(linker, mentions, seed=1)
    assert other.nil_score != plain.nil_score and other.temperature != plain.temperature


def test_real_nil_mentions_are_used(linker):
    """One in five, which the linker cannot know; nothing is hidden."""
    golds = [None if number % 5 == 0 else linker.gold(number) for number in range(300)]
    calibration = calibrate(linker, toy_mentions(golds))
    assert calibration.fitted_on["nil"] == 60 and calibration.fitted_on["observations"] == 300
    assert (calibration.fitted_on["nil_share"], calibration.fitted_on["hidden_sets"]) == (0.0, 0)
    report = measure_calibration(calibration, linker, toy_mentions(golds))
    assert report.metrics["nil"] == 60 and report.metrics["hidden_entities"] == 0


def test_few_real_nil_mentions_are_kept_beside_the_hidden(linker):
    golds = [None if number < 5 else linker.gold(number) for number in range(300)]
    calibration = calibrate(linker, toy_mentions(golds), num_hidden_sets=1)
    (hidden,) = hidden_sets({gold for gold in golds if gold}, 0.2, 0, [1])
    assert calibration.fitted_on["nil"] == 5 + sum(gold in hidden for gold in golds)


@pytest.mark.parametrize(("share", "sets", "expected"), [(0.5, 4, 1), (0.3, 4, 2), (0.2, 2, 2), (0.1, 4, 4)])
def test_how_many_sets(share, sets, expected, linker):
    calibration = calibrate(linker, mentions_of(linker, 300), nil_share=share, num_hidden_sets=sets)
    assert calibration.fitted_on["hidden_sets"] == expected


def test_nothing_hidden_and_nothing_nil(linker, caplog):
    calibration = calibrate(linker, mentions_of(linker, 600), nil_share=0)
    assert calibration.threshold == 0 and "the threshold is 0" in caplog.text
    assert calibration.fitted_on["nil"] == 0 < calibration.fitted_on["not_retrieved"]
    report = measure_calibration(calibration, linker, mentions_of(linker, 1000, 5000), nil_share=0)
    assert report.metrics["nil_predicted"] == 0 and report.metrics["best_ece"] < 0.05


def test_scores_that_do_not_tell_nil(linker, caplog):
    """NIL mentions are those that score highest."""
    mentions = mentions_of(linker, 300)
    best = np.array([linker.scores(number)[linker.index.alive].max() for number in range(300)])
    golds = [
        None if high else gold
        for high, gold in zip(best > np.quantile(best, 0.8), mentions["entity_id"][:], strict=True)
    ]
    calibrate(linker, toy_mentions(golds))
    assert "hardly better than chance" in caplog.text


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (60, {"nil_share": 0.02, "num_hidden_sets": 1}, "observations are NIL, and at least 20 are needed"),
        (60, {"nil_share": 0.7}, "nil_share must lie between 0 and 0.5"),
        (60, {"criterion": "nil_f2"}, "unknown criterion 'nil_f2'; did you mean 'nil_f1'?"),
    ],
)
def test_what_cannot_be_calibrated(count, options, message, linker):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        calibrate(linker, mentions_of(linker, count), **options)


def test_mentions_of_one_class(linker):
    with pytest.raises(ValueError, match="none of the 60 mentions has its gold among its candidates"):
        calibrate(linker, toy_mentions([None] * 60))


def test_another_setup_is_not_measured(linker):
    calibration = calibrate(linker, mentions_of(linker, 100))
    with pytest.raises(ValueError, match="num_candidates=10 instead of 5"):
        measure_calibration(calibration, ToyLinker(5), mentions_of(linker, 100))


# ---- With a model ----


@pytest.mark.parametrize("vision", [False, True], ids=["text", "pictures"])
def test_with_a_real_linker(vision):
    data = tiny_data()
    linker = Linker(tiny_linker(vision), tiny_processor(vision), data.entities, num_candidates=20)
    mentions = data.mentions["train"].add_column("copy", [0] * 34).select(list(range(34)) * 2).remove_columns("copy")
    gone = [gold for gold in dict.fromkeys(mentions["entity_id"][:]) if gold is not None][:4]
    plain, hidden = labelled_scores(linker, mentions, [frozenset(), frozenset(gone)], batch_size=10)
    golds = mentions["entity_id"][:]
    assert plain.scores.shape == (68, 20) and (plain.gold == -1).sum() == sum(gold is None for gold in golds)
    assert (hidden.gold == -1).sum() == sum(gold is None or gold in gone for gold in golds)
    linked = linker.link(
        mentions["mention"][:],
        mentions["text"][:],
        start=mentions["start"][:],
        image=list(mentions["image"]),
        top_k=20,
    )
    for number, each in enumerate(linked):
        np.testing.assert_allclose(plain.scores[number], [c.score for c in each.candidates], atol=1e-4)
        left = [candidate for candidate in each.candidates if candidate.entity_id not in gone]
        np.testing.assert_allclose(hidden.scores[number][: len(left)], [c.score for c in left], atol=1e-4)
        assert np.isneginf(hidden.scores[number][len(left) :]).all()
        if golds[number] is not None and golds[number] not in gone:
            assert hidden.scores[number][hidden.gold[number]] == pytest.approx(
                next(c.score for c in left if c.entity_id == golds[number]), abs=1e-4
            )


def test_an_index_that_is_too_small_for_the_prior():
    entities = [{"id": str(number), "name": name} for number, name in enumerate(["Jug", "Cup", "Mug"])]
    linker = Linker(tiny_linker(False), tiny_processor(False), KnowledgeBase.from_records(entities))
    mentions = [{"mention": "jug", "text": f"A jug {number}.", "entity_id": "0"} for number in range(8)]
    with pytest.raises(
        ValueError, match="no probability can be fitted on 8 mentions.*as few as 3 entities. Label at least 50"
    ):
        calibrate(linker, as_mentions(mentions, "mentions", needs_gold=True), nil_share=0.3)


def test_a_linker_uses_what_was_fitted():
    data = tiny_data()
    model, processor = tiny_linker(False), tiny_processor(False)
    plain = Linker(model, processor, data.entities, num_candidates=8)
    calibration = calibrate(plain, data.mentions["train"].select(list(range(34)) * 2), nil_share=0.4)
    fitted = Linker(model, processor, plain.index, num_candidates=8, calibration=calibration)
    linked = fitted.link("painter", "A painter was here.", top_k=8)
    assert sum(each.probability for each in linked.candidates) + linked.nil_probability == pytest.approx(1)
    assert linked.is_nil == (linked.probability < calibration.threshold)
    with pytest.raises(ValueError, match="num_candidates=8 instead of 4"):
        Linker(model, processor, plain.index, num_candidates=4, calibration=calibration)
