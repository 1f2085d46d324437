import numpy as np
import pytest

from hf_mel import EntityIndex, KnowledgeBase, Linker
from hf_mel.evaluation import standard_scores
from hf_mel.linking import Calibration, calibrate, prior_calibration
from hf_mel.linking.fit_calibration import measure_calibration
from hf_mel.linking.prior import PRIOR, PRIOR_WITH_NAMES
from tests.linking.test_fit_calibration import ToyLinker, mentions_of, toy_mentions
from tests.training.common import tiny_data, tiny_linker, tiny_processor


SETUP = {
    "knowledge_base": "b" * 64,
    "model": "a" * 64,
    "candidates": "dense",
    "num_candidates": 64,
    "reranker": None,
    "exact": True,
}


def test_the_numbers_of_the_prior_for_standard_scores():
    prior = prior_calibration(SETUP)
    assert (prior.kind, prior.standardized, prior.threshold, prior.sets) == ("prior", True, 0.5, None)
    scores = np.array([[0.9, 0.5, 0.4, 0.3], [0.52, 0.5, 0.4, 0.3]])
    entity, nil = prior.probabilities(scores, num_entities=30)
    expected = PRIOR.mean.probabilities(standard_scores(scores, 30, 64))
    np.testing.assert_allclose(entity, expected[0])
    np.testing.assert_allclose(nil, expected[1])
    moved = prior.probabilities(20 * scores - 7, num_entities=30)
    np.testing.assert_allclose(moved[1], nil)
    with pytest.raises(ValueError, match="pass `num_entities`"):
        prior.probabilities(scores)
    with_names = prior_calibration(SETUP, name_features=True).probabilities(scores, num_entities=30)
    expected = PRIOR_WITH_NAMES.mean.probabilities(standard_scores(scores, 30, 64))
    np.testing.assert_allclose(with_names[1], expected[1])


def test_a_mention_with_few_candidates_is_not_decided():
    entity, nil = prior_calibration(SETUP).probabilities(np.array([[0.9, 0.5, 0.4], [-np.inf] * 3]), 3)
    assert np.isnan(entity[0]).all() and np.isnan(nil[0]) and nil[1] == 1 and not entity[1].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reranker": "some/cross-encoder"}, "not of rerankers"),
        ({"candidates": "lexical"}, "not on those with a similar name"),
        ({"num_candidates": 9}, "num_candidates=10 at least, not 9"),
    ],
)
def test_set_ups_it_does_not_hold_for(change, message):
    with pytest.raises(ValueError, match=message):
        prior_calibration(SETUP | change)


# ---- Few labelled mentions ----


def test_none_gives_the_prior():
    linker = ToyLinker()
    assert calibrate(linker, toy_mentions([])) == prior_calibration(linker.setup)


def test_few_are_drawn_towards_the_prior():
    linker = ToyLinker(num_candidates=60)
    mentions = mentions_of(linker, 50)
    few, one = calibrate(linker, mentions.select(range(49))), calibrate(linker, mentions.select(range(1)))
    assert (few.kind, few.standardized, few.fitted_on["mentions"]) == ("shrunk", True, 49)
    enough = calibrate(linker, mentions)
    assert (enough.kind, enough.standardized) == ("fitted", False)
    distance = [abs(np.log(each.temperature / PRIOR.mean.temperature)) for each in (one, few)]
    assert 0 < distance[0] < distance[1]
    test = mentions_of(linker, 600, first=5000)
    nll = [measure_calibration(each, linker, test).metrics["nll"] for each in (prior_calibration(linker.setup), few)]
    assert nll[1] < nll[0]


def test_one_mention_is_enough_in_whichever_half_it_falls():
    linker = ToyLinker(num_candidates=60)
    for seed in range(4):
        found = calibrate(linker, mentions_of(linker, 1), seed=seed)
        assert found.kind == "shrunk" and found.sets is None


def test_mentions_count_once_however_often_they_were_observed():
    linker = ToyLinker(num_candidates=60)
    mentions = mentions_of(linker, 30)
    one, four = (calibrate(linker, mentions, num_hidden_sets=number) for number in (1, 4))
    assert four.fitted_on["observations"] == 4 * one.fitted_on["observations"] == 120
    distance = [abs(np.log(each.temperature / PRIOR.mean.temperature)) for each in (one, four)]
    assert distance[1] < 2 * distance[0]


def test_too_few_where_there_is_no_prior():
    with pytest.raises(ValueError, match="49 mentions, too few to calibrate with: the prior needs .* at least 50"):
        calibrate(ToyLinker(num_candidates=9), mentions_of(ToyLinker(), 49))


# ---- The doors of a linker ----


@pytest.fixture(scope="module")
def parts():
    return tiny_linker(False), tiny_processor(False)


def test_a_linker_without_calibration_has_the_prior(parts, caplog):
    linker = Linker(*parts, tiny_data().entities)
    found = linker.link("Vale", "Vale came.", top_k=3)
    assert found.calibration == "prior" and found.is_nil == (found.nil_probability > 0.5)
    assert "No calibration was fitted for this index" in caplog.text and "`hf-mel calibrate`" in caplog.text
    score = found.best.score
    assert linker.link("Vale", "Vale came.", score_threshold=score - 1e-3).is_nil is False, (
        "the caller's comes before it"
    )
    assert linker.link("Vale", "Vale came.", score_threshold=score - 1e-3, threshold=1.0).is_nil is True
    assert len(linker.link("Vale", "Vale came.", top_k=100).candidates) == 20, (
        "the prior is for no number of candidates"
    )
    with pytest.raises(ValueError, match="this one is 'prior'"):
        linker.link("Vale", "Vale came.", prediction_set=0.2)


