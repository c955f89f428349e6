"""`engine.json`: what is written is read again, and everything else is refused in a line."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engines import engine_manifest

from lsu.runtime.bundles.engine_manifest import EngineManifest, SizeRange
from lsu.runtime.errors import InputError

WHERE = Path("town/engines/tag/engine.json")


def refusal(data: bytes) -> str:
    with pytest.raises(InputError) as caught:
        EngineManifest.from_json(data, WHERE)
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(str(WHERE))
    return said


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"target": "tensorrt-rtx", "library": "1.7.1.116", "sms": (86, 89, 120), "driver": None},
        {"precision": "float16", "head": "plugin", "batch": 4, "log": (), "seconds": 3.0},
        {"sizes": SizeRange((512, 1024), (512, 1024), (512, 1024))},
    ],
)
def test_what_was_written_is_read_again(changes: dict[str, Any]) -> None:
    manifest = engine_manifest(**changes)
    assert EngineManifest.from_json(manifest.to_json(), WHERE) == manifest


def test_the_tag_says_what_it_is_for() -> None:
    fixed = SizeRange((512, 1024), (512, 1024), (512, 1024))
    rtx = engine_manifest(target="tensorrt-rtx", library="1.7.1.116", sms=(86, 89, 120), sizes=fixed)
    assert rtx.tag == "tensorrt-rtx-1.7-sm86+89+120-512x1024-float32"
    orin = engine_manifest(precision="float16", batch=4, head="plugin")
    assert orin.tag == "tensorrt-10.3-sm87-8x8..64x96-float16-b4-plugin"


def test_a_range_holds_what_lies_between_on_both_sides() -> None:
    sizes = SizeRange((8, 16), (24, 32), (64, 96))
    assert [sizes.holds(size) for size in ((8, 16), (64, 96), (24, 20))] == [True] * 3
    assert [sizes.holds(size) for size in ((7, 16), (8, 15), (65, 96), (64, 97))] == [False] * 4


@pytest.mark.parametrize(
    "sizes",
    [
        ((8, 8), (4, 8), (8, 8)),
        ((8, 8), (8, 8), (8, 7)),
        ((0, 8), (8, 8), (8, 8)),
        ((8, 8), (16, 16), (12, 16)),
    ],
)
def test_sizes_out_of_order_are_refused(sizes: Any) -> None:
    with pytest.raises(InputError, match="MIN,OPT,MAX"):
        SizeRange(*sizes)


CASES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "newer format": (lambda t: t.update(format=2), "format 2 is not known here: update lsu"),
    "older format": (lambda t: t.update(format=0), "format 0 is not known here: known: 1"),
    "unknown key": (lambda t: t.update(x=1), "unknown key 'x'"),
    "unknown key of the plan": (lambda t: t["plan"].update(x=1), "unknown key 'x'"),
    "unknown key of the sizes": (lambda t: t["sizes"].update(x=1), "unknown key 'x'"),
    "unknown target": (lambda t: t.update(target="openvino"), "known: tensorrt, tensorrt-rtx"),
    "unknown head": (lambda t: t.update(head="function"), "known: scores, plugin"),
    "version with a path in it": (lambda t: t.update(library="10.3/../.."), "a version such as"),
    "no version": (lambda t: t.update(library="ten"), "a version such as"),
    "versions not texts": (lambda t: t["versions"].update(lsu=1), "lsu is 1"),
    "no machine": (lambda t: t.update(sms=[]), "ascending numbers"),
    "machines out of order": (lambda t: t.update(sms=[89, 86]), "ascending numbers"),
    "machine twice": (lambda t: t.update(sms=[86, 86]), "ascending numbers"),
    "machine as text": (lambda t: t.update(sms=["86"]), "not a list of int"),
    "machine as truth": (lambda t: t.update(sms=[True]), "not a list of int"),
    "driver a number": (lambda t: t.update(driver=12.6), "driver is 12.6"),
    "short digest": (lambda t: t.update(bundle="12"), "64 hexadecimal digits"),
    "short digest of the plan": (lambda t: t["plan"].update(sha256="g" * 64), "64 hexadecimal digits"),
    "no batch": (lambda t: t.update(batch=0), "batch 0 must be >= 1"),
    "empty plan": (lambda t: t["plan"].update(bytes=0), "0 bytes of plan"),
    "a plan of terabytes": (lambda t: t["plan"].update(bytes=1 << 40), "bytes of plan"),
    "negative time": (lambda t: t.update(seconds=-1.0), "seconds >= 0"),
    "size of three sides": (lambda t: t["sizes"].update(best=[1, 2, 3]), "not three sizes"),
    "sizes out of order": (lambda t: t["sizes"].update(best=[1, 2]), "not in order"),
    "log not texts": (lambda t: t.update(log=[1]), "not a list of str"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_manifest_that_cannot_be_is_refused(case: str) -> None:
    change, message = CASES[case]
    table = json.loads(engine_manifest().to_json())
    change(table)
    assert message in refusal(json.dumps(table).encode())


def test_each_key_is_needed() -> None:
    original = json.loads(engine_manifest().to_json())
    for place in ((), ("plan",), ("sizes",)):
        for key in original if not place else original[place[0]]:
            table = json.loads(engine_manifest().to_json())
            (table[place[0]] if place else table).pop(key)
            assert repr(key) in refusal(json.dumps(table).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b'{"format": 1, "format": 1}'])
def test_what_is_not_a_table_is_refused(data: bytes) -> None:
    refusal(data)


def test_a_manifest_is_checked_when_it_is_made() -> None:
    with pytest.raises(InputError, match="ascending"):
        replace(engine_manifest(), sms=(120, 86))
