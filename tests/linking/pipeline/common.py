"""Comparison of answers."""

import json

import pytest


def close(left: list[dict], right: list[dict]):
    """The same answers; scores but for the rounding of another batch."""

    def rounded(value):
        if isinstance(value, float):
            return pytest.approx(value, abs=2e-6)
        if isinstance(value, dict):
            return {name: rounded(each) for name, each in value.items()}
        return [rounded(each) for each in value] if isinstance(value, (list, tuple)) else value

    assert len(left) == len(right) > 0
    for one, other in zip(left, right, strict=True):
        assert json.loads(json.dumps(one)) == rounded(json.loads(json.dumps(other)))
