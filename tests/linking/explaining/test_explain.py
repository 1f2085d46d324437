"""The numbers of an explanation, and the sentences that follow from them."""

import dataclasses
import io

import pytest
from PIL import Image

from hf_mel import Linker, PGMELConfig, PGMELModel, PGMELProcessor, make_miniature, make_miniature_tokenizer
from hf_mel.data import UnknownEntityError
from hf_mel.linking import Calibration, MentionQuery, explain
from hf_mel.linking.explaining import explain_mention
from hf_mel.linking.explaining.occlusion import without
from hf_mel.linking.explaining.reasons import apart
from tests.conftest import TINY_TEXT, TINY_VISION

from .common import Entity, WeighedLinker, has, has_not, jordans, jpeg, query


# ---- The decision ----


def test_the_best_without_any_threshold():
    explanation = explain(WeighedLinker(jordans()), query(), top_k=2)
    assert explanation.reasons[0] == (
        "Montell Jordan (S) ranks first with score 0.70. Whether it fits at all is not decided: there are neither "
        "probabilities nor a threshold."
    )
    has(
        explanation,
        "Its alias 'Jordan' equals the mention.",
        "Jordan (R) has a name that equals the mention, as well.",
    )
    has(
        explanation,
        "Jordan (R) comes second, 0.02 behind (0.68 against 0.70). Both are called 'Jordan' but their types differ.",
    )
    assert [each.rank for each in explanation.candidates] == [1, 2] and explanation.num_candidates == 4
    assert explanation.linked.is_nil is None and len(explanation.linked.candidates) == 2
    assert (explanation.threshold, explanation.picture, explanation.without_picture, explanation.gold) == (None,) * 4


def test_thresholds():
    linker = WeighedLinker(jordans(), threshold=0.95)
    linked = explain(linker, query())
    probability = 1 - linked.linked.nil_probability
    assert 0.8 < probability < 0.95 and linked.linked.is_nil
    said = "the probability that a candidate is meant is"
    low = explain(linker, query(), threshold=0.1)
    has(low, f"Linked to Montell Jordan (S): {said} {probability:.2f}, not below the threshold 0.10.")
    assert low.threshold == 0.1
    high = explain(linker, query(), threshold=0.99)
    has(high, f"NIL: {said} {probability:.2f}, below the threshold 0.99.")
    near = explain(linker, query(), threshold=probability + 1e-4)
    assert f"{probability:.4f}, below the threshold {probability + 1e-4:.4f}" in near.reasons[0]
    score = explain(linker, query(), threshold=0.1, score_threshold=0.8)
    has(score, "NIL: the score of Montell Jordan (S) is 0.70, below the threshold 0.80.")
    assert (score.threshold, score.score_threshold) == (0.1, 0.8)
    assert explain(linker, query()).threshold == 0.95, "that of the calibration"
    second = linked.candidates[1].entity.probability
    assert any(
        f"with probability {second:.2f} against {linked.linked.probability:.2f}" in each for each in linked.reasons
    )


def test_what_equals_a_threshold_is_not_below_it():
    linker = WeighedLinker([Entity("1", "Ada", {"the": 0.5}), Entity("2", "Eva", {"the": 0.25})])
    explanation = explain(linker, query("the Ada", "Ada"), score_threshold=0.5)
    assert explanation.linked.is_nil is False
    has(explanation, "Linked to Ada (1): the score of Ada (1) is 0.50, not below the threshold 0.50.")


def test_a_number_that_fails_is_the_one_that_is_told():
    linker = WeighedLinker(jordans(), threshold=0.1)
    explanation = explain(linker, query(), threshold=0.99, score_threshold=0.1)
    assert explanation.reasons[0].startswith("NIL") and "score" not in explanation.reasons[0]
    both = explain(linker, query(), threshold=0.1, score_threshold=0.1).reasons[0]
    assert "candidate is meant is 0.8" in both and "and the score of Montell Jordan (S) is 0.70, not below" in both


def test_no_candidate_and_a_single_one():
    linker = WeighedLinker(jordans(), by_name=True)
    nothing = explain(linker, query("they met Olga", "Olga"), gold="R")
    assert nothing.reasons[0] == "NIL: no entity is a candidate." and nothing.candidates == ()
    has(
        nothing,
        "Jordan (R), which should win, was no candidate (0 compared): of 4 entities the model ranks it in place 1.",
    )
    assert nothing.words == () and nothing.rival_id is None
    assert "NIL" in nothing.to_text() and "NIL" in nothing.to_html() and nothing.to_json()
    single = explain(WeighedLinker(jordans()), query(), entity_ids=["S"])
    has(single, "Montell Jordan (S) is the only candidate.")
    assert single.words == () and single.num_candidates == 1


