"""`lsu labels` as a user meets it, and a set of one's own added with one TOML file and one relation."""

import json

import numpy as np
import pytest
from pictures import write_png
from test_cli import Outcome  # noqa: F401 - the fixture's type
from test_cli import lsu as lsu  # noqa: PLC0414 - a plain import would be redefined by arguments
from test_cli import place as place  # noqa: PLC0414 - the same

from lsu.runtime import Dataset

FARM = """
name = "farm"
source = "made up for this test"
licence = "none"

[label_space]
classes = [
  { name = "way", id = 3, concepts = ["road", "gravel"] },
  { name = "plants", id = 9, concepts = ["tree", "shrub", "grass"] },
  { name = "cows", id = 20, concepts = ["cow"] },
]
void = [{ name = "dirt on the lens", id = 1 }]

[splits.all]
images = "photos/*.png"
labels = "masks/*.png"
encoding = "ids"
"""


@pytest.fixture
def farm(tmp_path, monkeypatch):
    """A made-up set: one TOML file beside its pictures."""
    (tmp_path / "farm").mkdir()
    (tmp_path / "farm/dataset.toml").write_text(FARM)
    ids = np.array([[3, 9, 20, 1]] * 4, np.uint8)
    write_png(tmp_path / "farm/masks/a.png", ids)
    write_png(tmp_path / "farm/photos/a.png", np.zeros((4, 4, 3), np.uint8))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_set_of_ones_own_is_one_toml_file_and_one_derived_relation(farm, lsu) -> None:
    derived = lsu("labels", "relate", "camvid11", "farm/dataset.toml", "-o", "farm-to-camvid11.toml")
    assert derived.code == 0, derived.err
    checked = lsu("labels", "check", "farm-to-camvid11.toml", "--json")
    assert checked.code == 0, checked.out
    rows = {row["label"]: row["allowed"] for row in json.loads(checked.out)["rows"]}
    assert rows["cows"] == ["void"]
    assert "Road" in rows["way"]
    assert "Tree" in rows["plants"]
    converted = lsu(
        *("labels", "convert", "--data", "farm", "--split", "all", "--relation", "farm-to-camvid11.toml"),
        *("--out", "as_camvid", "--undecided-void", "--json"),
    )
    assert converted.code == 0, converted.err
    made = Dataset.load(farm / "as_camvid").split("all")
    assert made.read(made.frames[0]).labels[0, 2:].tolist() == [255, 255]


def test_a_relation_that_leaves_a_choice_is_not_converted(farm, lsu) -> None:
    lsu("labels", "relate", "camvid11", "farm/dataset.toml", "-o", "r.toml")
    outcome = lsu(
        "labels", "convert", "--data", "farm", "--split", "all", "--relation", "r.toml", "--out", "o"
    )
    assert outcome.code == 2
    assert "leaves a choice, which needs a teacher" in outcome.line
    assert not (farm / "o").exists()


def test_the_catalogue_is_listed(lsu) -> None:
    outcome = lsu("labels", "list", "--json")
    listed = json.loads(outcome.out)
    assert {"camvid11", "idd_lite", "rellis3d"} <= {s["name"] for s in listed["label_spaces"]}
    assert "idd_lite-to-camvid11" in {r["name"] for r in listed["relations"]}
    cityscapes = next(d for d in listed["datasets"] if d["name"] == "cityscapes")
    assert cityscapes["label_space"] == "cityscapes34"
    assert cityscapes["splits"] == {"train": 2975, "val": 500, "test": 1525}
    assert "mcordts/cityscapesScripts" in cityscapes["counts_source"]
    assert "idd_lite-to-camvid11" in lsu("labels", "list").out


def test_a_label_space_is_shown(lsu) -> None:
    outcome = lsu("labels", "show", "camvid32")
    assert outcome.code == 0
    line = next(line for line in outcome.out.splitlines() if "TrafficLight" in line)
    assert "0 64 64" in line
    assert "traffic_light" in line
    assert lsu("labels", "show", "camvid23").code == 2
    assert "did you mean 'camvid32'" in lsu("labels", "show", "camvid23").line


def test_a_suspicious_relation_ends_with_code_1_and_says_why(farm, lsu) -> None:
    lsu("labels", "relate", "camvid11", "farm/dataset.toml", "-o", "r.toml")
    text = (farm / "r.toml").read_text()
    way = next(line for line in text.splitlines() if line.startswith("way = "))
    (farm / "r.toml").write_text(text.replace(way, 'way = ["Car"]'))
    outcome = lsu("labels", "check", "r.toml")
    assert outcome.code == 1
    assert "forbids" in outcome.out
    assert "suspicious: way" in outcome.out


