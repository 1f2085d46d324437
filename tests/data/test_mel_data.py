import pytest

from hf_mel.data import make_miniature


@pytest.fixture(scope="module")
def data():
    return make_miniature(num_entities=20, num_train=34, num_validation=5, num_test=5, image_size=16)


def test_a_share_of_the_training_mentions_in_their_order(data):
    whole = data.mentions["train"]["id"][:]
    part = data.with_train_share(0.5).mentions["train"]["id"][:]
    assert len(part) == round(0.5 * len(whole)) and part != whole[: len(part)]
    assert part == [each for each in whole if each in set(part)]


def test_a_smaller_share_is_part_of_a_larger_one_and_the_other_splits_stay(data):
    small, large = (data.with_train_share(share) for share in (0.2, 0.7))
    assert set(small.mentions["train"]["id"][:]) < set(large.mentions["train"]["id"][:])
    assert large.mentions["test"]["id"][:] == data.mentions["test"]["id"][:]
    assert (
        data.with_train_share(0.5, seed=1).mentions["train"]["id"][:]
        != data.with_train_share(0.5).mentions["train"]["id"][:]
    )


def test_one_mention_at_least_and_all_at_most(data):
    assert len(data.with_train_share(1e-9).mentions["train"]) == 1
    assert data.with_train_share(1.0).mentions["train"]["id"][:] == data.mentions["train"]["id"][:]


@pytest.mark.parametrize("share", [0, -0.1, 1.01])
def test_no_share(data, share):
    with pytest.raises(ValueError, match="train_share"):
        data.with_train_share(share)