def test_a_tie_is_called_one():
    twins = [Entity("1", "Ada", {"the": 0.5}), Entity("2", "Ada", {"the": 0.5})]
    explanation = explain(WeighedLinker(twins), query("the Ada", "Ada"))
    has(explanation, "Ada (2) has exactly the same score: their order in the index decides. Both have the same name.")
    close = [Entity("1", "Ada", {"the": 0.5}), Entity("2", "Eva", {"the": 0.5 - 2e-5})]
    has(
        explain(WeighedLinker(close), query("the Ada", "Ada")),
        "Eva (2) comes second, 2e-05 behind (0.49998 against 0.50000). Their names differ.",
    )


def test_kinds_of_confusion():
    def sentence(first: Entity, second: Entity) -> str:
        explanation = explain(WeighedLinker([first, second]), query("the Ada", "Ada"))
        return next(each for each in explanation.reasons if "comes second" in each).split(". ", 1)[1]

    weights = {"the": 0.5}, {"the": 0.3}
    assert sentence(Entity("1", "ADA", weights[0], types=["x"]), Entity("2", "Ada", weights[1], types=["x"])) == (
        "Both have the same name and the type x."
    )
    assert sentence(
        Entity("1", "A", weights[0], types=["x", "y"]), Entity("2", "B", weights[1], types=["y", "x"])
    ) == ("Their names differ but they share the types x, y.")
    assert sentence(Entity("1", "A", weights[0], types=["x"]), Entity("2", "B", weights[1], types=["y"])) == (
        "Their names differ and so do their types."
    )
    assert sentence(Entity("1", "A", weights[0], types=["x"]), Entity("2", "B", weights[1])) == "Their names differ."


def test_names_that_fit():
    linker = WeighedLinker(jordans())
    has(explain(linker, query("the MJ of the river", "MJ"), entity_ids=["B"]), "Its alias 'MJ' equals the mention.")
    has(explain(linker, query("the Michael", "Michael")), "Its name 'Michael Jordan' contains the mention.")
    has(explain(linker, query("on the river Jordan", "river Jordan")), "Its name 'Jordan' is part of the mention.")
    unknown = explain(linker, query("the river Olga", "Olga"))
    has(unknown, "No name of Jordan (R) fits the mention 'Olga'.")
    has_not(unknown, "equals the mention")


# ---- Pictures ----


def test_texts_and_pictures_disagree():
    explanation = explain(WeighedLinker(jordans()), query(colour="blue"))
    assert explanation.linked.best.entity_id == "R"
    has(
        explanation,
        "Texts alone would rank Montell Jordan (S) first of the 4 candidates (0.70 against 0.68); together with the "
        "pictures Jordan (R) is ahead.",
        "Pictures alone rank Jordan (R) first of the 4 candidates as well (0.25).",
        "Share of the picture in the embedding: the mention 50%, Jordan (R) 25%, Montell Jordan (S) 25%.",
        "Without its picture the mention would be linked to Montell Jordan (S) (0.70 against 0.68 for Jordan (R)).",
    )
    assert explanation.without_picture.entity_id == "S"
    assert explanation.without_picture.winner_score == pytest.approx(0.68)
    assert explanation.without_picture.margin == pytest.approx(0.02)
    with Image.open(io.BytesIO(explanation.picture)) as small:
        assert small.size == (96, 48)


def test_texts_and_pictures_agree():
    explanation = explain(WeighedLinker(jordans()), query(colour="red"))
    has(
        explanation,
        "Texts alone rank Montell Jordan (S) first of the 4 candidates as well (0.70).",
        "Pictures alone would rank Michael Jordan (B) first of the 4 candidates (0.40 against 0.30); together with the "
        "texts Montell Jordan (S) is ahead.",
        "Without its picture the mention would be linked to the same entity, 0.02 ahead of the runner-up instead of 0.30.",
    )


def test_an_entity_without_a_picture():
    entities = [Entity("1", "Ada", {"the": 0.9}), Entity("2", "Eva", {"the": 0.1}, {"red": 0.1})]
    explanation = explain(WeighedLinker(entities), query("the Ada", "Ada", "red"))
    has(explanation, "Ada (1) has no picture to compare; pictures alone would rank Eva (2) first.")


