from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pictures import FOREIGN, SOURCE, write_dataset

from lsu.runtime import VOID, Dataset, InputError, LabelSpace, Relation
from lsu.runtime.label_space import LabelClass
from lsu.training import centroids
from lsu.training.centroids import boosts_from_names, centroids_in, centroids_of, tile_starts
from lsu.training.partial_labels import LabelSets


def test_tiles_cover_the_whole_image() -> None:
    assert tile_starts(1024, 1024) == [0]
    assert tile_starts(1025, 1024) == [0, 1024]
    assert tile_starts(360, 1024) == [0]  # floor division would give BDD, KITTI and CamVid none
    assert tile_starts(2048, 1024) == [0, 1024]


def test_a_centroid_is_the_centre_of_mass_of_a_class_in_a_tile() -> None:
    labels = np.full((6, 6), VOID)
    labels[0, 0:2] = 1  # left tile
    labels[3, 1] = 0
    labels[1:3, 4] = 1  # right tile
    labels[5, 3:5] = 0  # half in each of the two lower tiles
    labels[0, 5] = 300  # a set of several classes
    found = centroids_in(labels, 2, tile=4)
    assert found.tolist() == [[0, 3, 1], [1, 0, 0.5], [1, 1.5, 4], [0, 5, 3], [0, 5, 4]]


def test_a_frame_of_void_has_none() -> None:
    assert centroids_in(np.full((4, 4), VOID), 3, tile=2).shape == (0, 3)


@pytest.fixture
def split(tmp_path: Path):
    write_dataset(tmp_path / "data")
    return Dataset.load(tmp_path / "data").split("train")


def test_frames_and_entries_are_told_apart(split, tmp_path: Path) -> None:
    found = centroids_of(
        [split, split], LabelSets.of([split, split], [None, None]), tile=1024, cache=tmp_path
    )
    entries, frames = (set(found.members[:, k].tolist()) for k in (0, 1))
    assert (entries, frames) == ({0, 1}, set(range(len(split.frames))))
    first = split.read(split.frames[0]).labels
    mine = found.members[:, :2].tolist().index([1, 0])
    y, x = np.nonzero(first == found.members[mine, 2])
    assert found.places[mine].tolist() == pytest.approx([y.mean(), x.mean()])
    assert found.of(1, 0).tolist() == [
        k for k, row in enumerate(found.members.tolist()) if row[0] == 1 and row[2] == 0
    ]


def test_a_label_of_one_class_counts_through_its_relation_and_one_of_several_not(
    split, tmp_path: Path
) -> None:
    space = LabelSpace("wider", (*SOURCE.classes, LabelClass("bicycle")))
    allow = {"ground": ["road"], "object": ["car", "bicycle"], "above": ["bicycle"]}
    relation = Relation.from_names("r", space, FOREIGN, allow=allow)
    found = centroids_of([split], LabelSets.of([split], [relation]), tile=1024, cache=tmp_path)
    assert set(found.members[:, 2].tolist()) == {space.index("road"), space.index("bicycle")}


def test_centroids_are_kept_until_a_label_file_changes(split, tmp_path: Path, monkeypatch) -> None:
    sets = LabelSets.of([split], [None])
    cache = tmp_path / "cache"
    first = centroids_of([split], sets, tile=1024, cache=cache)
    counts = []
    counted = centroids._counted
    monkeypatch.setattr(centroids, "_counted", lambda *a: counts.append(1) or counted(*a))
    again = centroids_of([split], sets, tile=1024, cache=cache)
    assert not counts
    assert np.array_equal(first.members, again.members)
    assert np.array_equal(first.places, again.places)
    centroids_of([split], sets, tile=32, cache=cache)
    assert len(counts) == 1
    label = split.frames[0].label
    label.write_bytes(label.read_bytes())
    centroids_of([split], sets, tile=1024, cache=cache)
    assert len(counts) == 2


def test_centroids_are_counted_anew_where_the_same_files_mean_something_else(tmp_path: Path) -> None:
    table = write_dataset(tmp_path / "data")
    found = []
    ground, other, above = FOREIGN.classes
    for ids in ((7, 33), (33, 7)):
        classes = (replace(ground, id=ids[0]), other, replace(above, id=ids[1]))
        (table.parent / "foreign.toml").write_text(replace(FOREIGN, classes=classes).to_toml())
        split = Dataset.load(table).split("train")
        found.append(
            centroids_of([split], LabelSets.of([split], [None]), tile=1024, cache=tmp_path / "cache")
        )
    first, second = (
        {(*m, *p) for m, p in zip(f.members.tolist(), f.places.tolist(), strict=True)} for f in found
    )
    assert second == {(entry, frame, 2 - dense, *place) for entry, frame, dense, *place in first}


@pytest.mark.parametrize("seed", range(40))
def test_any_damage_to_the_cache_is_counted_anew(split, tmp_path: Path, seed: int) -> None:
    """Which error says so depends on the byte: zlib's, the archive's, numpy's."""
    sets = LabelSets.of([split], [None])
    first = centroids_of([split], sets, tile=1024, cache=tmp_path / "cache")
    (kept,) = (tmp_path / "cache").iterdir()
    data = bytearray(kept.read_bytes())
    data[np.random.default_rng(seed).integers(len(data))] ^= 0xFF
    kept.write_bytes(data)
    again = centroids_of([split], sets, tile=1024, cache=tmp_path / "cache")
    assert np.array_equal(first.members, again.members)
    assert np.array_equal(first.places, again.places)


def test_a_cache_that_cannot_be_read_is_no_error(split, tmp_path: Path) -> None:
    sets = LabelSets.of([split], [None])
    first = centroids_of([split], sets, tile=1024, cache=tmp_path / "cache")
    (kept,) = (tmp_path / "cache").iterdir()
    kept.unlink()
    kept.mkdir()  # what may not be read cannot be made by root
    again = centroids_of([split], sets, tile=1024, cache=tmp_path / "cache")
    assert np.array_equal(first.places, again.places)


@pytest.mark.parametrize("damage", [b"", b"not an archive", None])
def test_a_damaged_cache_is_counted_anew(split, tmp_path: Path, damage: bytes | None) -> None:
    sets = LabelSets.of([split], [None])
    first = centroids_of([split], sets, tile=1024, cache=tmp_path / "cache")
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_bytes(kept.read_bytes()[:-40] if damage is None else damage)
    again = centroids_of([split], sets, tile=1024, cache=tmp_path / "cache")
    assert np.array_equal(first.places, again.places)
    assert (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_is_no_error(split, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    assert len(
        centroids_of([split], LabelSets.of([split], [None]), tile=1024, cache=tmp_path / "cache").members
    )


def test_boosts_go_by_name_and_unknown_names_are_refused() -> None:
    name = SOURCE.names[1]
    assert boosts_from_names({name: 3.0}, SOURCE)[:2] == (1.0, 3.0)
    with pytest.raises(InputError, match="fit.centroid_boost: no class 'carr' in label space"):
        boosts_from_names({"carr": 2.0}, SOURCE)
