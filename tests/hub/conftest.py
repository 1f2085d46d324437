import pytest

from tests.hub import Hub


@pytest.fixture
def hub():
    """A Hub without repositories, for one test."""
    with Hub() as running:
        yield running