def test_nothing_is_said_of_pictures_without_one():
    explanation = explain(WeighedLinker(jordans()), query())
    has_not(explanation, "ictures alone", "Texts alone", "Without its picture")


def test_nil_with_and_without_the_picture():
    linker = WeighedLinker(jordans())
    explanation = explain(linker, query(colour="blue"), score_threshold=0.8)
    has(explanation, "Without its picture the mention would be NIL; the best candidate would be Montell Jordan (S).")
    entities = [Entity("1", "Ada", {"the": 0.5}, {"red": -0.3})]
    other = explain(WeighedLinker(entities), query("the Ada", "Ada", "red"), score_threshold=0.4)
    has(other, "Without its picture the mention would be linked to Ada (1).")
    assert other.linked.is_nil


def test_thumbnails(tmp_path):
    kb = make_miniature(num_entities=5, num_train=5, num_validation=5, num_test=5).entities
    pictured = next(row for row in range(5) if kb.images([row])[0] is not None)
    entities = [
        Entity("B", "Ada", {"the": 0.5}, thumbnail=jpeg("red")),
        Entity(kb.ids[pictured], "Eva", {"the": 0.4}),
        Entity("N", "Olga"),
    ]
    without_kb = explain(WeighedLinker(entities), query("the Ada", "Ada"))
    assert [each.thumbnail for each in without_kb.candidates] == [jpeg("red"), None, None]
    with_kb = explain(WeighedLinker(entities), query("the Ada", "Ada"), knowledge_base=kb)
    assert with_kb.candidates[0].thumbnail == jpeg("red") and with_kb.candidates[2].thumbnail is None
    assert with_kb.candidates[1].thumbnail[:3] == b"\xff\xd8\xff"


# ---- The gold entity ----


def test_gold_among_the_candidates():
    explanation = explain(WeighedLinker(jordans()), query(colour="red"), top_k=1, gold="R")
    gold = explanation.gold
    assert (gold.candidate.rank, gold.considered, gold.allowed) == (2, True, True)
    assert gold.behind == pytest.approx(0.3)
    has(
        explanation,
        "Jordan (R), which should win, is in place 2 with 0.70 against 1.00 for Montell Jordan (S).",
        "Texts alone would put Jordan (R) in place 2 of 4 candidates.",
        "Pictures alone would put Jordan (R) in place 3 of 3 candidates.",
    )
    has(explain(WeighedLinker(jordans()), query(), gold="S"), "Montell Jordan (S), which should win, ranks first.")
    has(
        explain(WeighedLinker(jordans()), query(), gold="S", score_threshold=2),
        "Montell Jordan (S), which should win, ranks first but counts as NIL.",
    )
    no_picture = explain(WeighedLinker(jordans()), query(colour="red"), gold="N")
    has(no_picture, "No name of Petra (N) fits the mention 'Jordan'.", "Petra (N) has no picture to compare.")


def test_gold_that_was_no_candidate():
    linker = WeighedLinker(jordans(), num_candidates=2, threshold=0.1)
    explanation = explain(linker, query(), top_k=2, gold="N")
    gold = explanation.gold
    assert (gold.candidate.rank, gold.considered, gold.allowed) == (4, False, True)
    assert gold.candidate.entity.probability is None, "among one candidate it would say nothing"
    has(
        explanation,
        "Petra (N), which should win, was no candidate (2 compared): of 4 entities the model ranks it in place 4 with "
        "0.05 against 0.70 for Montell Jordan (S).",
    )
    assert "4     Petra (N)" in explanation.to_text() and "should win" in explanation.to_html()


def test_gold_that_its_name_does_not_find():
    explanation = explain(WeighedLinker(jordans(), by_name=True), query(), gold="N")
    gold = explanation.gold
    assert (gold.candidate.rank, gold.considered) == (4, False)
    assert gold.candidate.entity.score == pytest.approx(0.05) and gold.candidate.entity.text_score is None
    assert explanation.words == (), "the gold entity is no candidate, with whatever words"


def test_gold_that_is_left_out():
    explanation = explain(WeighedLinker(jordans()), query(), types=["person"], gold="R")
    assert explanation.gold.allowed is False and explanation.gold.candidate.rank is None
    among = explain(WeighedLinker(jordans(), num_candidates=1), query(), top_k=1, types=["person"], gold="B").gold
    assert (among.candidate.rank, among.among, among.considered) == (2, 2, False)
    has(explanation, "Jordan (R) could not win: `types` or `entity_ids` leave it out.")
    assert explanation.rival_id == "B"


