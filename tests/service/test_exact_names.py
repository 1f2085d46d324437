"""The order of candidates whose name is what a cell says."""

from hf_mel import LinkedEntity
from hf_mel.service.exact_names import exact_names_first


def entity(entity_id, name, image_score=None):
    return LinkedEntity(entity_id, name, "", score=0.0, matched_alias=name, image_score=image_score)


def order(*candidates):
    placed = exact_names_first("Vale", candidates)
    return [each.entity_id for each, _ in placed], [each.entity_id for each, moved in placed if moved]


def test_namesakes_keep_their_order_before_longer_names():
    found = order(
        entity("1", "Vale Museum"), entity("2", "Vale"), entity("3", "Vale Road"), entity("4", "vale (river)")
    )
    assert found == (["2", "4", "1", "3"], ["2", "4"])


def test_other_names_are_passed_only_on_the_way_to_a_longer_one():
    other = LinkedEntity("o", "Ada", "", score=0.0)
    assert order(other, entity("2", "Vale")) == (["o", "2"], [])
    assert order(entity("1", "Vale Museum"), other, entity("2", "Vale")) == (["2", "1", "o"], ["2"])


def test_a_picture_that_fits_better_keeps_its_place():
    museum, vale = entity("1", "Vale Museum", 0.6), entity("2", "Vale", 0.5)
    assert order(museum, vale) == (["1", "2"], [])
    assert order(museum, entity("3", "Vale Road", 0.2), vale) == (["1", "2", "3"], ["2"])
    assert order(museum, entity("2", "Vale", 0.7)) == order(museum, entity("2", "Vale")) == (["2", "1"], ["2"])
