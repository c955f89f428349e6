import json
from dataclasses import replace

import numpy as np
import pytest
from pictures import FOREIGN, SOURCE, write_dataset

from lsu.runtime import VOID, Dataset, InputError, LabelClass, LabelSpace, Relation
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


def test_void_pixels_become_the_one_class_that_the_relation_gives_them(tmp_path) -> None:
    request = conversion(tmp_path, allow={**N_TO_1, "void": ["person"]})
    summary = convert(request, tmp_path / "out")
    made = Dataset.load(tmp_path / "out").split("train")
    for old, new in zip(request.split.frames, made.frames, strict=True):
        before, after = request.split.read_labels(old), made.read_labels(new)
        assert (after[before == VOID] == SOURCE.index("person")).all()
    rows = {row.name: row for row in summary.labels}
    assert rows["void"].void == 0
    assert rows["void"].forced == rows["void"].pixels > 0


def test_a_choice_for_void_pixels_is_refused_too(tmp_path) -> None:
    with pytest.raises(InputError, match=r"for void \(sky, void\)"):
        conversion(tmp_path, allow={**N_TO_1, "void": ["sky", "void"]}).check()


def test_of_many_choices_a_few_are_named_and_the_rest_counted(tmp_path) -> None:
    request = conversion(tmp_path)
    foreign = LabelSpace("many", tuple(LabelClass(f"c{k}") for k in range(7)))
    relation = Relation("r", SOURCE, foreign, (frozenset({0, 1}),) * 7)
    decoder = replace(request.split.decoder, label_space=foreign)
    many = replace(request, relation=relation, split=replace(request.split, decoder=decoder))
    with pytest.raises(InputError, match=r"c4 \(road, car\) and 2 more: give --undecided-void"):
        many.check()


def test_a_relation_from_other_labels_and_a_split_without_labels_are_refused(tmp_path) -> None:
    request = conversion(tmp_path)
    other = Relation.from_names("r", SOURCE, SOURCE, allow={name: [name] for name in SOURCE.names})
    with pytest.raises(InputError, match="the foreign side of relation 'r' speaks 'source'"):
        replace(request, relation=other).check()
    bare = replace(request.split, frames=tuple(replace(f, label=None) for f in request.split.frames))
    with pytest.raises(InputError, match="split 'train' has no labels to convert"):
        replace(request, split=bare).check()


@pytest.mark.parametrize(
    "changed",
    [
        lambda r: replace(r, undecided_void=True),
        lambda r: replace(r, split=replace(r.split, dataset="other")),
        lambda r: replace(r, split=replace(r.split, image_glob=f"{r.split.image_glob}*")),
        lambda r: replace(r, split=replace(r.split, decoder=replace(r.split.decoder, encoding="colours"))),
        lambda r: replace(
            r,
            split=replace(r.split, decoder=replace(r.split.decoder, label_space=FOREIGN.with_dense_ids())),
        ),
    ],
    ids=["undecided", "data", "images", "encoding", "ids"],
)
def test_each_part_of_a_conversion_is_held_against_the_journal(tmp_path, changed) -> None:
    convert(conversion(tmp_path), tmp_path / "out")
    with pytest.raises(InputError, match="choose another --out, or delete it"):
        convert(changed(conversion(tmp_path)), tmp_path / "out")


def test_the_journal_is_in_the_order_of_the_frames_and_the_set_says_what_it_is(tmp_path) -> None:
    convert(conversion(tmp_path), tmp_path / "out", workers=1)
    lines = (tmp_path / "out/journal.jsonl").read_text().splitlines()[1:]
    assert [key for line in lines for key in [f"f{k}" for k in range(5)] if f'"{key}"' in line] == [
        f"f{k}" for k in range(5)
    ]
    assert Dataset.load(tmp_path / "out").name == "blocks-as-source"


def test_without_one_usable_frame_no_data_set_is_made(tmp_path) -> None:
    request = conversion(tmp_path)
    for label in (tmp_path / "data/labels/train").iterdir():
        label.write_bytes(b"no picture")
    with pytest.raises(InputError, match="no frame could be used, the first because: .*f0_ids.png"):
        convert(request, tmp_path / "out")
    assert not (tmp_path / "out/dataset.toml").exists()


def test_a_frame_that_was_skipped_is_tried_again(tmp_path) -> None:
    request = conversion(tmp_path)
    label = tmp_path / "data/labels/train/f1_ids.png"
    good = label.read_bytes()
    label.write_bytes(b"no picture")
    convert(request, tmp_path / "out")
    label.write_bytes(good)
    done: list[int] = []
    summary = convert(request, tmp_path / "out", on_frame=done.append)
    assert done == [4, 1]
    assert not summary.skipped
    assert (tmp_path / "out/frames-train.txt").read_text() == "f0\nf1\nf2\nf3\nf4\n"


def test_an_output_below_a_file_is_refused(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file is not a folder: choose another place"):
        convert(conversion(tmp_path), tmp_path / "file/out")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="link is not a folder: choose another --out"):
        convert(conversion(tmp_path), tmp_path / "link")


def test_files_hold_dense_indices_also_where_the_wanted_label_space_has_ids(tmp_path) -> None:
    same = Relation.from_names("r", FOREIGN, FOREIGN, allow={name: [name] for name in FOREIGN.names})
    request = replace(conversion(tmp_path), relation=same)
    convert(request, tmp_path / "out")
    made = Dataset.load(tmp_path / "out").split("train")
    assert made.label_space.identity == FOREIGN.identity
    for old, new in zip(request.split.frames, made.frames, strict=True):
        assert (made.read_labels(new) == request.split.read_labels(old)).all()