def test_gold_far_down(monkeypatch):
    monkeypatch.setattr(explain_mention, "_FIRST_SEARCH", 2)
    entities = [Entity(str(number), f"n{number}", {"the": 1 - number / 100}) for number in range(60)]
    linker = WeighedLinker(entities, num_candidates=3)
    assert explain(linker, query("the Ada", "Ada"), gold="59").gold.candidate.rank == 60
    monkeypatch.setattr(explain_mention, "_LAST_SEARCH", 20)
    far = explain(linker, query("the Ada", "Ada"), gold="59")
    assert far.gold.candidate.rank is None
    assert any("the model ranks it beyond the first million" in reason for reason in far.reasons)


def test_an_unknown_gold_entity():
    with pytest.raises(UnknownEntityError, match="'Q1'"):
        explain(WeighedLinker(jordans()), query(), gold="Q1")
    with pytest.raises(ValueError, match="top_k must be at least 1"):
        explain(WeighedLinker(jordans()), query(), top_k=0)


def test_a_reranker():
    linker = WeighedLinker(jordans(), reranked={"R": 5.0, "S": 4.0, "B": 3.0, "N": 2.0})
    explanation = explain(linker, query())
    has(explanation, "The model ranks Montell Jordan (S) first (0.70 against 0.68); the reranker decides otherwise.")
    far = WeighedLinker(jordans(), num_candidates=1, reranked={"R": 5.0, "S": 4.0, "B": 3.0, "N": 2.0})
    unseen = explain(far, query(), top_k=1, gold="N")
    has(
        unseen,
        "Petra (N), which should win, was no candidate (1 compared): of 4 entities the model ranks it in place 4.",
    )
    agreed = explain(WeighedLinker(jordans(), reranked={"R": 1.0, "S": 4.0, "B": 3.0, "N": 2.0}), query())
    has_not(agreed, "reranker")
    assert "model's score" in explanation.to_text()


# ---- Numbers ----


def test_numbers_that_differ_are_shown_so():
    assert apart(0.7, 0.68) == ["0.70", "0.68"] and apart(0.5, 0.5) == ["0.50", "0.50"]
    assert apart(0.701, 0.7) == ["0.701", "0.700"] and apart(1.0000001, 1.0) == ["1.000000", "1.000000"]


# ---- A real linker ----


def test_with_a_real_linker():
    from transformers import CLIPImageProcessorPil

    data = make_miniature(num_entities=12, num_train=5, num_validation=5, num_test=7)
    tokenizer = make_miniature_tokenizer()
    text = {**TINY_TEXT, "vocab_size": len(tokenizer), "initializer_range": 1.0}
    model = PGMELModel(PGMELConfig(text_config=text, vision_config=dict(TINY_VISION), projection_size=8))
    images = CLIPImageProcessorPil(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    linker = Linker(model, PGMELProcessor(images, tokenizer, max_length=32), data.entities, num_candidates=8)
    linker.calibration = Calibration(0.1, 0.2, 0.3, num_candidates=8, setup=linker.setup)
    row = next(row for row in data.mentions["test"] if row["image"] is not None)
    each = MentionQuery(row["mention"], row["text"], row["start"], row["image"], row["id"])
    (linked,) = linker.link_queries([each], top_k=3)
    outsider = next(entity_id for entity_id in data.entities.ids if entity_id not in {
        candidate.entity_id for candidate in linker.link_queries([each], top_k=8)[0].candidates
    })  # fmt: skip
    explanation = explain(linker, each, top_k=3, gold=outsider)
    assert explanation.linked.candidates[0].entity_id == linked.candidates[0].entity_id
    assert explanation.linked.probability == pytest.approx(linked.probability)
    assert [each.entity.score for each in explanation.candidates] == pytest.approx(
        [c.score for c in linked.candidates]
    )
    assert explanation.gold.candidate.rank > 8 and explanation.threshold == 0.3
    (bare,) = linker.link_queries([dataclasses.replace(each, image=None)])
    assert explanation.without_picture.best.entity_id == bare.best.entity_id
    assert explanation.num_candidates == 8 and len(explanation.words) == 5
    for effect in explanation.words:
        changed = without(each, effect.start, effect.start + len(effect.word))
        (other,) = linker.link_queries([changed], top_k=2, entity_ids=[linked.best.entity_id, outsider])
        scores = {candidate.entity_id: candidate.score for candidate in other.candidates}
        assert effect.margin == pytest.approx(scores[linked.best.entity_id] - scores[outsider], abs=1e-5)
    assert explanation.to_html().count("data:image/jpeg") >= 1
