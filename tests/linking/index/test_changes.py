import multiprocessing
import shutil

import numpy as np
import pytest
import torch

from hf_mel import KnowledgeBase
from hf_mel.data import UnknownEntityError
from hf_mel.encoding import EntityInputs, encode_all
from hf_mel.linking.index import EntityIndex, IndexChange, encoder, folder
from tests.linking.index.common import build, contents, parts, people
from tests.training.common import tiny_data


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return build(tmp_path_factory.mktemp("base") / "index").folder


@pytest.fixture
def index(base, tmp_path) -> EntityIndex:
    shutil.copytree(base, tmp_path / "index")
    return EntityIndex.load(tmp_path / "index")


def encoded_rows(monkeypatch) -> list[int]:
    """Grows with every entity that is encoded from now on."""
    rows, encode = [], encoder.ShardEncoder._encode
    monkeypatch.setattr(encoder.ShardEncoder, "_encode", lambda self, part: (rows.extend(part), encode(self, part))[1])
    return rows


def vectors(kb: KnowledgeBase) -> torch.Tensor:
    model, processor = parts()
    return encode_all(model, EntityInputs(kb, processor), 100)[0]["embeds"]


def test_added_entities_are_found_and_the_others_stay(index, monkeypatch):
    rows, kb = encoded_rows(monkeypatch), people(6)
    before = index.encodings(np.arange(20))["embeds"]
    assert index.add(*parts(), kb) == IndexChange(added=6)
    assert len(rows) == 6 and len(index) == index.num_rows == 26 and index.generation == 2
    assert torch.equal(index.encodings(np.arange(20))["embeds"], before)
    torch.testing.assert_close(index.encodings(np.arange(20, 26))["embeds"], vectors(kb), rtol=1e-5, atol=1e-6)
    assert index.row("N5") == 25 and index.names([25]) == ["Vale 5"] and index.ids[20:] == kb.ids
    assert index.search(vectors(kb), 1)[1][:, 0].tolist() == list(range(20, 26))
    assert EntityIndex.load(index.folder).ids == index.ids
    assert index.manifest.images["none"] == 6


def test_removed_entities_are_never_found(index, monkeypatch):
    rows = encoded_rows(monkeypatch)
    gone = [index.ids[row] for row in (3, 4, 19)]
    queries = index.encodings([3, 4, 19])
    assert index.remove(gone) == IndexChange(removed=3)
    assert not rows and len(index) == 17 and index.num_rows == 20 and index.generation == 2
    assert not set(index.search(queries, 20)[1].ravel().tolist()) & {3, 4, 19}
    assert np.flatnonzero(~index.alive).tolist() == [3, 4, 19]
    assert gone[0] not in index and index.ids[3] == gone[0]
    with pytest.raises(UnknownEntityError, match="no entity"):
        index.row(gone[0])
    again = EntityIndex.load(index.folder)
    assert np.array_equal(again.alive, index.alive)
    again.remove([index.ids[0]])
    assert np.flatnonzero(~again.alive).tolist() == [0, 3, 4, 19]
    assert len(list((index.folder / "removed").iterdir())) == 1


def test_unknown_ids_remove_nothing(index):
    with pytest.raises(UnknownEntityError, match="2 ids not in this index: x, y"):
        index.remove([index.ids[0], "x", "y"])
    assert len(index) == 20 and index.generation == 1
    assert index.remove([index.ids[0], "x"], missing_ok=True) == IndexChange(removed=1)
    assert index.remove(["x"], missing_ok=True) == IndexChange() and index.generation == 2
    assert index.remove(index.ids[1]) == IndexChange(removed=1)


def test_what_is_there_already(index, monkeypatch):
    index.add(*parts(), people(4))
    rows, before = encoded_rows(monkeypatch), contents(index.folder)
    assert index.add(*parts(), people(4)) == IndexChange(unchanged=4)
    assert index.update(*parts(), people(4)) == IndexChange(unchanged=4)
    assert not rows and contents(index.folder) == before
    assert index.add(*parts(), people(6)) == IndexChange(added=2, unchanged=4)
    assert len(rows) == 2
    with pytest.raises(ValueError, match="3 entities with another content in the index: N0, N1, N2. .*`update`"):
        index.add(*parts(), people(3, trade="singer"))
    assert len(index) == 26


def test_another_picture_is_another_content(tmp_path):
    from PIL import Image

    def kb(shade: int) -> KnowledgeBase:
        picture = Image.linear_gradient("L").point(lambda value: max(value, shade)).convert("RGB")
        return KnowledgeBase.from_records([{"id": "A", "name": "Ada", "image": picture}])

    index = build(vision=True)
    index.add(*parts(True), kb(0))
    first = index.encodings([20])["embeds"], index.entities([20])[0].thumbnail
    assert index.update(*parts(True), kb(0)) == IndexChange(unchanged=1)
    assert index.update(*parts(True), kb(200)) == IndexChange(replaced=1)
    row = index.row("A")
    assert row == 21 and index.entities([row])[0].thumbnail != first[1]
    assert not torch.equal(index.encodings([row])["embeds"], first[0])


