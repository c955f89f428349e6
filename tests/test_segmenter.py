"""From images to classes: engines over onnxruntime, the three fits, and the head on top."""

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from bundles import SPEC, TOWN, noise, tiny_bundle, tiny_model, tiny_scores
from onnx import TensorProto

from lsu.runtime.engines import engine_for
from lsu.runtime.engines.ort import _providers
from lsu.runtime.errors import BackendError, InputError
from lsu.runtime.head import constrained_argmax
from lsu.runtime.model import ModelSpec
from lsu.runtime.segmenter import Segmenter


def segmenter(path: Path, spec: ModelSpec = SPEC, **changes: object) -> Segmenter:
    return Segmenter(engine_for(tiny_bundle(path / "b", spec, **changes)), threads=1)


def test_scores_are_those_of_the_network_at_its_own_resolution(tmp_path: Path) -> None:
    image = noise(24, 32)
    scores = segmenter(tmp_path).scores(image)
    assert scores.values.shape == (3, 6, 8)
    assert scores.values.dtype == np.float32
    assert scores.canvas == (24, 32)
    np.testing.assert_allclose(scores.values, tiny_scores(image), rtol=1e-5, atol=1e-3)


def test_pad_fills_right_and_bottom_and_answers_the_image_only(tmp_path: Path) -> None:
    image = noise(21, 27)
    padded = np.full((24, 32, 3), SPEC.pad_value, np.uint8)
    padded[:21, :27] = image
    with_pad = segmenter(tmp_path)
    scores = with_pad.scores(image)
    assert scores.canvas == (24, 32)
    np.testing.assert_allclose(scores.values, tiny_scores(padded), rtol=1e-5, atol=1e-3)
    whole = constrained_argmax(scores.values, (24, 32)).classes
    assert np.array_equal(with_pad.segment(image).classes, whole[:21, :27])


def test_pad_to_a_fixed_size_refuses_a_larger_image(tmp_path: Path) -> None:
    fixed = segmenter(tmp_path, ModelSpec(TOWN, fit="pad", size=(32, 40)))
    assert fixed.scores(noise(9, 40)).values.shape == (3, 8, 10)
    with pytest.raises(InputError, match="image is 40x33; the network needs 40x32: "):
        fixed.scores(noise(33, 40))


def test_resize_answers_at_the_size_of_the_image(tmp_path: Path) -> None:
    resizing = segmenter(tmp_path, ModelSpec(TOWN, fit="resize", size=(16, 24)))
    image = noise(50, 70)
    scores = resizing.scores(image)
    assert (scores.values.shape, scores.canvas) == ((3, 4, 6), (50, 70))
    answer = resizing.segment(image).classes
    assert np.array_equal(answer, constrained_argmax(scores.values, (50, 70)).classes)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (ModelSpec(TOWN, fit="exact", size=(24, 32)), "image is 32x25; the network needs 32x24: "),
        (ModelSpec(TOWN, fit="exact", multiple=8), "image is 32x25; the network needs multiples of 8: "),
    ],
)
def test_exact_takes_its_size_and_refuses_others(tmp_path: Path, spec: ModelSpec, message: str) -> None:
    exact = segmenter(tmp_path, spec)
    assert exact.segment(noise(24, 32)).classes.shape == (24, 32)
    with pytest.raises(InputError) as caught:
        exact.segment(noise(25, 32))
    assert str(caught.value).startswith(message)


def test_labels_restrict_the_classes(tmp_path: Path) -> None:
    image = noise(21, 27)
    labels = np.zeros((21, 27), np.uint8)
    labels[:, 13:] = 1
    labels[20] = 255
    table = np.zeros((256, 1), np.uint64)
    table[0], table[1] = 0b101, 0b010
    restricted = segmenter(tmp_path)
    answer = restricted.segment(image, labels, table, margin=True, agreement=True)
    scores = restricted.scores(image)
    head = constrained_argmax(
        scores.values, (21, 27), labels=labels, table=table, canvas=scores.canvas, margin=True, agreement=True
    )
    assert np.array_equal(answer.classes, head.classes)
    assert np.array_equal(answer.counts, head.counts)
    assert answer.margin is not None
    assert set(np.unique(answer.classes[:20, :13])) <= {0, 2}
    assert (answer.classes[:20, 13:] == 1).all()
    assert (answer.classes[20] == 255).all()


def test_a_win_of_the_void_channel_is_void(tmp_path: Path) -> None:
    spec = ModelSpec(TOWN, fit="pad", multiple=8, void_channel=3)
    voiding = segmenter(tmp_path, spec)
    image = noise(64, 64)
    best = voiding.scores(image).values.argmax(axis=0)
    centres = voiding.segment(image).classes[2::4, 2::4]
    assert (best == 3).any()
    assert 3 not in centres
    assert 255 in centres


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_what_is_not_an_rgb_image_is_refused(tmp_path: Path, image: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"uint8 \[H, W, 3\] RGB is needed"):
        segmenter(tmp_path).segment(image)


def test_a_view_that_is_not_contiguous_gives_the_same(tmp_path: Path) -> None:
    image = noise(24, 32)
    flipped = image[:, ::-1]
    one = segmenter(tmp_path)
    assert np.array_equal(one.segment(flipped).classes, one.segment(flipped.copy()).classes)


