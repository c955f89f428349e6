"""The drawn worlds: the same bytes for the same seed, a true relation, balanced classes, aligned labels."""

from pathlib import Path

import numpy as np
import pytest

from lsu.runtime.datasets.dataset import Dataset
from lsu.runtime.errors import InputError
from lsu.runtime.relation import Relation
from lsu.training.road_canvas import Surface
from lsu.training.road_look import DAY, DUSK, Look
from lsu.training.road_scene import draw_scene
from lsu.training.synthetic import CLASSES_A, CLASSES_B, WorldPaths, WorldSettings, write_worlds

VOID = 255
SMALL = WorldSettings(seed=3, train=3, test=2, size=(64, 96))


def _files(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> WorldPaths:
    return write_worlds(tmp_path_factory.mktemp("worlds"), SMALL)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_images(
    worlds: WorldPaths, tmp_path: Path
) -> None:
    first = _files(worlds.relation.parent)
    write_worlds(tmp_path / "again", SMALL)
    write_worlds(tmp_path / "other", WorldSettings(seed=4, train=3, test=2, size=(64, 96)))
    other = _files(tmp_path / "other")
    assert _files(tmp_path / "again") == first
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first if "/images/" in name)


def test_a_frame_does_not_depend_on_how_many_others_are_drawn(worlds: WorldPaths, tmp_path: Path) -> None:
    write_worlds(tmp_path / "fewer", WorldSettings(seed=3, train=1, test=1, size=(64, 96)))
    first = _files(worlds.relation.parent)
    assert all(first[name] == data for name, data in _files(tmp_path / "fewer").items())


def test_no_two_splits_share_a_scene(worlds: WorldPaths) -> None:
    root = worlds.relation.parent
    train, val, b, test = (
        (root / folder / "0000.png").read_bytes()
        for folder in ("a/images/train", "a/images/val", "b/images/train", "test/images/test")
    )
    assert len({train, val, b, test}) == 4


def test_the_readers_find_every_split_with_declared_labels_and_the_asked_size(worlds: WorldPaths) -> None:
    expected = [
        (worlds.a, "train", 3, 13),
        (worlds.a, "val", 2, 13),
        (worlds.b, "train", 3, 8),
        (worlds.b_truth, "train", 3, 13),
        (worlds.test, "test", 2, 13),
    ]
    for path, name, frames, classes in expected:
        split = Dataset.load(path).split(name)
        assert len(split.frames) == frames
        assert len(split.label_space.classes) == classes
        for frame in split.frames:
            sample = split.read(frame)  # refuses ids and colours that the label space does not list
            assert sample.image.shape == (64, 96, 3)
            assert set(np.unique(sample.labels)) <= {*range(classes), VOID}


def test_b_truth_labels_the_very_images_of_b(worlds: WorldPaths) -> None:
    b, truth = Dataset.load(worlds.b).split("train"), Dataset.load(worlds.b_truth).split("train")
    assert [f.image.resolve() for f in b.frames] == [f.image.resolve() for f in truth.frames]


def test_the_relation_holds_the_truth_in_every_pixel(worlds: WorldPaths) -> None:
    table = Relation.load(worlds.relation).table()
    b, truth = Dataset.load(worlds.b).split("train"), Dataset.load(worlds.b_truth).split("train")
    for frame, true_frame in zip(b.frames, truth.frames, strict=True):
        foreign, true = b.read(frame).labels, truth.read(true_frame).labels
        known = true != VOID
        assert np.array_equal(known, foreign != VOID)
        assert np.all(table[foreign[known], 0] >> true[known].astype(np.uint64) & np.uint64(1))


def test_the_label_spaces_overlap_without_nesting(worlds: WorldPaths) -> None:
    relation = Relation.load(worlds.relation)
    rows = dict(zip(relation.foreign.names, relation.allowed, strict=True))
    rider = relation.source.index("rider")
    assert [name for name, row in rows.items() if rider in row] == ["vehicle", "human"]
    assert max(len(row) for row in rows.values()) == 3
    assert frozenset().union(*rows.values()) == frozenset(range(len(relation.source)))


def test_each_surface_belongs_to_one_class_of_each_world() -> None:
    for classes in (CLASSES_A, CLASSES_B):
        surfaces = [surface for entry in classes for surface in entry.surfaces]
        assert sorted(surfaces) == [surface for surface in Surface if surface != Surface.EGO]


@pytest.mark.parametrize("look", [DAY, DUSK], ids=["day", "dusk"])
def test_forty_scenes_hold_every_class_and_none_dominates(look: Look) -> None:
    counts = np.zeros(len(Surface), np.int64)
    for index in range(40):
        _, labels = draw_scene(look, np.random.default_rng([11, index]), size=(64, 96))
        counts += np.bincount(labels.ravel(), minlength=len(Surface))
    shares = counts / counts.sum()
    assert (shares[: Surface.EGO] > 0.002).all()
    assert shares.max() < 0.45
    assert (shares[Surface.EGO] > 0) == look.bonnet


def test_the_edges_of_labels_lie_on_the_edges_of_images() -> None:
    contrast = dict.fromkeys((-3, 0, 3), 0.0)
    for index in range(10):
        image, labels = draw_scene(DAY, np.random.default_rng([12, index]), size=(96, 144))
        steps = np.abs(np.diff(image.astype(np.int16), axis=1)).sum(axis=2)
        edges = np.diff(labels.astype(np.int16), axis=1) != 0
        for shift in contrast:
            contrast[shift] += float(np.roll(steps, shift, axis=1)[edges].mean())
    assert contrast[0] > 1.5 * contrast[-3]
    assert contrast[0] > 1.5 * contrast[3]


def test_progress_counts_every_frame_once(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    write_worlds(
        tmp_path, WorldSettings(train=1, test=1, size=(32, 32)), progress=lambda *done: calls.append(done)
    )
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="is not an empty folder; name a new one"):
        write_worlds(tmp_path, SMALL)
    with pytest.raises(InputError, match="is not an empty folder"):
        write_worlds(tmp_path / "mine.txt", SMALL)
    assert _files(tmp_path) == {"mine.txt": b"keep"}


def test_impossible_settings_are_refused_with_the_repair() -> None:
    with pytest.raises(InputError, match="seed is -1; give 0 or more"):
        WorldSettings(seed=-1)
    with pytest.raises(InputError, match="0 train and 60 test frames; give at least 1"):
        WorldSettings(train=0)
    with pytest.raises(InputError, match="size is 16x96; give at least 32x32"):
        WorldSettings(size=(16, 96))
