import json

import numpy as np
import pytest
from pictures import FOREIGN, SOURCE, write_dataset

from lsu.runtime import VOID, Dataset, InputError, Relation
from lsu.runtime.image import grey_from_bytes
from lsu.runtime.relabel.convert import Conversion, convert

N_TO_1 = {"ground": ["road"], "object": ["car"], "above": ["void"]}


def conversion(folder, *, allow=None, undecided_void=False) -> Conversion:
    if not (folder / "data").exists():
        write_dataset(folder / "data")
    relation = Relation.from_names("r", SOURCE, FOREIGN, allow=allow or N_TO_1)
    return Conversion(Dataset.load(folder / "data").split("train"), relation, undecided_void)


def test_each_label_becomes_its_one_class(tmp_path) -> None:
    request = conversion(tmp_path)
    summary = convert(request, tmp_path / "out", workers=2)
    made = Dataset.load(tmp_path / "out").split("train")
    assert made.label_space.identity == SOURCE.identity
    assert len(made.frames) == 5
    answer = np.array([0, 1, VOID] + [VOID] * 253, np.uint8)
    for old, new in zip(request.split.frames, made.frames, strict=True):
        assert old.image == new.image
        assert (made.read(new).labels == answer[request.split.read(old).labels]).all()
    rows = {row.name: row for row in summary.labels}
    assert rows["ground"].forced == rows["ground"].pixels > 0
    assert rows["above"].void == rows["above"].pixels > 0
    assert sum(row.pixels for row in summary.labels) == 5 * 24 * 40


def test_a_choice_is_refused_with_the_rows_that_need_a_teacher_and_nothing_is_written(tmp_path) -> None:
    request = conversion(tmp_path, allow={**N_TO_1, "object": ["car", "person"]})
    with pytest.raises(
        InputError, match=r"needs a teacher \(lsu relabel\), for object \(car, person\): give"
    ):
        convert(request, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_class_or_void_is_a_choice_too(tmp_path) -> None:
    with pytest.raises(InputError, match=r"for above \(sky, void\)"):
        conversion(tmp_path, allow={**N_TO_1, "above": ["sky", "void"]}).check()


def test_undecided_labels_become_void_on_request(tmp_path) -> None:
    allow = {**N_TO_1, "object": ["car", "person"]}
    request = conversion(tmp_path, allow=allow, undecided_void=True)
    convert(request, tmp_path / "out")
    made = Dataset.load(tmp_path / "out").split("train")
    for old, new in zip(request.split.frames, made.frames, strict=True):
        before, after = request.split.read(old).labels, made.read(new).labels
        assert (after[before == 1] == VOID).all()
        assert (after[before == 0] == 0).all()


def test_a_conversion_continues_and_another_request_is_refused(tmp_path) -> None:
    convert(conversion(tmp_path), tmp_path / "out")
    written = (tmp_path / "out/labels/train/f2.png").read_bytes()
    (tmp_path / "out/labels/train/f2.png").write_bytes(b"half")
    done: list[int] = []
    convert(conversion(tmp_path), tmp_path / "out", on_frame=done.append)
    assert done == [4, 1]
    assert (tmp_path / "out/labels/train/f2.png").read_bytes() == written
    other = conversion(tmp_path, allow={**N_TO_1, "above": ["sky"]})
    with pytest.raises(InputError, match="another conversion"):
        convert(other, tmp_path / "out")


def test_a_damaged_label_file_is_skipped_and_told(tmp_path) -> None:
    request = conversion(tmp_path)
    (tmp_path / "data/labels/train/f1_ids.png").write_bytes(b"no picture")
    summary = convert(request, tmp_path / "out")
    assert [key for key, _ in summary.skipped] == ["f1"]
    assert summary.frames == 4
    assert json.loads((tmp_path / "out/summary.json").read_text())["frames"] == 4


def test_images_are_not_read(tmp_path) -> None:
    request = conversion(tmp_path)
    for image in (tmp_path / "data/images/train").iterdir():
        image.write_bytes(b"")
    convert(request, tmp_path / "out")
    file = tmp_path / "out/labels/train/f0.png"
    assert grey_from_bytes(file.read_bytes(), file).shape == (24, 40)
