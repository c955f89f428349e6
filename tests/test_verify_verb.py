"""`lsu export verify` as a user meets it: options, figures, the report, and how it ends."""

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import pytest
from bundles import function_bundle, tiny_bundle
from pictures import FOREIGN, SOURCE, write_dataset
from typer.testing import CliRunner

from lsu.export import cli
from lsu.export.verification import report, scores_check
from lsu.runtime import ModelSpec
from lsu.runtime.errors import BackendError

RELATION = """
name = "r"
source = "source.toml"
foreign = "data/foreign.toml"
[allow]
ground = ["road"]
object = ["car", "person"]
above = ["sky", "person"]
"""


def call(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.application(), ["verify", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle of SOURCE with the portable head, data of FOREIGN and a relation, in the working folder."""
    function_bundle(tmp_path / "bundle", ModelSpec(SOURCE, fit="pad", multiple=8))
    write_dataset(tmp_path / "data")
    (tmp_path / "source.toml").write_text(SOURCE.to_toml())
    (tmp_path / "r.toml").write_text(RELATION)
    monkeypatch.chdir(tmp_path)
    return tmp_path


DATA = ("--data", "data", "--split", "train", "--relation", "r.toml")


def test_nobody_to_compare_is_refused(tmp_path: Path, place: Path) -> None:
    plain = tiny_bundle(tmp_path / "plain", ModelSpec(SOURCE, fit="pad", multiple=8))
    code, out, err = call(plain.path, *DATA)
    assert (code, out) == (2, "")
    assert "nobody to compare with the reference: give --checkpoint or --against" in err


def test_labels_and_a_relation_score_in_the_foreign_label_space(place: Path) -> None:
    code, out, _ = call("bundle", *DATA, "--frames", 3, "--json")
    document = json.loads(out)
    assert code == 0
    assert document["images"]["count"] == 3
    assert (document["images"]["truth"], document["images"]["label_space"]) == ("labels", FOREIGN.name)
    modes = {entry["mode"]: entry for entry in document["comparisons"]}
    assert set(modes) == {"free", "drawn", "relation"}
    assert [row["name"] for row in modes["free"]["classes"]] == list(FOREIGN.names)
    assert modes["free"]["mean_iou_difference"] == 0.0
    assert 0 < modes["free"]["mean_iou"] < 1
    assert "onnxruntime CUDA" in [entry["name"] for entry in document["absent"]]


def test_the_report_is_a_folder_with_a_page_that_needs_nothing_else(place: Path) -> None:
    function_bundle(place / "wrong", ModelSpec(SOURCE, fit="pad", multiple=8), wrong=True)
    code, _, err = call("wrong", *DATA, "-o", "report", "--worst", 1)
    assert code == 1
    assert "report: report/report.html" in err
    document = json.loads((place / "report/report.json").read_text())
    assert document["passed"] is False
    pictures = sorted(p.name for p in (place / "report/worst").iterdir())
    assert pictures == [f"model_with_head.onnx-{mode}-1.png" for mode in ("drawn", "free", "relation")]
    assert cv2.imread(str(place / "report/worst" / pictures[1])).shape[1] > 4 * 360

    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open_tags: list[str] = []
            self.sources: list[str] = []

        def handle_starttag(self, tag: str, attributes: list) -> None:
            if tag not in ("meta", "img"):
                self.open_tags.append(tag)
            self.sources += [value for name, value in attributes if name in ("src", "href")]

        def handle_endtag(self, tag: str) -> None:
            assert self.open_tags.pop() == tag

    text = (place / "report/report.html").read_text()
    reader = Reader()
    reader.feed(text)
    assert reader.open_tags == []
    assert len(reader.sources) == 3
    assert all(source.startswith("data:image/png;base64,") for source in reader.sources)
    assert not re.search(r"https?://", text)
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text


def test_names_from_files_are_escaped_in_the_page(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b", name="<script>alert(1)</script>")
    assert call(bundle.path, "-o", tmp_path / "report")[0] == 0
    text = (tmp_path / "report/report.html").read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_an_existing_report_is_refused_before_the_work(place: Path) -> None:
    (place / "report").mkdir()
    code, _, err = call("bundle", "-o", "report")
    assert code == 2
    assert "report exists: choose another name or remove it" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--agreement", "99"), "agreement is 99.0; a share from 0 to 1 is needed"),
        (("--rtol", "-1"), "rtol is -1.0; 0 or more is needed"),
        (("--relation", "r.toml"), "--relation belongs to --data, which is not given"),
        (("--frames", "2"), "--frames belongs to --data"),
        (("--data", "data", "--split", "train"), "label spaces differ"),
    ],
)
def test_options_that_cannot_be_are_one_line_and_code_2(place: Path, options: tuple, message: str) -> None:
    code, out, err = call("bundle", *options)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_an_asked_agreement_decides(place: Path) -> None:
    function_bundle(place / "wrong", ModelSpec(SOURCE, fit="pad", multiple=8), wrong=True)
    assert call("wrong")[0] == 1
    assert call("wrong", "--agreement", "0")[0] == 0


def test_a_checkpoint_of_another_network_is_refused_and_the_right_one_agrees(tmp_path: Path) -> None:
    from checkpoints import write_checkpoint

    from lsu.export.to_onnx import Options as ExportOptions
    from lsu.export.to_onnx import export_checkpoint

    right = tmp_path / "right.safetensors"
    write_checkpoint(right)
    bundle = export_checkpoint(right, tmp_path / "b", ExportOptions(size=(64, 96)))
    code, out, _ = call(bundle.path, "--checkpoint", right, "--json")
    assert code == 0
    torch = [entry for entry in json.loads(out)["comparisons"] if entry["backend"] == "torch CPU"]
    assert {entry["mode"]: entry["equal"] for entry in torch} == {"free": 1.0, "drawn": 1.0}
    write_checkpoint(tmp_path / "other.safetensors", decoder_channels=8)
    code, _, err = call(bundle.path, "--checkpoint", tmp_path / "other.safetensors")
    assert code == 2
    assert "give the checkpoint that it was exported from" in err


def test_without_polygraphy_the_rest_is_done_and_that_is_said(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scores_check, "find_spec", lambda _: None)
    code, out, err = call("bundle")
    assert code == 0
    assert "Polygraphy is missing" in err
    code, out, _ = call("bundle", "--json")
    assert json.loads(out)["polygraphy"] is None


def test_the_figures_are_added_to_a_table(place: Path) -> None:
    for _ in range(2):
        assert call("bundle", *DATA, "--csv", "t.csv")[0] == 0
    rows = list(csv.DictReader((place / "t.csv").read_text().splitlines()))
    assert [row["mode"] for row in rows] == 2 * ["free", "drawn", "relation"]
    assert {(row["equal"], row["asked"], row["passed"]) for row in rows} == {("100.0", "99.99", "True")}
    assert rows[0]["mean_iou_difference"] == "0.0"
    assert rows[1]["mean_iou"] == ""
    assert all(row["device"] and row["versions"] and row["command"] and row["mixed_share"] for row in rows)


def test_a_changed_engine_folder_stops_the_verification(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    (bundle.path / "engines/odd").mkdir(parents=True)
    (bundle.path / "engines/odd/engine.json").write_text("{}")
    code, out, err = call(bundle.path)
    assert (code, out) == (2, "")
    assert "engines/odd" in err


@pytest.mark.parametrize("verb", ["verify", "bench"])
def test_an_unsigned_bundle_is_refused_where_a_key_is_given(tmp_path: Path, verb: str) -> None:
    bundle, key = tiny_bundle(tmp_path / "b").path, tmp_path / "key"
    assert CliRunner().invoke(cli.application(), ["keygen", str(key)]).exit_code == 0
    refused = CliRunner().invoke(cli.application(), [verb, str(bundle), "--trust", f"{key}.pub"])
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "sign" in refused.stderr


@pytest.mark.parametrize("verb", ["verify", "bench"])
def test_both_verbs_explain_themselves_with_an_example(verb: str) -> None:
    said = CliRunner().invoke(cli.application(), [verb, "--help"]).stdout
    assert f"Example: lsu export {verb}" in " ".join(said.split())


def test_figures_are_printed_though_the_disk_refuses_the_report(place: Path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise BackendError("report: cannot be written: No space left on device")

    monkeypatch.setattr(report, "write_report", full)
    code, out, err = call("bundle", "-o", "report", "--json")
    assert code == 3
    assert json.loads(out)["passed"] is True
    assert "No space left on device" in err
