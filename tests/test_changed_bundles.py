"""What a user sees of a bundle that was changed, or made to harm: one line, and code 2."""

import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from bundles import rewrite, tiny_model
from onnx import helper, numpy_helper
from signed import key_pair, lsu, replaced, resign, signed_bundle

from lsu.runtime.bundles.npy import npy_from_array
from lsu.runtime.files import digest_of


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A signed bundle with a signed engine and its key pair, in the working directory."""
    monkeypatch.chdir(tmp_path)
    key, _ = key_pair(Path())
    signed_bundle(Path("b"), key)
    return tmp_path


def flip() -> None:
    data = bytearray(Path("b/model.onnx").read_bytes())
    data[100] ^= 4
    Path("b/model.onnx").write_bytes(data)


def swap_engine() -> None:
    (plan,) = Path("b/engines").glob("*/engine.plan")
    plan.write_bytes(bytes(plan.stat().st_size))


def external_data(location: str) -> Callable[[], None]:
    def change() -> None:
        model = tiny_model()
        (tensor,) = model.graph.initializer
        size = len(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", str(size))):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
        Path("weights.bin").write_bytes(bytes(size))
        replaced("model.onnx", model.SerializeToString())

    return change


def png_bomb() -> bytes:
    """A PNG that claims 30000x30000 RGB pixels, 2.7 GB, which OpenCV would make room for."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(40 << 20), 9))
        + chunk(b"IEND", b"")
    )


def npy_bomb() -> bytes:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 1000000, 1000000), }"
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


def five_channels() -> None:
    """A network of which nothing but running it says how many channels it gives."""
    model = tiny_model(5)
    model.graph.node[-1].output[0] = "five"
    model.graph.node.extend(
        [
            helper.make_node("Shape", ["image"], ["height"], start=1, end=2),
            helper.make_node("Slice", ["five", "zero", "height", "one"], ["scores"]),
        ]
    )
    model.graph.initializer.extend(
        numpy_helper.from_array(np.array([k]), name) for k, name in enumerate(("zero", "one"))
    )
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "c"
    replaced("model.onnx", model.SerializeToString())


CHANGES: dict[str, tuple[Callable[[], object], str]] = {
    "a changed byte": (flip, "model.onnx: damaged: its SHA-256 is not the one in bundle.json"),
    "another model, vouched for": (
        lambda: (flip(), rewrite(Path("b"), lambda t: t.update(name="x"))),
        "is not valid for this bundle: it was changed after signing",
    ),
    "a swapped engine": (swap_engine, "engine.plan: not the plan that engine.json names"),
    "a missing file": (lambda: Path("b/golden/0_image.png").unlink(), "0_image.png: cannot be read"),
    "an added file": (lambda: Path("b/golden/more").touch(), "golden/more: not listed in bundle.json"),
    "a name that gives orders": (
        lambda: Path("b/a\nlsu: fine\x1b[2J").touch(),
        "b/a\\nlsu: fine\\x1b[2J: not listed",
    ),
    "external data outside": (external_data("../weights.bin"), "the data of tensor 'weights' lie in another"),
    "external data anywhere": (external_data("/etc/passwd"), "the data of tensor 'weights' lie in another"),
    "external data in memory": (external_data("*/_ORT_MEM_ADDR_/*"), "the data of tensor 'weights' lie in"),
    "a golden image of gigabytes": (
        lambda: replaced("golden/0_image.png", png_bomb()),
        "0_image.png: the image is 30000x30000 pixels by its header; at most 134,217,728",
    ),
    "a golden image of another format": (
        lambda: replaced("golden/0_image.png", cv2.imencode(".bmp", np.zeros((21, 27, 3)))[1].tobytes()),
        "0_image.png: not a PNG file",
    ),
    "golden scores without a cell": (
        lambda: replaced("golden/0_scores.npy", npy_from_array(np.zeros((3, 0, 7), np.float32))),
        "the scores are float32 [3, 0, 7]; float32 [3, h, w] is needed",
    ),
    "golden scores of terabytes": (
        lambda: replaced("golden/0_scores.npy", npy_bomb()),
        "[3, 1000000, 1000000] needs 12,000,000,000,000 bytes, it has 0",
    ),
    "a label space of other size": (
        lambda: replaced("model.onnx", tiny_model(5).SerializeToString()),
        "model.onnx gives 5 channels, bundle.json says 3",
    ),
    "a label space of other size, unseen": (five_channels, "the bundle's label space needs 3 channels"),
    "a newer format": (
        lambda: (rewrite(Path("b"), lambda t: t.update(format=2)), resign()),
        "bundle format 2 is newer than 1: update lsu",
    ),
    "two meanings": (
        lambda: (
            Path("b/bundle.json").write_text(
                Path("b/bundle.json").read_text().replace("{", '{"format": 1,', 1)
            ),
            rewrite_digest(),
            resign(),
        ),
        "the key 'format' stands twice",
    ),
}


def rewrite_digest() -> None:
    digest = digest_of(Path("b/bundle.json").read_bytes())
    Path("b/bundle.sha256").write_text(f"{digest}  bundle.json\n")


@pytest.mark.parametrize("case", CHANGES)
@pytest.mark.parametrize("trusting", [True, False])
def test_a_changed_bundle_is_refused_in_one_line(place, case: str, trusting: bool) -> None:
    change, message = CHANGES[case]
    assert lsu("inspect", "b", "--no-run", "--trust", "factory.pub").code == 0
    change()
    trust = ("--trust", "factory.pub") if trusting else ()
    backend = () if "engine" in case else ("--backend", "onnxruntime")
    if not trusting and case == "another model, vouched for":
        message = "model.onnx: damaged"
    if case == "a label space of other size, unseen":
        Path("image.png").write_bytes(Path("b/golden/0_image.png").read_bytes())
        outcome = lsu("run", "b", "--source", "image.png", "--no-self-test", *backend, *trust)
    else:
        outcome = lsu("inspect", "b", *backend, *trust)
    assert message in outcome.refusal


def test_a_bomb_is_refused_without_making_room_for_it(place) -> None:
    """In a process that may take 1 GiB beyond what it starts with."""
    replaced("golden/0_image.png", png_bomb())
    code = """
import resource, sys
from lsu.runtime.cli import application
import cv2, numpy, onnxruntime
taken = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + (1 << 30),) * 2)
application()(['inspect', 'b', '--backend', 'onnxruntime'])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "30000x30000 pixels by its header" in done.stderr