def test_the_whole_catalogue_passes_its_check(lsu) -> None:
    outcome = lsu("labels", "check", "--all", "--json")
    failed = [r for r in json.loads(outcome.out) if not r["passed"]]
    assert failed == []
    assert outcome.code == 0


@pytest.mark.parametrize("arguments", [(), ("idd_lite-to-camvid11", "--all")])
def test_check_wants_one_relation_or_all(lsu, arguments) -> None:
    outcome = lsu("labels", "check", *arguments)
    assert outcome.code == 2
    assert "give one relation, or --all" in outcome.line


def test_relate_over_a_third_label_space_and_backwards(farm, lsu) -> None:
    over = lsu("labels", "relate", "camvid11", "farm/dataset.toml", "--via", "idd_lite", "--json")
    rows = {row["label"]: row for row in json.loads(over.out)["rows"]}
    assert {"Building", "Tree"} <= set(rows["plants"]["allowed"])
    back = lsu("labels", "relate", "idd_lite", "camvid11", "--invert", "--json")
    rows = {row["label"]: row for row in json.loads(back.out)["rows"]}
    assert rows["Bicyclist"]["allowed"] == ["living-things", "vehicles"]
    both = lsu("labels", "relate", "idd_lite", "camvid11", "--invert", "--via", "camvid32")
    assert "give one of them" in both.line


def test_relate_never_overwrites_a_file(farm, lsu) -> None:
    (farm / "mine.toml").write_text("hours of work")
    outcome = lsu("labels", "relate", "camvid11", "farm/dataset.toml", "-o", "mine.toml")
    assert outcome.code == 2
    assert "mine.toml exists and may hold somebody's work: delete it, or choose another -o" in outcome.line
    assert (farm / "mine.toml").read_text() == "hours of work"
    blocked = lsu("labels", "relate", "camvid11", "farm/dataset.toml", "-o", "mine.toml/r.toml")
    assert "mine.toml is not a folder" in blocked.line


def test_a_derived_relation_can_be_read_from_any_folder(farm, lsu, tmp_path, monkeypatch) -> None:
    assert lsu("labels", "relate", "camvid11", "farm/dataset.toml", "-o", "far/off/r.toml").code == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert lsu("labels", "check", "../far/off/r.toml").code == 0


def test_a_label_space_with_a_name_of_the_catalogue_is_not_taken_for_that_one(farm, lsu) -> None:
    (farm / "mine.toml").write_text(
        'name = "camvid11"\nclasses = [{ name = "way", concepts = ["road"] }, { name = "rest" }]\n'
    )
    turned = lsu("labels", "relate", "camvid32", "./mine.toml", "--invert")
    assert turned.code == 2
    assert "no relation of 'camvid32' labels to 'camvid11' classes to turn round" in turned.line
    over = lsu("labels", "relate", "./mine.toml", "goose", "--via", "camvid32")
    assert "says no concepts for 'rest'" in over.line  # derived, not the catalogue's camvid32-to-camvid11


def test_a_shipped_relation_is_named_and_used_on_the_way(lsu) -> None:
    outcome = lsu("labels", "relate", "camvid11", "camvid32", "--via", "cityscapes19")
    assert "the catalogue has camvid32-to-camvid11" in outcome.err
    assert 'origin = "the chain of camvid32-to-cityscapes19 and cityscapes19-to-camvid11"' in outcome.out


def test_names_are_folded_not_cut_off_and_never_command_the_terminal(farm, lsu) -> None:
    wide = lsu("labels", "check", "mapillary_2_0-to-mapillary63")
    assert "…" not in wide.out
    assert max(map(len, wide.out.split("cardinalities")[0].splitlines())) <= 80
    (farm / "odd.toml").write_text(
        'name = "\\u001b[31m"\nnote = "a\\u0007"\nclasses = [{ name = "[bold]x\\u001b]0;t" }]\n'
    )
    shown = lsu("labels", "show", "odd.toml")
    assert shown.code == 0
    assert "\x1b[31m:" not in shown.out
    assert "\x1b]" not in shown.out
    assert "\x07" not in shown.out
    assert "[bold]x" in shown.out


def test_check_tells_which_rows_are_never_void_without_a_void_channel(lsu) -> None:
    outcome = lsu("labels", "check", "goose-to-cityscapes19")
    line = next(line for line in outcome.out.splitlines() if line.startswith("never void without"))
    assert "gravel" in line
    assert "water" not in line


def test_an_unknown_name_without_near_ones_shows_a_few_and_where_the_rest_is(lsu) -> None:
    line = lsu("labels", "check", "0").line
    assert line.count("-to-") == 12
    assert "more (lsu labels list shows all; a file's path ends in .toml)" in line