def test_an_index_of_three_entities_says_that_it_decides_nothing(parts, caplog):
    kb = KnowledgeBase.from_records([{"id": name, "name": name} for name in "abc"])
    linked = Linker(*parts, kb).link("a", "a is here", top_k=1)
    assert "need 4 entities at least, and this index has 3" in caplog.text and "come from a prior" not in caplog.text
    assert linked.probability is None and linked.is_nil is None


def test_a_restriction_does_not_change_what_standard_scores_say(parts):
    """The mean and the deviation are those among all entities, so that few candidates do not make NIL more probable."""
    kb = tiny_data().entities
    linker = Linker(*parts, kb)
    free = linker.link("Vale", "Vale came.", top_k=20)
    ranked = [each.entity_id for each in free.candidates]
    best = linker.link("Vale", "Vale came.", entity_ids=ranked[:1])
    assert best.calibration == "prior" and best.is_nil is not None and best.best.score == free.best.score
    # By hand: one candidate has the whole share, so that only its standard score counts.
    standard = standard_scores([[each.score for each in free.candidates]], 20, 64)[0]
    model = PRIOR.mean

    def nil(z):
        return 1 / (1 + np.exp(-model.nil_slope * (model.nil_score - z) / model.temperature))

    assert best.nil_probability == pytest.approx(nil(standard[0]), abs=1e-5)
    worst = linker.link("Vale", "Vale came.", entity_ids=ranked[-1:])
    assert worst.nil_probability == pytest.approx(nil(standard[-1]), abs=1e-5) and worst.is_nil
    few = [linker.link("Vale", "Vale came.", entity_ids=ranked[:number]).nil_probability for number in (1, 3, 5, 10)]
    assert max(few) < free.nil_probability + 0.02, "it stands out as much among few as among all"
    everything = linker.link("Vale", "Vale came.", top_k=20, entity_ids=kb.ids)
    assert everything.nil_probability == pytest.approx(free.nil_probability, abs=1e-6)


def test_a_calibration_is_found_with_its_index_and_with_no_other(parts, tmp_path, caplog):
    kb = tiny_data().entities
    index = EntityIndex.build(*parts, kb, tmp_path / "index")
    calibration = Calibration(0.5, 0.1, 0.2, 64, Linker(*parts, index, calibration=None).setup, {"entities": len(kb)})
    calibration.save(tmp_path / "index")
    caplog.clear()
    assert Linker(*parts, tmp_path / "index").calibration == calibration and not caplog.records
    # Entities that are added or removed leave it with its index; many of them, and the log says that it is old.
    index.add(*parts, KnowledgeBase.from_records([{"id": "new", "name": kb.names([0])[0]}]))
    assert Linker(*parts, tmp_path / "index").calibration == calibration and not caplog.records
    index.remove(kb.ids[:12])
    assert Linker(*parts, tmp_path / "index").calibration == calibration
    assert "fitted with 20 entities, and the index has 9 now" in caplog.text
    # The folder is built anew from other entities.
    other = KnowledgeBase(kb.dataset.select(range(15)))
    EntityIndex.build(*parts, other, tmp_path / "index", overwrite=True)
    caplog.clear()
    linker = Linker(*parts, tmp_path / "index")
    assert (
        linker.calibration.kind == "prior"
        and "is not used: " in caplog.text
        and "another knowledge base" in caplog.text
    )
    with pytest.raises(ValueError, match="another knowledge base"):
        Linker(*parts, tmp_path / "index", calibration=calibration)
    moved = calibration.transferred(linker.setup)
    found = Linker(*parts, tmp_path / "index", calibration=moved).link("Vale", "Vale came.")
    assert found.calibration == "transferred" and found.probability is not None
    # Nor is it lost there.
    fitted = Calibration(0.4, 0.1, 0.2, 64, linker.setup)
    with pytest.raises(FileExistsError, match="would be lost: .* another knowledge base"):
        fitted.save(tmp_path / "index")
    assert Calibration.load(tmp_path / "index") == calibration
    fitted.save(tmp_path / "index", overwrite=True)
    assert Linker(*parts, tmp_path / "index").calibration == fitted
    replaced = Calibration(0.3, 0.1, 0.2, 64, linker.setup)
    replaced.save(tmp_path / "index")
    assert Calibration.load(tmp_path / "index") == replaced, "one for the same set-up is replaced"


def test_the_index_comes_before_the_checkpoint(parts, tmp_path):
    for part in parts:
        part.save_pretrained(tmp_path / "model")
    index = EntityIndex.build(*parts, tiny_data().entities, tmp_path / "index")
    setup = Linker(*parts, index, calibration=None).setup
    first, second = (Calibration(number, 0.1, 0.2, 64, setup) for number in (0.5, 0.6))
    second.save(tmp_path / "model")
    assert Linker.from_pretrained(tmp_path / "model", tmp_path / "index").calibration == second
    first.save(tmp_path / "index")
    assert Linker.from_pretrained(tmp_path / "model", tmp_path / "index").calibration == first
    for given in (None, False):
        assert Linker.from_pretrained(tmp_path / "model", tmp_path / "index", calibration=given).calibration is None
    assert Linker.from_pretrained(tmp_path / "model", tmp_path / "index", calibration=second).calibration == second


def test_only_the_knowledge_base_may_differ(parts):
    calibration = Calibration(0.5, 0.1, 0.2, 64, dict(SETUP))
    with pytest.raises(ValueError, match="num_candidates=64 instead of 8"):
        calibration.transferred(SETUP | {"knowledge_base": "c" * 64, "num_candidates": 8})
