"""Bundles: every byte is vouched for, and a bundle is written whole or not at all."""

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from bundles import SPEC, TOWN, golden_frame, noise, rewrite, tiny_bundle, tiny_draft, tiny_scores

from lsu.runtime.bundles.bundle import Bundle, write_bundle
from lsu.runtime.errors import BackendError, InputError
from lsu.runtime.files import digest_of
from lsu.runtime.model import ModelSpec

FILES = (
    "bundle.json",
    "bundle.sha256",
    "model.onnx",
    "golden/0_image.png",
    "golden/0_scores.npy",
    "golden/0_classes.png",
)
SPECS = (
    SPEC,
    ModelSpec(TOWN, fit="exact", size=(24, 32)),
    ModelSpec(TOWN, fit="resize", size=(16, 24), scores="probabilities"),
    ModelSpec(TOWN, fit="pad", size=(32, 40), pad_value=255, void_channel=3),
    ModelSpec(TOWN, fit="exact", multiple=8),
)


class NumpyEngine:
    """Gives what numpy computes, changed on the way if asked to."""

    identity = "numpy"

    def __init__(self, spec: ModelSpec, change: Callable[[Any], Any] = lambda scores: scores) -> None:
        self.spec = spec
        self.change = change

    def infer(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Scores [N,C,h,w]."""
        scores = np.stack([tiny_scores(image, self.spec.channels) for image in images])
        return np.ascontiguousarray(self.change(scores), np.float32)

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tiny_bundle(tmp_path / "b").path


def refusal(path: Path) -> str:
    """The one line with which a bundle is refused."""
    with pytest.raises(InputError) as caught:
        Bundle.open(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("spec", SPECS)
def test_what_was_written_is_read_again(tmp_path: Path, spec: ModelSpec) -> None:
    draft = tiny_draft(spec)
    written = write_bundle(tmp_path / "deep" / "b", draft)
    opened = Bundle.open(tmp_path / "deep" / "b")
    assert opened == written
    assert opened.spec == spec
    assert opened.digest == digest_of((opened.path / "bundle.json").read_bytes())
    assert (opened.name, opened.precision, opened.manifest.head) == ("tiny", "float32", "scores")
    assert opened.provenance == {"lsu": "0", "opset": 18}
    assert opened.read_model() == draft.models["model.onnx"]
    (frame,) = opened.golden_frames()
    for name in ("image", "scores", "classes"):
        assert np.array_equal(getattr(frame, name), getattr(draft.golden[0], name))


def test_the_list_of_files_above_is_complete(path: Path) -> None:
    assert {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()} == set(FILES)


def test_sha256sum_understands_the_digest_file(path: Path) -> None:
    subprocess.run(
        ["sha256sum", "--check", "--strict", "bundle.sha256"], cwd=path, check=True, capture_output=True
    )


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_anywhere_is_refused_by_name(path: Path, name: str) -> None:
    data = (path / name).read_bytes()
    for position in {0, len(data) - 1, *range(0, len(data), max(1, len(data) // 50))}:
        changed = bytearray(data)
        changed[position] ^= 1
        (path / name).write_bytes(changed)
        assert name in refusal(path)
    (path / name).write_bytes(data)
    Bundle.open(path)


@pytest.mark.parametrize("name", FILES)
def test_a_cut_off_or_missing_file_is_refused_by_name(path: Path, name: str) -> None:
    data = (path / name).read_bytes()
    (path / name).write_bytes(data[:-1])
    assert name in refusal(path)
    (path / name).unlink()
    assert name in refusal(path)


def test_a_file_changed_after_opening_is_noticed_when_it_is_read(path: Path) -> None:
    bundle = Bundle.open(path)
    (path / "model.onnx").write_bytes(b"another network")
    with pytest.raises(InputError, match=r"model\.onnx: damaged"):
        bundle.read_model()


def test_a_newer_format_is_refused_before_its_other_novelties(path: Path) -> None:
    rewrite(path, lambda t: t.update(format=2, more=1))
    assert refusal(path).endswith("bundle format 2 is newer than 1: update lsu")
    (path / "bundle.sha256").write_text("another way to vouch")
    assert "update lsu" in refusal(path)


REWRITINGS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "format zero": (lambda t: t.update(format=0), "format 0 does not exist"),
    "format true": (lambda t: t.update(format=True), "format is True"),
    "unknown key": (lambda t: t.update(presicion=1), "did you mean 'precision'"),
    "unknown input key": (lambda t: t["input"].update(sise=1), "did you mean 'size'"),
    "unknown golden key": (lambda t: t["golden"][0].update(mask="x"), "unknown key 'mask'"),
    "unknown label space key": (lambda t: t["label_space"].update(x=1), "unknown key 'x'"),
    "unknown class key": (lambda t: t["label_space"]["classes"][0].update(x=1), "unknown key 'x'"),
    "another colour order": (lambda t: t["input"].update(format="bgr8"), "known: rgb8"),
    "another layout": (lambda t: t["input"].update(layout="NCHW"), "known: NHWC"),
    "unknown fit": (lambda t: t["input"].update(fit="crop"), "known: exact, pad, resize"),
    "unknown scores": (lambda t: t.update(scores="odds"), "known: logits, probabilities"),
    "unknown precision": (lambda t: t.update(precision="fp8"), "known: float32, float16, int8"),
    "size of one side": (lambda t: t["input"].update(size=[32]), "[H, W] or null"),
    "negative size": (lambda t: t["input"].update(size=[32, -32]), "[H, W] or null"),
    "void channel inside": (lambda t: t.update(void_channel=1), "it must be 3"),
    "void channel text": (lambda t: t.update(void_channel="3"), "whole number or null"),
    "classes renamed": (lambda t: t["label_space"]["classes"].reverse(), "the names listed give"),
    "classes gone": (lambda t: t["label_space"].update(classes=7), "classes is 7, not a list"),
    "head without file": (lambda t: t.update(head="function"), "model_with_head.onnx is not listed"),
    "golden file not listed": (lambda t: t["golden"][0].update(image="x.png"), "x.png is not listed"),
    "golden not a table": (lambda t: t.update(golden=[1]), "1 is not a table"),
    "no model": (lambda t: t["files"].pop("model.onnx"), "model.onnx is not listed"),
    "parent folder": (lambda t: t["files"].update({"../x": "0" * 64}), "'../x' does not lie inside"),
    "absolute file": (lambda t: t["files"].update({"/etc/passwd": "0" * 64}), "does not lie inside"),
    "backslashes": (lambda t: t["files"].update({"..\\x": "0" * 64}), "does not lie inside"),
    "short digest": (lambda t: t["files"].update({"model.onnx": "12"}), "64 hexadecimal digits"),
    "two names, one file": (
        lambda t: t["files"].update({"Model.onnx": t["files"]["model.onnx"]}),
        "'model.onnx' and 'Model.onnx' are one file on some machines",
    ),
    "the manifest itself": (lambda t: t["files"].update({"bundle.json": "0" * 64}), "cannot be listed"),
    "an engine": (lambda t: t["files"].update({"Engines/a/plan": "0" * 64}), "cannot be listed"),
    "a signature": (lambda t: t["files"].update({"signatures/a": "0" * 64}), "cannot be listed"),
    "control characters": (lambda t: t["files"].update({"a\x1b[2J": "0" * 64}), "control characters"),
    "a long name": (lambda t: t["files"].update({"a" * 201: "0" * 64}), "too long"),
    "listed, missing": (lambda t: t["files"].update({"more.bin": "0" * 64}), "more.bin: cannot be read"),
}


@pytest.mark.parametrize("case", REWRITINGS)
def test_a_manifest_that_cannot_be_is_refused(path: Path, case: str) -> None:
    change, message = REWRITINGS[case]
    rewrite(path, change)
    said = refusal(path)
    assert message in said
    assert str(path) in said


@pytest.mark.parametrize("place", [(), ("input",), ("label_space",), ("golden", 0)])
def test_each_key_of_the_manifest_is_needed(path: Path, place: tuple[str | int, ...]) -> None:
    original = (path / "bundle.json").read_text()
    optional = {"source", "licence", "void"}  # of a label space

    def table_at(table: Any) -> dict[str, Any]:
        for step in place:
            table = table[step]
        return table  # type: ignore[no-any-return]

    keys: list[str] = []
    rewrite(path, lambda t: keys.extend(table_at(t)))
    for key in keys:
        (path / "bundle.json").write_text(original)
        rewrite(path, lambda t, key=key: table_at(t).pop(key))  # type: ignore[misc]
        if place == ("label_space",) and key in optional:
            continue
        assert repr(key) in refusal(path)


@pytest.mark.parametrize("text", ["", "[]", "{", "7", "[" * 100_000, "\udcff"])
def test_what_is_not_a_table_is_refused(path: Path, text: str) -> None:
    data = text.encode(errors="surrogateescape")
    (path / "bundle.json").write_bytes(data)
    (path / "bundle.sha256").write_text(f"{digest_of(data)}  bundle.json\n")
    assert "bundle.json" in refusal(path)


def test_a_file_that_is_not_listed_is_refused_by_name(path: Path) -> None:
    (path / "model.onnx.data").write_bytes(b"weights that nobody hashed")
    assert "model.onnx.data: not listed" in refusal(path)


def test_engines_and_signatures_may_be_added_later(path: Path) -> None:
    for file in ("engines/tag/file", f"signatures/{'0' * 16}.sig"):
        (path / file).parent.mkdir(parents=True)
        (path / file).write_bytes(b"x" * 64)
    Bundle.open(path)


@pytest.mark.parametrize("folder", ["engines", "signatures"])
def test_a_linked_folder_of_later_additions_is_refused(path: Path, folder: str) -> None:
    (path.parent / "elsewhere").mkdir()
    (path / folder).symlink_to(path.parent / "elsewhere")
    assert str(path / folder) in refusal(path)


def test_a_link_that_leads_outside_is_refused(path: Path) -> None:
    (path / "model.onnx").rename(path.parent / "elsewhere.onnx")
    (path / "model.onnx").symlink_to(path.parent / "elsewhere.onnx")
    assert "leads outside" in refusal(path)


def test_a_linked_folder_is_refused(path: Path) -> None:
    (path / "golden").rename(path.parent / "golden")
    (path / "golden").symlink_to(path.parent / "golden")
    assert str(path / "golden") in refusal(path)


def test_a_linked_folder_that_is_not_listed_is_refused(path: Path) -> None:
    (path / "more").symlink_to(path.parent)
    assert f"{path / 'more'}: not listed" in refusal(path)


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    assert "lsu export onnx" in refusal(tmp_path)
    assert "lsu export onnx" in refusal(tmp_path / "nothing")


@pytest.mark.parametrize("kind", ["bundle", "file", "empty folder", "broken link"])
def test_something_that_exists_is_never_overwritten(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "b"
    if kind == "bundle":
        tiny_bundle(target)
    elif kind == "file":
        target.write_text("mine")
    elif kind == "empty folder":
        target.mkdir()
    else:
        target.symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="choose another name or remove it"):
        write_bundle(target, tiny_draft())
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("failing", range(7))
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()])
def test_a_full_disk_or_an_interrupt_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int, error: BaseException
) -> None:
    draft = tiny_draft()
    flushed = 0

    def fsync(_: int) -> None:
        nonlocal flushed
        if flushed == failing:
            raise error
        flushed += 1

    def rename(self: Path, _: Path) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", fsync)
    if failing == len(FILES):
        monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises((BackendError, KeyboardInterrupt)) as caught:
        write_bundle(tmp_path / "b", draft)
    if isinstance(error, OSError):
        assert str(caught.value) == f"{tmp_path / 'b'}: cannot be written: No space left on device"
    assert list(tmp_path.iterdir()) == []


def test_the_golden_frames_pass_on_a_right_engine(path: Path) -> None:
    bundle = Bundle.open(path)
    result = bundle.self_test(NumpyEngine(bundle.spec))
    assert (result.frames, result.difference, result.share, result.equal) == (1, 0.0, 0.0, 1.0)


def test_the_self_test_measures_the_worst_frame(tmp_path: Path) -> None:
    frames = tuple(golden_frame(noise(16, 16, seed), SPEC) for seed in range(3))
    bundle = tiny_bundle(tmp_path / "b", golden=frames)
    extents = [float(np.ptp(frame.scores)) for frame in frames]
    result = bundle.self_test(NumpyEngine(SPEC, lambda scores: scores + 0.5))
    assert result.frames == 3
    assert result.difference == pytest.approx(0.5, abs=1e-4)
    assert result.share == pytest.approx(0.5 / min(extents), rel=1e-3)
    assert result.equal == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda scores: scores[:, ::-1], "does not reproduce"),
        (lambda scores: scores + 0.02 * np.ptp(scores), "does not reproduce"),
        (lambda scores: np.where(np.arange(scores.shape[3]) == 0, np.nan, scores), "not finite"),
        (lambda scores: scores[:, :, ::2], "the golden ones"),
    ],
)
def test_wrong_numbers_fail_the_self_test(path: Path, change: Callable[[Any], Any], message: str) -> None:
    bundle = Bundle.open(path)
    with pytest.raises(BackendError, match=message):
        bundle.self_test(NumpyEngine(bundle.spec, change))


def test_a_few_wrong_pixels_fail_the_self_test_though_the_scores_are_near(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    frame = next(iter(bundle.golden_frames()))
    classes = frame.classes.copy()
    classes.flat[:: classes.size // 3] = 255  # 3 of 567
    other = tiny_bundle(tmp_path / "c", golden=(type(frame)(frame.image, frame.scores, classes),))
    with pytest.raises(BackendError, match=r"99\.47 % of pixels agree \(99\.9 % are needed\)"):
        other.self_test(NumpyEngine(SPEC))


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("scores", np.zeros((3, 6, 7), np.float64), "float64 [3, 6, 7]; float32 in C order is needed"),
        ("scores", np.zeros((2, 6, 7), np.float32), "float32 [2, 6, 7]"),
        ("scores", np.full((3, 6, 7), np.nan, np.float32), "are not all finite, so they prove nothing"),
        ("classes", np.zeros((20, 27), np.uint8), "not of its image's size"),
    ],
)
def test_golden_arrays_that_do_not_belong_together_are_refused(
    tmp_path: Path, name: str, array: Any, message: str
) -> None:
    frame = golden_frame(noise(21, 27), SPEC)
    fields = {"image": frame.image, "scores": frame.scores, "classes": frame.classes, name: array}
    # The writer stores float32 only: give it a frame whose file is then replaced.
    bundle = tiny_bundle(tmp_path / "b", golden=(type(frame)(**fields),))
    if array.dtype == np.float64:
        np.save(bundle.path / "golden/0_scores.npy", array)
        data = (bundle.path / "golden/0_scores.npy").read_bytes()
        rewrite(bundle.path, lambda t: t["files"].update({"golden/0_scores.npy": digest_of(data)}))
        bundle = Bundle.open(bundle.path)
    with pytest.raises(InputError) as caught:
        list(bundle.golden_frames())
    assert message in str(caught.value)


def test_pickled_golden_scores_are_never_loaded(path: Path) -> None:
    np.save(path / "golden/0_scores.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    data = (path / "golden/0_scores.npy").read_bytes()
    rewrite(path, lambda t: t["files"].update({"golden/0_scores.npy": digest_of(data)}))
    with pytest.raises(InputError, match=r"not a \.npy file"):
        list(Bundle.open(path).golden_frames())
