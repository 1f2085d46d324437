import datasets
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Parquet files are memory-mapped through a cache; no test may use that of another, or of the user."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets_cache")


@pytest.fixture
def write_picture():
    """Writes a picture of two colours (one alone would count as blank) and returns its path."""

    def write(path, size=(6, 4), left=(200, 10, 10), right=(10, 10, 200), **options):
        image = Image.new("RGB", size, left)
        image.paste(right, (size[0] // 2, 0, size[0], size[1]))
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, **options)
        return path

    return write
