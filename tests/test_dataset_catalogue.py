"""Every data set of the catalogue, read end to end from tiny copies of its layout."""

import os
from pathlib import Path

import numpy as np
import pytest
from layouts import HEIGHT, WIDTH
from public_layouts import LAYOUTS

from lsu.runtime import VOID, Dataset, InputError
from lsu.runtime.files import read_toml, toml_from_table
from lsu.runtime.lookup import CATALOGUE, catalogue_names

SMALL = {
    "camvid11": {"train": 367, "val": 101},
    "idd_lite": {"train": 1403},
    "camvid32_camseq01": {"train": 60, "val": 15, "test": 25},
    "rugd_sample": {"train": 16, "val": 3, "test": 7},
    "rellis3d_1": {"test": 1},
}


def test_every_catalogue_data_set_has_a_layout_here() -> None:
    assert {*LAYOUTS, *SMALL} == set(catalogue_names("datasets"))


@pytest.mark.parametrize("name", catalogue_names("datasets"))
def test_every_catalogue_data_set_speaks_a_label_space(name, tmp_path) -> None:
    dataset = Dataset.load(name, tmp_path)
    assert dataset.name == name
    assert len(dataset.label_space) > 1


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_read_to_the_labels_that_its_files_say(name, tmp_path) -> None:
    for layout in LAYOUTS[name]:
        layout.write(tmp_path)
    dataset = Dataset.load(name, tmp_path)
    for layout in LAYOUTS[name]:
        split = dataset.split(layout.split)
        frame = next(f for f in split.frames if f.key == layout.key)
        assert split.read_image(frame).shape == (HEIGHT, WIDTH, 3)
        if not layout.label:
            assert frame.label is None
            continue
        left, right = (split.label_space.index(n) for n in layout.names)
        row = [left] * (WIDTH // 2) + [right] * (WIDTH // 2)
        assert split.read(frame).labels.tolist() == [row] * HEIGHT


@pytest.mark.parametrize("name", LAYOUTS)
def test_splits_hold_their_own_frames_alone(name, tmp_path) -> None:
    for layout in LAYOUTS[name]:
        layout.write(tmp_path)
    dataset = Dataset.load(name, tmp_path)
    for split in {layout.split for layout in LAYOUTS[name]}:
        found = {f.key for f in dataset.split(split).frames}
        assert found == {layout.key for layout in LAYOUTS[name] if layout.split == split}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_split_has_a_layout_here(name, tmp_path) -> None:
    described = {s for s in Dataset.load(name, tmp_path).splits if (name, s) != ("wildscenes", "all")}
    assert described == {layout.split for layout in LAYOUTS[name]}


@pytest.mark.parametrize("name", LAYOUTS)
def test_an_empty_root_is_refused_with_what_was_looked_for(name, tmp_path) -> None:
    dataset = Dataset.load(name, tmp_path)
    for split, table in dataset.splits.items():
        with pytest.raises(InputError) as caught:
            dataset.split(split)
        message = str(caught.value)
        assert f"data set '{name}', split '{split}': no image matches {table.images[0]}" in message
        assert f"in {tmp_path}, which is empty" in message
        assert "\n" not in message


@pytest.mark.parametrize("name", catalogue_names("datasets"))
def test_a_number_of_frames_has_a_source_and_a_description_one_form(name, tmp_path) -> None:
    dataset = Dataset.load(name, tmp_path)
    if any(table.count for table in dataset.splits.values()):
        assert dataset.counts_source
    path = CATALOGUE / "datasets" / f"{name}.toml"
    table = read_toml(path)
    assert path.read_text() == toml_from_table(table)
    assert name in SMALL or (table["source"] and table["licence"])


def test_camvid_is_split_as_segnet_did() -> None:
    table = Dataset.load("camvid32", Path("/")).splits
    keys = {"0001TP_008520": "train", "0001TP_008550": "test", "0016E5_07950": "train", "0016E5_07959": "val"}
    for key, split in keys.items():
        assert [s for s in table if table[s].selected({key: Path("x")})] == [split]


@pytest.mark.parametrize("name", SMALL)
def test_every_small_data_set_reads_its_real_files(name) -> None:
    data = os.environ.get("LSU_DATA")
    if not data:
        pytest.skip("LSU_DATA, the folder of real data sets, is not set")
    dataset = Dataset.load(name, Path(data) / name)
    assert {s: len(dataset.split(s).frames) for s in dataset.splits} == SMALL[name]
    for split_name in dataset.splits:
        split = dataset.split(split_name)
        for frame in split.frames[:: max(1, len(split.frames) // 10)]:
            labels = split.read(frame).labels
            assert np.max(labels, initial=0, where=labels != VOID) < len(split.label_space)
