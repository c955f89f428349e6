"""What `lsu rounds` says of a wrong configuration, before the first step, and how the verb ends."""

import json
import re
import shlex
from pathlib import Path

import pytest
from rounds_place import write_place
from signed import key_pair
from test_cli import Bench
from test_cli import lsu as lsu  # noqa: PLC0414 - a plain import would be redefined by arguments

from lsu.runtime import InputError
from lsu.training import learner as learner_module
from lsu.training.rounds import RESULT
from lsu.training.rounds_config import RoundsConfig
from lsu.training.rounds_plan import Plan
from lsu.training.rounds_record import Record

DOCUMENT = (Path(__file__).parent.parent / "docs/methods.md").read_text()
FASTEST = ("rounds=1", "fit.steps=1", "teacher_fit.steps=1")


@pytest.fixture(scope="module", autouse=True)
def without_pictures():
    """Fits draw their curves at each call, which takes longer than these fits do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lsu.training.fit.draw_run", lambda _: {})
        yield


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    write_place(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def replaced(place: Path, file: str, old: str, new: str) -> None:
    text = (place / file).read_text()
    assert old in text
    (place / file).write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["rounds=0"], r"rounds: .*greater than or equal to 1 \(got 0\)"),
        (["runds=2"], "unknown key 'runds'; did you mean 'rounds'"),
        (["teacher_fit.stepz=2"], "unknown key 'teacher_fit.stepz'; did you mean 'steps'"),
        (["foreign.0.mix_relaton=true"], "unknown key 'foreign.0.mix_relaton'; did you mean 'mix_relation'"),
        (["source.0.constrained=true"], "unknown key 'source.0.constrained'"),
        (["views=flop"], "view 'flop' is neither 'flip' nor a scale"),
        (["teacher=x"], "teacher_fit has no effect where `teacher` is given: delete one of them"),
        (["source.0.relation=r.toml"], r"source.0.relation: .*put this one under \[\[foreign\]\]"),
        (["fit.devices=2"], "fit.devices must be 1, since all rounds run in one process"),
        (["fit.crop=[100, 96]"], r"crop \[100, 96\] must be multiples of 32"),
        (["foreign.2.dataset=x"], "there is no '2'"),
        (["preset=smal"], "rounds.toml: unknown preset 'smal'; did you mean 'small'"),
        (["source.0.until=0.5"], "data: each entry ends before the fit"),
    ],
)
def test_a_wrong_value_is_named_in_one_line(place, overrides, message) -> None:
    with pytest.raises(InputError, match=message) as caught:
        RoundsConfig.load(place / "rounds.toml", overrides)
    assert "\n" not in str(caught.value)


def test_entries_may_end_early_where_another_one_goes_on(place) -> None:
    replaced(place, "rounds.toml", "[teacher_fit]\nsteps = 5\n", "")
    ended = RoundsConfig.load(place / "rounds.toml", ["source.0.until=0.5", "teacher=t.safetensors"])
    assert ended.teacher == str(place / "t.safetensors")


def test_a_foreign_entry_needs_its_relation(place) -> None:
    replaced(place, "rounds.toml", 'dataset = "east"\nrelation = "r.toml"', 'dataset = "east"')
    with pytest.raises(InputError, match=r"rounds.toml: the key 'foreign.0.relation' is missing"):
        RoundsConfig.load(place / "rounds.toml")


def test_what_a_fit_asks_of_its_tables_together_is_asked_at_once(place) -> None:
    replaced(place, "rounds.toml", '[validation]\ndataset = "town"\n', "")
    replaced(place, "rounds.toml", "[teacher_fit]\nsteps = 5\n", "")
    asked = ["fit.patience=2", "fit.score_every=1"]
    for given in ([], ["teacher=t.safetensors"]):
        with pytest.raises(InputError, match="fit.patience needs scores") as caught:
            RoundsConfig.load(place / "rounds.toml", [*asked, *given])
        assert "\n" not in str(caught.value)


def test_paths_start_at_the_file_and_tables_of_the_teacher_complete_the_students(place) -> None:
    overrides = ["teacher_network.decoder_channels=48"]
    config = RoundsConfig.load(place / "rounds.toml", overrides)
    assert config.output == str(place / "run")
    assert config.foreign[0].relation == str(place / "r.toml")
    assert config.foreign[1].mix_relation
    assert not config.foreign[1].constrained
    assert config.teacher_network.encoder == config.network.encoder
    assert config.teacher_network.decoder_channels == 48
    assert (config.teacher_fit.steps, config.teacher_fit.crop) == (5, (32, 32))
    lower = RoundsConfig.load(place / "rounds.toml", ["preset=small"])
    assert (lower.fit.class_balance, lower.teacher_fit.class_balance, lower.fit.steps) == (0.5, 0.5, 4)
    assert RoundsConfig.from_dict(config.model_dump(mode="json"), "again") == config


def test_every_field_of_a_data_entry_reaches_the_student(place) -> None:
    config = RoundsConfig.load(
        place / "rounds.toml", ["foreign.0.split=val", "foreign.0.root=east", "foreign.0.until=0.5"]
    )
    entry = config.foreign[0].relabelled(Path("labels"))
    changed = {"dataset", "root", "relation"}
    for name in type(entry).model_fields:
        assert name in changed or getattr(entry, name) == getattr(config.foreign[0], name), name
    assert (entry.dataset, entry.root, entry.relation) == ("labels", None, None)
    assert (entry.split, entry.weight, entry.until) == ("val", 0.5, 0.5)


def other_relation(place: Path) -> None:
    replaced(place, "r.toml", '"car"', '"caar"')


def other_classes(place: Path) -> None:
    replaced(place, "east/foreign.toml", '"above"', '"beyond"')
    (place / "r.toml").write_text((place / "r.toml").read_text().replace("east/", "west/"))


def no_labels(place: Path) -> None:
    for label in (place / "west/labels/train").iterdir():
        label.unlink()


def bad_labels(place: Path) -> None:
    for label in (place / "east/labels/train").iterdir():
        label.write_bytes(label.read_bytes()[:-20])


def cut_source(place: Path) -> None:
    image = place / "town/images/train/f2.png"
    image.write_bytes(image.read_bytes()[:-20])


def cut_source_alone(place: Path) -> None:
    cut_source(place)
    replaced(place, "rounds.toml", '[validation]\ndataset = "town"\n', "")


def cut_mixed(place: Path) -> None:
    label = place / "west/labels/train/f1_ids.png"
    label.write_bytes(label.read_bytes()[:-20])


def full_output(place: Path) -> None:
    (place / "run").mkdir()
    (place / "run/thesis.txt").write_text("mine")


@pytest.mark.parametrize(
    ("spoil", "overrides", "message"),
    [
        (other_relation, (), "'source' has no class 'caar'"),
        (other_classes, (), "label spaces differ: the foreign side of relation 'r'"),
        (no_labels, (), "no label matches"),
        (bad_labels, (), "no frame can be relabelled, the first because: "),
        (cut_source, (), "f2.png: the PNG file is cut off"),
        (cut_source_alone, (), "f2.png: the PNG file is cut off"),
        (cut_mixed, (), "f1_ids.png: the PNG file is cut off"),
        (full_output, (), "run is not empty and holds no rounds: choose another output"),
        (None, ("foreign.0.split=tran",), "has no split 'tran'"),
        (None, ("network.encoder=resnet8",), "resnet8"),
        (
            None,
            ("network.input_size=[64, 96]", "views=flip,0.5"),
            "view 0.5 needs a bundle that takes any size",
        ),
        (None, ("validation.relation=r.toml",), "validation.relation: a score needs labels of the classes"),
        (None, ("foreign.0.weight=0.01",), "student's fit: data.1.weight 0.01 is so small"),
        (None, ("fit.centroids=0.5", "fit.centroid_boost.caar=2"), "fit.centroid_boost: no class 'caar'"),
        (None, ("teacher_network.encoder=resnet8",), "resnet8"),
        (None, ("output=rounds.toml/run",), "is not a folder: choose another place"),
    ],
)
def test_nothing_is_found_out_after_hours(place, lsu: Bench, spoil, overrides, message) -> None:
    """The same line with and without --dry-run, and nothing is written."""
    if spoil is not None:
        spoil(place)
    before = sorted(place.rglob("*"))
    for flags in ((), ("--dry-run",)):
        outcome = lsu("rounds", "rounds.toml", *overrides, *flags)
        assert outcome.code == 2
        assert message in outcome.line
        assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (
            "nowhere.safetensors",
            "nowhere.safetensors is not there: name a checkpoint or the folder of a bundle",
        ),
        ("town", "town: not a bundle"),
        ("r.toml", "r.toml: not a checkpoint of lsu"),
    ],
)
def test_a_teacher_that_is_none_is_refused(place, lsu: Bench, teacher, message) -> None:
    replaced(place, "rounds.toml", "[teacher_fit]\nsteps = 5\n", "")
    outcome = lsu("rounds", "rounds.toml", f"teacher={teacher}")
    assert outcome.code == 2
    assert message in outcome.line
    assert not (place / "run").exists()


def test_a_teacher_of_other_classes_is_refused(place, lsu: Bench) -> None:
    assert lsu("rounds", "rounds.toml", *FASTEST).code == 0
    replaced(place, "rounds.toml", "[teacher_fit]\nsteps = 5\n", "")
    for file in ("town/source.toml", "r.toml"):
        replaced(place, file, '"sky"', '"heaven"')
    teacher = "teacher=run/teacher/checkpoint.safetensors"
    outcome = lsu("rounds", "rounds.toml", "output=other", teacher)
    assert outcome.code == 2
    assert "label spaces differ: the teacher speaks 'source'" in outcome.line
    assert not (place / "other").exists()


def test_the_dry_run_prints_the_plan_and_writes_nothing(place, lsu: Bench) -> None:
    before = sorted(place.rglob("*"))
    outcome = lsu("rounds", "rounds.toml", "--dry-run")
    assert outcome.code == 0
    assert re.search(r"round-2/labels/west +│ +2 +│ +3 frames", outcome.out)
    assert "lsu fit teacher/config.toml" in outcome.out
    document = json.loads(lsu("rounds", "rounds.toml", "--dry-run", "--json").out)
    assert document["steps"][0] == {"step": "teacher", "round": 0, "steps": 5}
    assert len(document["steps"]) == 7
    assert document["commands"][-1].startswith("lsu fit round-2/student/config.toml")
    assert sorted(place.rglob("*")) == before


def test_finished_rounds_are_not_overwritten_and_other_settings_are_refused_by_name(
    place,
    lsu: Bench,
) -> None:
    first = lsu("rounds", "rounds.toml", *FASTEST, "--json")
    assert first.code == 0
    assert json.loads(first.out) == json.loads((place / "run" / RESULT).read_text())
    outcome = lsu("rounds", "rounds.toml", *FASTEST)
    assert "progress.json is there already: add --resume, or choose another output" in outcome.line
    for change, message in (
        (
            "fit.learning_rate=0.5",
            "is of rounds with fit.learning_rate = 0.001, now it is 0.5: choose another",
        ),
        ("foreign.0.weight=2", "with foreign.0.weight = 0.5, now it is 2.0"),
        ("views=", 'with views = "flip", now it is ""'),
    ):
        outcome = lsu("rounds", "rounds.toml", *FASTEST, change, "--resume")
        assert outcome.code == 2
        assert message in outcome.line
    shown = lsu("rounds", "rounds.toml", *FASTEST, "fit.workers=1", "fit.save_every=7", "--resume")
    assert shown.code == 0
    assert re.search(r"\n│ 1 +│ +\d+\.\d │ +- │ +0 │", shown.out)


def test_a_folder_that_was_moved_is_refused_before_a_student_misses_its_labels(place, lsu: Bench) -> None:
    assert lsu("rounds", "rounds.toml", *FASTEST).code == 0
    record = (place / "run/progress.json").read_bytes()
    (place / "run").rename(place / "moved")
    outcome = lsu("rounds", "rounds.toml", *FASTEST, "output=moved", "--resume")
    assert outcome.code == 2
    assert f'with output = "{place}/run", now it is "{place}/moved": move it back' in outcome.line
    assert (place / "moved/progress.json").read_bytes() == record


def test_a_configuration_means_the_same_from_any_folder(place, monkeypatch) -> None:
    here = RoundsConfig.load(Path("rounds.toml"))
    monkeypatch.chdir(place / "town")
    assert RoundsConfig.load(Path("../rounds.toml")) == here


def test_ctrl_c_ends_with_130_and_says_how_to_continue(place, lsu: Bench, monkeypatch) -> None:
    def interrupted(*_) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(learner_module.Learner, "learn", interrupted)
    key_pair(place)
    outcome = lsu("rounds", "rounds.toml", *FASTEST, "--trust", "factory.pub")
    assert outcome.code == 130
    words = "rounds=1 fit.steps=1 teacher_fit.steps=1 --trust factory.pub"
    assert f"lsu: continue with: lsu rounds rounds.toml {words} --resume" in outcome.err
    monkeypatch.undo()
    monkeypatch.chdir(place)
    assert lsu("rounds", "rounds.toml", *FASTEST, "--resume").code == 0


def test_skipped_frames_are_told_and_the_code_is_1(place, lsu: Bench) -> None:
    image = place / "east/images/train/f1.png"
    image.write_bytes(image.read_bytes()[:-20])
    outcome = lsu("rounds", "rounds.toml", *FASTEST, "--json")
    assert outcome.code == 1
    assert [r["skipped"] for r in json.loads(outcome.out)["rounds"]] == [0, 1]


def test_a_damaged_record_is_refused(place, lsu: Bench) -> None:
    (place / "run").mkdir()
    (place / "run/progress.json").write_text('{"config": {}')
    assert "progress.json: damaged" in lsu("rounds", "rounds.toml", "--resume").line


def test_a_kill_before_the_record_was_written_leaves_nothing_in_the_way(place) -> None:
    (place / "run").mkdir()
    (place / "run/.progress.json.1-2.part").write_text("{")
    Record.opened(Plan.of(RoundsConfig.load(place / "rounds.toml")), resume=False)


def test_processes_of_torchrun_are_refused(place, monkeypatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    with pytest.raises(InputError, match="start them without torchrun"):
        Plan.of(RoundsConfig.load(place / "rounds.toml"))


def test_the_verb_explains_itself_with_an_example(lsu: Bench) -> None:
    outcome = lsu("rounds", "--help")
    assert outcome.code == 0
    assert "Example: lsu rounds unify.toml" in " ".join(outcome.out.split())


def test_the_documents_example_is_a_configuration_and_its_commands_exist(tmp_path, lsu: Bench) -> None:
    section = DOCUMENT.split("\n## Rounds\n")[1].split("\n## ")[0]
    (text,) = re.findall(r"```toml\n(.*?)```", section, flags=re.DOTALL)
    file = tmp_path / "unify.toml"
    file.write_text(re.sub(r"^# (?!teacher)", "", text, flags=re.MULTILINE))
    assert RoundsConfig.load(file).foreign[0].mix_relation
    file.write_text(text)
    config = RoundsConfig.load(file)
    assert not config.foreign[0].mix_relation
    assert config.teacher_network.encoder == "resnet50"
    file.write_text(text.replace("# teacher", "teacher"))
    with pytest.raises(InputError, match="teacher_network has no effect where `teacher` is given"):
        RoundsConfig.load(file)
    (block,) = re.findall(r"```sh\n(.*?)```", section, flags=re.DOTALL)
    shown = lsu("rounds", "--help").out
    for line in block.splitlines():
        words = shlex.split(line)
        assert words[:3] == ["lsu", "rounds", "unify.toml"]
        assert all(word in shown for word in words if word.startswith("-"))
