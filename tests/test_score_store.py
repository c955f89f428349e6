"""Stored scores: what is written is read, and nothing else is taken for it."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pictures import FOREIGN, SOURCE

from lsu.runtime import InputError
from lsu.runtime.relabel import score_file
from lsu.runtime.relabel.score_store import ScoreStore
from lsu.runtime.relabel.score_writer import ScoreWriter

SIZE = (24, 40)


def values(seed: int = 0, channels: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(channels, 6, 10)).astype(np.float32)


@pytest.fixture
def store(tmp_path) -> ScoreStore:
    """Logits of one frame, `train/f0`."""
    ScoreWriter(tmp_path / "s", SOURCE, kind="logits").write("train", "f0", values(), SIZE)
    return ScoreStore.open(tmp_path / "s")


def test_scores_are_read_as_they_were_written_but_for_float16(store) -> None:
    scores = store.read("train", "f0", SIZE)
    assert np.array_equal(scores.values, values().astype(np.float16).astype(np.float32))
    assert scores.values.dtype == np.float32
    assert scores.canvas == SIZE
    assert (store.kind, store.void_channel, store.label_space.identity) == ("logits", None, SOURCE.identity)


def test_a_canvas_a_void_channel_and_a_key_with_slashes_are_kept(tmp_path) -> None:
    writer = ScoreWriter(tmp_path / "s", SOURCE, kind="logits", void_channel=True)
    writer.write("val", "town/f0", values(channels=5), SIZE, canvas=(32, 48))
    store = ScoreStore.open(tmp_path / "s")
    assert (tmp_path / "s/val/town/f0.npz").is_file()
    assert store.read("val", "town/f0", SIZE).canvas == (32, 48)
    assert store.void_channel == 4


def test_logits_beyond_float16_become_its_largest_number(tmp_path) -> None:
    large = np.array([1e9, -1e9, 65519.0, 3.0], np.float32).reshape(4, 1, 1)
    writer = ScoreWriter(tmp_path / "s", SOURCE, kind="logits")
    writer.write("train", "f0", large, SIZE)
    assert writer.store.read("train", "f0", SIZE).values.ravel().tolist() == [65504, -65504, 65504, 3]


def test_the_format_in_the_docs_is_what_is_read(tmp_path, monkeypatch) -> None:
    text = (Path(__file__).parent.parent / "docs/scores.md").read_text()
    (code,) = [part.split("```")[0] for part in text.split("```python\n")[1:] if "np.savez" in part]
    names = {"classes": list(SOURCE.names), "frames": [("train", "a/b", values(), SIZE)]}
    monkeypatch.chdir(tmp_path)
    exec(code, names)
    store = ScoreStore.open(tmp_path / "scores")
    assert store.label_space.identity == SOURCE.identity
    assert np.allclose(store.read("train", "a/b", SIZE).values, values(), atol=1e-2)


def test_the_same_scores_are_the_same_bytes(tmp_path) -> None:
    for name in ("a", "b"):
        ScoreWriter(tmp_path / name, SOURCE, kind="logits").write("train", "f0", values(), SIZE)
    assert (tmp_path / "a/train/f0.npz").read_bytes() == (tmp_path / "b/train/f0.npz").read_bytes()


def test_a_checksum_tells_scores_apart_and_needs_no_whole_file(store, tmp_path) -> None:
    writer = ScoreWriter(tmp_path / "s", SOURCE, kind="logits")
    one = writer.write("train", "f1", values(), SIZE)
    assert one == score_file.checksum_of(store.path("train", "f0"))
    assert one != writer.write("train", "f2", values(1), SIZE)
    before = store.digest("train", ["f1"])
    writer.write("train", "f1", values(2), SIZE)
    assert store.digest("train", ["f1"]) != before


def rewritten(**arrays) -> Callable[[Path], None]:
    """Replaces arrays of the file; None takes one out."""

    def change(path: Path) -> None:
        with np.load(path) as held:
            members = {**held, **arrays}
        np.savez(path, **{name: array for name, array in members.items() if array is not None})

    return change


def compressed(path: Path) -> None:
    with np.load(path) as held:
        np.savez_compressed(path, **held)


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[300] ^= 255
    path.write_bytes(bytes(data))


def plain(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, values())


def pickled(path: Path) -> None:
    with np.load(path) as held:
        np.savez(path, **{**held, "scores": np.array([{}], object)})


def claiming(shape: tuple[int, ...], data: bytes | None = None) -> Callable[[Path], None]:
    """A small array whose header claims another shape."""

    def change(path: Path) -> None:
        with np.load(path) as held:
            arrays = dict(held)
        with zipfile.ZipFile(path, "w") as archive:
            for name, array in arrays.items():
                buffer = io.BytesIO()
                if name == "scores":
                    header = {"descr": "<f2", "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(buffer, header)
                    buffer.write(array.tobytes() if data is None else data)
                else:
                    np.save(buffer, array)
                archive.writestr(f"{name}.npy", buffer.getvalue())

    return change


NAN = np.full((4, 6, 10), np.nan, np.float16)
DAMAGE = [
    (Path.unlink, "cannot be read"),
    (lambda p: p.write_bytes(b""), "not a .npz file, or damaged"),
    (lambda p: p.write_bytes(p.read_bytes()[:-30]), "not a .npz file, or damaged"),
    (lambda p: p.write_bytes(p.read_bytes()[30:]), "not a .npz file, or damaged"),
    (flipped, "damaged: Bad CRC-32"),
    (plain, "not a .npz file, or damaged: File is not a zip file"),
    (rewritten(scores=None), "holds canvas, label_space, size; scores, canvas, size, label_space are needed"),
    (rewritten(more=np.zeros(3)), "holds canvas, label_space, more, scores, size"),
    (compressed, "the arrays are compressed: write them with numpy.savez"),
    (pickled, r"scores is \|O \[1\]; float16 in C order"),
    (rewritten(scores=values()), r"scores is float32 \[4, 6, 10\]; float16 in C order is needed"),
    (rewritten(scores=np.asfortranarray(NAN)), "in Fortran order; float16 in C order is needed"),
    (rewritten(scores=NAN), "240 scores are not finite"),
    (rewritten(scores=NAN[:3]), r"scores have shape \[3, 6, 10\]; \[4, h, w\] is needed"),
    (rewritten(scores=NAN[0, :4]), r"scores have shape \[4, 10\]; \[4, h, w\] is needed"),
    (rewritten(scores=NAN[:, :0]), r"scores have shape \[4, 0, 10\]; \[4, h, w\] is needed"),
    (claiming((4, 1 << 40, 1 << 20)), "scores .* needs 9,223,372,036,854,775,808 bytes, it has 480"),
    (claiming((0, 1 << 40, 1 << 40), data=b""), "scores has shape .*1099511627776.* beyond its bytes"),
    (claiming((4, 6, 9)), r"scores \[4, 6, 9\] needs 432 bytes, it has 480"),
    (rewritten(canvas=np.array(SIZE)), r"canvas is int64 \[2\]; int32 in C order is needed"),
    (rewritten(canvas=np.zeros(3, np.int32)), r"canvas has shape \[3\]; \(H, W\) is needed"),
    (rewritten(canvas=np.array([24, 39], np.int32)), "the canvas is 39x24 for an image of 40x24"),
    (rewritten(canvas=np.array([1 << 24, 1 << 24], np.int32)), "and be at most 4136x4120"),
    (rewritten(size=np.array([40, 24], np.int32)), "the scores are of an image of 24x40; it is 40x24"),
    (rewritten(label_space=np.array(FOREIGN.identity)), "the scores speak label space"),
    (rewritten(label_space=np.array("road")), "label_space is <U4 .*; a text of 16 characters"),
    (
        rewritten(label_space=np.frombuffer(b"\xff" * 64, "<U16").reshape(())),
        "the scores speak label space",
    ),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGE, ids=[message for _, message in DAMAGE])
def test_each_damage_is_one_line_that_names_the_file(store, damage, message) -> None:
    path = store.path("train", "f0")
    damage(path)
    with pytest.raises(InputError, match=message) as caught:
        store.read("train", "f0", SIZE)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_cut_and_changed_byte_is_refused_or_changes_nothing(store) -> None:
    path = store.path("train", "f0")
    whole, scores = path.read_bytes(), store.read("train", "f0", SIZE)
    generator = np.random.default_rng(0)
    for place in generator.integers(0, len(whole), 400).tolist():
        changed = whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :]
        for data in (whole[:place], changed):
            path.write_bytes(data)
            try:
                read = store.read("train", "f0", SIZE)
            except InputError:
                continue
            assert np.array_equal(read.values, scores.values)


def test_a_file_larger_than_the_limit_is_not_read(store, monkeypatch) -> None:
    monkeypatch.setattr(score_file, "MOST_BYTES", 1000)
    with pytest.raises(InputError, match="at most 1,000 are allowed"):
        store.read("train", "f0", SIZE)


def test_logits_in_a_store_of_probabilities_are_refused(store) -> None:
    table = store.folder / "scores.json"
    table.write_text(table.read_text().replace("logits", "probabilities"))
    with pytest.raises(
        InputError, match=r"f0.npz: probabilities are 0 to 1, these -.*: logits are another kind"
    ):
        ScoreStore.open(store.folder).read("train", "f0", SIZE)
    writer = ScoreWriter(store.folder, SOURCE, kind="probabilities")
    with pytest.raises(InputError, match="probabilities are 0 to 1"):
        writer.write("train", "f1", values(), SIZE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format 2 is not known, this lsu reads 1"),
        ({"format": True}, "format is True, which is not a int"),
        ({"kind": "margins"}, "kind is 'margins'; known: logits, probabilities"),
        ({"void_channel": 4}, "void_channel is 4, which is not a bool"),
        ({"identity": "0123"}, "identity is '0123'; that of label_space.toml is "),
        ({"label_space": "../label_space.toml"}, "the name of a TOML file beside it is needed"),
        ({"label_space": "gone.toml"}, "gone.toml: cannot be read"),
        ({"more": 1}, "unknown key 'more'"),
    ],
)
def test_a_table_that_says_something_else_is_refused(store, change, message) -> None:
    path = store.folder / "scores.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=message):
        ScoreStore.open(store.folder)


def test_a_folder_without_the_table_is_no_store(tmp_path) -> None:
    with pytest.raises(InputError, match="is no folder of scores: it has no scores.json"):
        ScoreStore.open(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        ScoreStore.open(tmp_path / "gone")


@pytest.mark.parametrize("key", ["../f0", "/etc/f0", "a//b", ".hidden", "a/../../b", "", "a\nb", "a\0b"])
def test_keys_that_lead_elsewhere_are_refused(store, key) -> None:
    writer = ScoreWriter(store.folder, SOURCE, kind="logits")
    with pytest.raises(InputError, match="no part may be empty"):
        writer.write("train", key, values(), SIZE)
    with pytest.raises(InputError, match="no part may be empty"):
        store.read(key, "f0", SIZE)


def test_the_writer_refuses_what_no_reader_would_take(tmp_path) -> None:
    writer = ScoreWriter(tmp_path / "s", SOURCE, kind="logits")
    with pytest.raises(InputError, match="a score is not finite"):
        writer.write("train", "f0", NAN, SIZE)
    with pytest.raises(InputError, match=r"scores have shape \[5, 6, 10\]; \[4, h, w\] is needed"):
        writer.write("train", "f0", values(channels=5), SIZE)
    with pytest.raises(InputError, match="the canvas is 20x20 for an image of 40x24"):
        writer.write("train", "f0", values(), SIZE, canvas=(20, 20))
    assert not (tmp_path / "s/train").exists()


def test_a_store_is_continued_by_its_own_kind_only(store) -> None:
    before = (store.folder / "scores.json").stat().st_mtime_ns
    ScoreWriter(store.folder, SOURCE, kind="logits")
    assert (store.folder / "scores.json").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="holds scores of another kind"):
        ScoreWriter(store.folder, SOURCE, kind="logits", void_channel=True)
    with pytest.raises(InputError, match="label spaces differ"):
        ScoreWriter(store.folder, FOREIGN, kind="logits")


def test_a_folder_with_something_else_is_left_alone(tmp_path) -> None:
    (tmp_path / "label_space.toml").write_text(SOURCE.with_dense_ids().to_toml())
    with pytest.raises(InputError, match="is not empty and holds no scores"):
        ScoreWriter(tmp_path, SOURCE, kind="logits")
    (tmp_path / "label_space.toml").write_text(SOURCE.to_toml())  # as a kill between both files leaves it
    (tmp_path / ".scores.json.1-1.part").write_text("{")
    ScoreWriter(tmp_path, SOURCE, kind="logits")
    assert ScoreStore.open(tmp_path).kind == "logits"
