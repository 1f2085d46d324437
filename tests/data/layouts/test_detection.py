"""Each layout is recognised by its files alone, and by no other layout's reader."""

import pytest

from hf_mel.data.images import undecoded
from hf_mel.data.layouts import LAYOUTS, detect_layout, load_layout

from .fixtures import (
    MIMIC_FOLDERS,
    write_ghmfc,
    write_json,
    write_kgmel,
    write_melbench,
    write_mimic,
    write_wikidiverse,
)
from .further_fixtures import write_fissfuse, write_melart, write_merlin


def several(folder):
    for benchmark, name in MIMIC_FOLDERS.items():
        write_mimic(folder / name, benchmark, pictures=False)


def sorted_into_folders(folder):
    """WikiDiverse as some keep it: captions, candidates and tables each in a folder."""
    write_wikidiverse(folder, "both", pictures=False)
    for path in [path for path in folder.iterdir() if path.is_file()]:
        place = "entities" if path.suffix == ".tsv" else "candidates" if "cands" in path.name else "mentions"
        (folder / place).mkdir(exist_ok=True)
        path.rename(folder / place / path.name)


def several_of_fissfuse(folder):
    for benchmark, name in MIMIC_FOLDERS.items():
        write_fissfuse(folder / name, benchmark, pictures=False)


WRITERS = {
    "fissfuse": [lambda folder: write_fissfuse(folder, pictures=False), several_of_fissfuse],
    "ghmfc": [write_ghmfc, lambda folder: write_ghmfc(folder, "richpediamel")],
    "kgmel": [write_kgmel, lambda folder: write_kgmel(folder, "wikimel", kb=True)],
    "melart": [write_melart, lambda folder: write_melart(folder, inner=True)],
    "melbench": [write_melbench, lambda folder: write_melbench(folder, "richpediamel", splits=False)],
    "merlin": [write_merlin, lambda folder: write_merlin(folder, "jsonl")],
    "mimic": [
        *(
            lambda folder, benchmark=benchmark, usual=usual: write_mimic(folder, benchmark, usual=usual)
            for benchmark in MIMIC_FOLDERS
            for usual in (True, False)
        ),
        several,
    ],
    "wikidiverse": [
        *(lambda folder, level=level: write_wikidiverse(folder, level) for level in ("passage", "mention", "both")),
        sorted_into_folders,
    ],
}


def test_every_layout_has_a_fixture():
    assert list(WRITERS) == sorted(LAYOUTS)


@pytest.mark.parametrize(
    ("layout", "number"), [(layout, number) for layout, writers in WRITERS.items() for number in range(len(writers))]
)
def test_exactly_its_own_layout(tmp_path, layout, number):
    WRITERS[layout][number](tmp_path)
    assert [name for name, known in LAYOUTS.items() if known.fits(tmp_path)] == [layout]
    assert detect_layout(tmp_path) == layout


@pytest.mark.parametrize("write", [write_mimic, write_wikidiverse, write_kgmel])
def test_extra_records_have_pictures_of_their_own(tmp_path, write):
    """Other tests break the pictures of such records one by one."""
    counts = []
    for extra in (0, 3):
        data = load_layout("auto", write(tmp_path / str(extra), extra=extra), check_images=True)
        counts.append((data.report["splits"]["train"]["images"]["ok"], len(data.report["pictures"])))
    (few, broken), (many, broken_with_extra) = counts
    assert many == few + 3 and broken == broken_with_extra
    last = [row["image"]["path"] for row in list(undecoded(data.mentions["train"]))[-3:]]
    assert len(set(last)) == 3


def test_no_layout_and_several(tmp_path):
    write_json(tmp_path, train=[{"id": 1}], test=[], notes={})
    (tmp_path / "valid.json").write_text("[[")
    with pytest.raises(
        ValueError,
        match="holds the files of no known layout .*fissfuse, ghmfc, kgmel, melart, melbench, merlin, mimic, wikidiverse",
    ):
        detect_layout(tmp_path)
    assert not any(known.fits(tmp_path / "nowhere") for known in LAYOUTS.values())
    write_mimic(tmp_path, "wikidiverse")
    write_kgmel(tmp_path)
    with pytest.raises(
        ValueError, match=r"holds the files of several layouts \(kgmel, mimic\): name one, as `layout=`"
    ):
        load_layout("auto", tmp_path)
    assert load_layout("kgmel", tmp_path, validate=False).report["layout"] == "kgmel"