def test_the_golden_frames_pass_and_the_identity_is_the_bundles(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    engine = engine_for(bundle, "onnxruntime", threads=1)
    assert engine.identity == bundle.digest
    assert engine.spec == bundle.spec
    assert bundle.self_test(engine).equal == 1.0


@pytest.mark.parametrize("batch", [1, "n"])
def test_a_batch_gives_what_its_images_give(tmp_path: Path, batch: int | str) -> None:
    model = tiny_model(batch=batch).SerializeToString()
    engine = engine_for(tiny_bundle(tmp_path / "b", models={"model.onnx": model}))
    images = np.stack([noise(16, 24, seed) for seed in range(3)])
    together = engine.infer(images)
    assert together.shape == (3, 3, 4, 6)
    assert together.flags.c_contiguous
    for image, scores in zip(images, together, strict=True):
        np.testing.assert_allclose(scores, tiny_scores(image), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 8, 8, 3), np.int8), "images are int8"),
        (np.zeros((8, 8, 3), np.uint8), r"images are uint8 \[8, 8, 3\]"),
        (np.zeros((0, 8, 8, 3), np.uint8), r"images are uint8 \[0, 8, 8, 3\]"),
        (np.zeros((1, 8, 12, 3), np.uint8), "input is 12x8; the network needs multiples of 8"),
        (np.zeros((1, 12, 8, 3), np.uint8), "input is 8x12; the network needs multiples of 8"),
    ],
)
def test_inputs_that_the_network_does_not_take_are_refused(
    tmp_path: Path, images: np.ndarray, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        engine_for(tiny_bundle(tmp_path / "b")).infer(images)


def test_another_size_than_the_fixed_one_is_refused(tmp_path: Path) -> None:
    engine = engine_for(tiny_bundle(tmp_path / "b", ModelSpec(TOWN, fit="exact", size=(24, 32))))
    with pytest.raises(InputError, match="input is 24x24; the network needs 32x24"):
        engine.infer(np.zeros((1, 24, 24, 3), np.uint8))


def test_a_closed_engine_says_so(tmp_path: Path) -> None:
    engine = engine_for(tiny_bundle(tmp_path / "b"))
    engine.close()
    engine.close()
    with pytest.raises(BackendError, match="closed"):
        engine.infer(np.zeros((1, 8, 8, 3), np.uint8))


def test_missing_onnxruntime_names_the_command_that_repairs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendError, match=r"onnxruntime is missing: pip install 'lsu\[cpu\]'"):
        engine_for(bundle)


@pytest.mark.parametrize("backend", ["tensorrt", "tensorrt-rtx"])
def test_a_backend_without_an_engine_says_how_to_build_one(tmp_path: Path, backend: str) -> None:
    with pytest.raises(InputError, match=f"build one with `lsu export build .* --target {backend}`"):
        engine_for(tiny_bundle(tmp_path / "b"), backend)


def test_an_unknown_backend_lists_the_near_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'onnxruntime'"):
        engine_for(tiny_bundle(tmp_path / "b"), "onnxrutnime")


def test_no_threads_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="threads is 0"):
        engine_for(tiny_bundle(tmp_path / "b"), threads=0)


@pytest.mark.parametrize("model", [b"not a model", tiny_model(kind=TensorProto.FLOAT16).SerializeToString()])
def test_a_model_that_cannot_be_loaded_is_refused_in_one_line(tmp_path: Path, model: bytes) -> None:
    with pytest.raises((BackendError, InputError), match=r"model\.onnx") as caught:
        engine_for(tiny_bundle(tmp_path / "b", models={"model.onnx": model}))
    assert "\n" not in str(caught.value)


def test_a_model_of_other_channels_than_the_manifest_is_refused(tmp_path: Path) -> None:
    model = tiny_model(5).SerializeToString()
    with pytest.raises(InputError, match=r"gives 5 channels, bundle\.json says 3"):
        engine_for(tiny_bundle(tmp_path / "b", models={"model.onnx": model}))


@pytest.mark.parametrize("place", ["here", "in the bundle", "above", "absolute"])
def test_weights_outside_of_the_model_are_never_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    model = tiny_model()
    weights = model.graph.initializer[0]
    raw = weights.raw_data
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    location = {"above": "../weights.bin", "absolute": str(tmp_path / "weights.bin")}.get(
        place, "weights.bin"
    )
    for key, value in (("location", location), ("offset", "0"), ("length", str(len(raw)))):
        entry = weights.external_data.add()
        entry.key, entry.value = key, value
    files = {"model.onnx": model.SerializeToString()}
    (tmp_path / "weights.bin").write_bytes(raw)
    if place == "in the bundle":
        files["weights.bin"] = raw
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="the data of tensor 'weights' lie in another file"):
        engine_for(tiny_bundle(tmp_path / "b", models=files))


def test_cuda_comes_first_where_it_is_there_and_without_tf32() -> None:
    assert _providers(["CPUExecutionProvider"]) == ["CPUExecutionProvider"]
    (cuda, options), cpu = _providers(
        ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    assert (cuda, options["use_tf32"], cpu) == ("CUDAExecutionProvider", "0", "CPUExecutionProvider")


def test_the_tiny_model_is_valid() -> None:
    onnx.checker.check_model(tiny_model(), full_check=True)
