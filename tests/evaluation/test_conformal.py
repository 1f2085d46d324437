import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_mel.evaluation import conformal_p_values, lowest_alpha


TRUTH = [0.9, 0.2, 0.5, 0.5]


def test_p_values_by_hand():
    """Of four: none up to 0.1, one up to 0.2, three up to 0.5, four up to 0.95; one is added, and to the number."""
    assert conformal_p_values(np.array([[0.1, 0.2], [0.5, 0.95]]), TRUTH).tolist() == [[0.2, 0.4], [0.8, 1.0]]


@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=30),
    st.lists(st.integers(0, 20), min_size=1, max_size=10),
    st.integers(1, 99),
)
@settings(max_examples=200, deadline=None)
def test_the_set_is_that_of_the_finite_sample_quantile(truth, answers, percent):
    """p > alpha: exactly the answers at or above the floor(alpha * (n + 1))-th smallest, if there is one."""
    rank = percent * (len(truth) + 1) // 100
    if rank < 1 or percent * (len(truth) + 1) % 100 == 0 and percent * (len(truth) + 1) / 100 != rank:
        return
    level = sorted(truth)[rank - 1]
    chosen = conformal_p_values(np.array(answers) / 20, np.array(truth) / 20) > percent / 100 + 1e-9
    assert chosen.tolist() == [answer >= level for answer in answers]


def test_the_guarantee_holds_for_every_order_of_the_mentions():
    """Each of n + 1 values in turn is the new one: at most floor(alpha * (n + 1)) of them fall out of their set."""
    values = np.array([0.1, 0.3, 0.3, 0.4, 0.6, 0.7, 0.7, 0.8, 0.9, 0.95])
    for alpha in (0.1, 0.2, 0.35, 0.5):
        missed = sum(
            conformal_p_values(values[place], np.delete(values, place)) <= alpha + 1e-9 for place in range(len(values))
        )
        assert missed <= alpha * len(values) + 1e-9
        if alpha in (0.1, 0.5):  # without ties at the border it is exactly that
            assert missed == round(alpha * len(values))


def test_the_lowest_rate():
    assert lowest_alpha(TRUTH) == pytest.approx(0.2)
    assert lowest_alpha([0.0, 0.0, *TRUTH]) == pytest.approx(3 / 7)
    assert conformal_p_values(0.0, [0.0, 0.0, *TRUTH]) == lowest_alpha([0.0, 0.0, *TRUTH])
