"""The model card says what was recorded, calls the rest unknown, and is a file of the bundle like others."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bundles import SPEC, tiny_draft

from lsu.export.card import CARD, card_from_draft
from lsu.export.data_record import data_records
from lsu.export.evaluation_file import RecordedEvaluation
from lsu.runtime.bundles.bundle import write_bundle
from lsu.runtime.errors import InputError

SCORED = {
    "bundle": "ab" * 32,
    "data": "town",
    "split": "val",
    "frames": 7,
    "label_space": {"name": "town", "identity": "0123"},
    "mean_iou": 0.5,
    "classes": [
        {"name": "road", "iou": 0.987654, "boundary_f": 0.5},
        {"name": "sky", "iou": None, "boundary_f": None},
    ],
}


def card(evaluations: tuple[RecordedEvaluation, ...] = (), **changes: Any) -> str:
    return card_from_draft(tiny_draft(**changes), evaluations).decode()


def evaluation(tmp_path: Path, table: Any = SCORED) -> RecordedEvaluation:
    (tmp_path / "scored.json").write_text(json.dumps(table))
    return RecordedEvaluation.load(tmp_path / "scored.json")


def test_classes_stand_with_their_ids_and_colours() -> None:
    text = card()
    assert "| 0 | road | 7 | #804080 |" in text
    assert "| 2 | car | 12 |  |" in text
    assert f"Identity `{SPEC.label_space.identity}`" in text
    assert "Void, written as 255: ego." in text


def test_what_nobody_recorded_is_called_unknown() -> None:
    text = card()
    assert "What it learned from, and under which licence, is unknown here" in text
    assert "No score on labelled images is recorded here: nothing is known about how good" in text


def test_scores_per_class_and_where_they_come_from(tmp_path: Path) -> None:
    text = card((evaluation(tmp_path),))
    assert (
        "On town val, 7 images, scored in the label space town (0123), measured with the bundle abababab"
        in text
    )
    assert "| road | 98.77 | 50.00 |\n| sky | - | - |\n| mean IoU | 50.00 |  |" in text
    assert "measured on town val and nowhere else" in text
    assert "That those hold this network is the exporter's word." in text
    assert "It was scored" not in text
    assert "nothing is known" not in text


@pytest.mark.parametrize(
    "table",
    [
        [],
        {},
        SCORED | {"mean_iou": 1.5},
        SCORED | {"classes": [{"name": "road"}]},
        SCORED | {"frames": "many"},
    ],
)
def test_what_is_no_evaluation_is_refused(tmp_path: Path, table: Any) -> None:
    with pytest.raises(InputError, match=r"scored.json: not an evaluation: write one with `lsu evaluate"):
        evaluation(tmp_path, table)


def test_limits_follow_from_what_the_bundle_is() -> None:
    assert "rounded to float16" not in card()
    assert "for the weights' rounding only" in card(precision="float16")
    assert "on no CPU" in card(head="plugin")
    assert "never answers void by itself" in card()
    with_void = replace(SPEC, void_channel=3)
    text = card_from_draft(replace(tiny_draft(), spec=with_void)).decode()
    assert "never answers void by itself" not in text
    assert "Void channel: 3, written as 255 where it wins" in text


def test_names_cannot_become_markup() -> None:
    text = card(name="a|b\n# <script> `c` [d](e)")
    assert text.startswith("# a\\|b # \\<script\\> \\`c\\` \\[d\\](e)\n")


def test_the_card_is_a_file_of_the_bundle(tmp_path: Path) -> None:
    draft = tiny_draft()
    bundle = write_bundle(tmp_path / "b", replace(draft, documents={CARD: card_from_draft(draft)}))
    assert bundle.read("README.md") == card_from_draft(draft)
    with (tmp_path / "b/README.md").open("a") as file:
        file.write("and it is safe\n")
    with pytest.raises(InputError, match="README.md: damaged"):
        bundle.read("README.md")


def relabelled(folder: Path) -> Path:
    folder.mkdir()
    (folder / "dataset.toml").write_text('name = "idd-relabelled"\nlicence = "research"\n')
    header = {"relation": "1606", "network": "1c5b", "data": "idd/train", "views": []}
    (folder / "journal.jsonl").write_text(json.dumps(header) + '\n{"key": "a"}\n')
    return folder


def test_data_sets_are_recorded_with_their_relations(tmp_path: Path) -> None:
    entries = [
        {"dataset": str(relabelled(tmp_path / "labels")), "split": "train", "weight": 1.0},
        {"dataset": str(tmp_path / "gone" / "dataset.toml"), "split": "train", "weight": 2.0},
        {"dataset": "camvid11", "split": "val", "weight": 1.0},
        {"dataset": "no-such-set", "split": "val", "weight": 1.0},
    ]
    first, second, third, fourth = data_records(entries)
    assert first == {
        "name": "idd-relabelled", "split": "train", "weight": 1.0, "licence": "research",
        "relabelled": {"relation": "1606", "network": "1c5b", "data": "idd/train"},
    }  # fmt: skip
    assert second == {"name": "gone", "split": "train", "weight": 2.0}
    assert third["name"] == "camvid11" and third["licence"] and "relabelled" not in third
    assert fourth["name"] == "no-such-set"
    text = card(provenance={"lsu": "0", "data": data_records(entries)})
    assert "- idd-relabelled, split train, weight 1.0.\n  Licence: research.\n" in text
    assert "made from idd/train through the relation `1606`" in text
    assert "- gone, split train, weight 2.0.\n  Licence: not recorded; see the data set." in text
    assert str(tmp_path) not in text


@pytest.mark.parametrize("journal", ["", "not json", "[1]", "{}"])
def test_a_journal_that_says_nothing_is_no_error(tmp_path: Path, journal: str) -> None:
    folder = relabelled(tmp_path / "labels")
    (folder / "journal.jsonl").write_text(journal)
    (record,) = data_records([{"dataset": str(folder), "split": "train", "weight": 1.0}])
    assert "relabelled" not in record