def test_update(index, monkeypatch):
    index.add(*parts(), people(5))
    rows = encoded_rows(monkeypatch)
    changed = people(5, trade="singer")
    with pytest.raises(UnknownEntityError, match="2 entities not in the index: N5, N6"):
        index.update(*parts(), people(7, trade="singer"))
    assert not rows and index.generation == 2
    assert index.update(*parts(), people(7, trade="singer"), add_missing=True) == IndexChange(added=2, replaced=5)
    assert len(rows) == 7 and len(index) == 27 and index.num_rows == 32 and index.generation == 3
    assert [index.row(f"N{number}") for number in range(7)] == list(range(25, 32))
    assert index.entities([index.row("N4")])[0].text == changed.texts()[4]
    found = index.search(vectors(people(5)), 27)[1]
    assert not set(found.ravel().tolist()) & set(range(20, 25)), "the old ones are gone"


def test_removed_and_added_again(index):
    old = tiny_data().entities
    index.remove([old.ids[2]])
    again = KnowledgeBase(old.dataset.select([2]))
    assert index.add(*parts(), again) == IndexChange(added=1)
    assert index.row(old.ids[2]) == 20 and len(index) == 20
    assert index.search(index.encodings([20]), 1)[1][0, 0] == 20


def test_compact(index):
    index.add(*parts(), people(3))
    index.remove(index.ids[:9])
    living = np.flatnonzero(index.alive)
    before, names = index.encodings(living), index.names(living)
    entities, digests = index.entities(living), index.store.column("digest").take(living)
    reader = EntityIndex.load(index.folder)
    index.compact()
    assert index.num_rows == len(index) == 14 and index.alive.all() and index.generation == 4
    assert index.names() == names and index.entities(range(14)) == entities
    assert index.store.column("digest").to_pylist() == digests.to_pylist()
    torch.testing.assert_close(index.encodings(np.arange(14)), before, rtol=0, atol=0)
    assert [shard.rows for shard in index.manifest.shards] == [4, 4, 4, 2]
    assert len(list((index.folder / "shards").iterdir())) == 8 and not (index.folder / "removed").exists()
    files = contents(index.folder)
    index.compact()
    assert contents(index.folder) == files and index.generation == 4, "there was nothing to do"
    assert torch.equal(reader.encodings(living)["embeds"], before["embeds"]), "who reads the old rows still can"
    assert reader.entities(living) == entities
    assert reader.refresh() and reader.num_rows == 14 and not reader.refresh()


def test_an_index_from_which_all_was_removed(index):
    index.remove(index.ids)
    assert len(index) == 0
    scores, rows = index.search(torch.ones(2, 8), 3)
    assert scores.shape == rows.shape == (2, 0)
    index.compact()
    assert index.num_rows == 0 and index.ids == [] and index.names() == [] and not list(index.blocks())
    assert index.search(torch.ones(2, 8), 3)[0].shape == (2, 0)
    assert index.encodings([])["embeds"].shape == (0, 8)
    index = EntityIndex.load(index.folder)
    assert index.add(*parts(), people(2)) == IndexChange(added=2) and index.ids == ["N0", "N1"]


def test_another_text_field(index):
    kb = KnowledgeBase.from_records([{"id": "A", "name": "Ada", "description": "a poet"}])
    with pytest.raises(ValueError, match="described by their description, and those of the index by their attributes"):
        index.add(*parts(), kb)
    nameless = KnowledgeBase.from_records([{"id": "A", "name": "Ada"}])
    assert nameless.text_field == "description"
    assert index.add(*parts(), nameless) == IndexChange(added=1)


def test_changes_of_another_process_are_seen(index):
    other = EntityIndex.load(index.folder)
    other.remove([index.ids[0]])
    other.add(*parts(), people(2))
    assert index.add(*parts(), people(3)) == IndexChange(added=1, unchanged=2)
    assert len(index) == 22 and index.generation == 4
    with pytest.raises(UnknownEntityError):
        other.refresh()
        other.remove([index.ids[0]])


def test_one_writer_at_a_time(index, monkeypatch):
    context = multiprocessing.get_context("fork")
    locked, finished = context.Event(), context.Event()

    def hold():
        with folder.writing(index.folder):
            locked.set()
            finished.wait(30)

    holder = context.Process(target=hold)
    holder.start()
    assert locked.wait(30)
    monkeypatch.setattr(folder.writing.__wrapped__, "__defaults__", (0.2,))
    for change in (lambda: index.remove(index.ids[:1]), lambda: index.add(*parts(), people(1)), index.compact):
        with pytest.raises(TimeoutError, match="is being written by another process: wait until it has ended"):
            change()
    assert EntityIndex.load(index.folder).search(torch.ones(1, 8), 2)[1].shape == (1, 2), "reading needs no lock"
    finished.set()
    holder.join(30)
    assert index.remove(index.ids[:1]) == IndexChange(removed=1)
