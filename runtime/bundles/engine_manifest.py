"""`engines/<tag>/engine.json`: what an engine was built from, for which machines, and its plan's digest.

A plan is an executable artefact that its library hardly checks: NVIDIA's own validity test passes changed
data. So a plan is hashed, and its manifest's signature checked, before any library sees a byte of it; and
the manifest names the digest of the bundle, so that an engine moved into another bundle is refused. The plan
itself is stored as the builder gave it: `trtexec` reads it too. The folder holds

    engine.json     this manifest, format 1
    engine.sha256   the digest of engine.json, for `sha256sum -c`: finds damage where nothing is signed
    engine.plan     the plan
    signatures/     of engine.json, see `trust`
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from lsu.runtime.errors import InputError
from lsu.runtime.files import refuse_unknown_keys
from lsu.runtime.model import Size

from .manifest import Precision
from .strict_json import one_of, table_from_json, take

FORMAT = 1
Target = Literal["tensorrt", "tensorrt-rtx"]
EngineHead = Literal["scores", "plugin"]
MOST_PLAN = 8 << 30
"""Bytes of a plan; a larger one is refused unread."""
TARGETS: tuple[Target, ...] = ("tensorrt", "tensorrt-rtx")

_KEYS = {
    "format", "target", "library", "versions", "sms", "platform", "driver", "bundle", "precision", "head",
    "batch", "sizes", "plan", "seconds", "log",
}  # fmt: skip
_SIZES = ("least", "best", "most")


@dataclass(frozen=True)
class SizeRange:
    """The input sizes (H, W) that an engine takes, and the one that it is tuned for.

    Attributes:
        least: the smallest.
        best: the one that kernels are chosen for.
        most: the largest.
    """

    least: Size
    best: Size
    most: Size

    def __post_init__(self) -> None:
        for low, high in ((self.least, self.best), (self.best, self.most)):
            if not (0 < low[0] <= high[0] and 0 < low[1] <= high[1]):
                raise InputError(
                    f"sizes {self} are not in order: give MIN,OPT,MAX, each HxW and none smaller than before"
                )

    def __str__(self) -> str:
        """`512x1024`, or `64x64..2048x4096` where the size is free."""
        least, most = ("x".join(map(str, size)) for size in (self.least, self.most))
        return most if self.least == self.most else f"{least}..{most}"

    def holds(self, size: Size) -> bool:
        """Whether an input of (H, W) may be given."""
        return all(a <= b <= c for a, b, c in zip(self.least, size, self.most, strict=True))


@dataclass(frozen=True)
class EngineManifest:
    """All of `engine.json`.

    Attributes:
        target: the library that runs it.
        library: the version of that library, in full; a plan runs with no other.
        versions: of what took part in the build, by name.
        sms: compute capabilities that it runs on, such as 86 and 120, ascending.
        platform: operating system and processor, such as `linux-x86_64`.
        driver: the CUDA version of the driver of the building machine, or None where there was none.
        bundle: the digest of the bundle it was built from.
        precision: of the weights, as in the bundle.
        head: `scores` gives scores; `plugin` gives classes too.
        batch: the largest number of images at once, from 1.
        sizes: of the input.
        plan: SHA-256 of `engine.plan`.
        plan_bytes: its length.
        seconds: how long the library built.
        log: what the library warned of, a line each.
    """

    target: Target
    library: str
    versions: Mapping[str, str]
    sms: tuple[int, ...]
    platform: str
    driver: str | None
    bundle: str
    precision: Precision
    head: EngineHead
    batch: int
    sizes: SizeRange
    plan: str
    plan_bytes: int
    seconds: float
    log: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.sms or list(self.sms) != sorted(set(self.sms)) or self.sms[0] < 1:
            raise InputError(f"sms are {list(self.sms)}; ascending numbers such as 86 and 120 are needed")
        if not re.fullmatch(r"\d+(\.[0-9a-z]+)+", self.library):
            raise InputError(f"library is {self.library!r}; a version such as 10.3.0 is needed")
        if self.batch < 1 or self.seconds < 0 or not 1 <= self.plan_bytes <= MOST_PLAN:
            raise InputError(
                f"batch {self.batch} must be >= 1, {self.seconds} seconds >= 0, "
                f"{self.plan_bytes} bytes of plan 1 to {MOST_PLAN}"
            )

    @property
    def tag(self) -> str:
        """The name of the engine's folder."""
        return engine_tag(self.target, self.library, self.sms, self.sizes, self._parts)

    @property
    def _parts(self) -> tuple[str, ...]:
        return engine_parts(self.precision, self.batch, self.head)

    @classmethod
    def from_json(cls, data: bytes, path: Path) -> "EngineManifest":
        """The manifest in the bytes of `engine.json`; `path` names them in errors.

        Raises:
            InputError: not JSON, of another format, an unknown or missing key, or a value that cannot be.
        """
        where = str(path)
        table = table_from_json(data, where)
        number = take(table, "format", int, where)
        if number != FORMAT:
            repair = "update lsu" if number > FORMAT else f"known: {FORMAT}"
            raise InputError(f"{where}: engine format {number} is not known here: {repair}")
        refuse_unknown_keys(table, _KEYS, where)
        plan = take(table, "plan", dict, where)
        refuse_unknown_keys(plan, {"sha256", "bytes"}, f"{where}, plan")
        try:
            return cls(
                target=one_of(table, "target", TARGETS, where),  # type: ignore[arg-type]
                library=take(table, "library", str, where),
                versions=_texts(take(table, "versions", dict, where), f"{where}, versions"),
                sms=tuple(_items(table, "sms", int, where)),
                platform=take(table, "platform", str, where),
                driver=_text_or_none(table, "driver", where),
                bundle=_digest(table, "bundle", where),
                precision=one_of(table, "precision", ("float32", "float16", "int8"), where),  # type: ignore[arg-type]
                head=one_of(table, "head", ("scores", "plugin"), where),  # type: ignore[arg-type]
                batch=take(table, "batch", int, where),
                sizes=_sizes_from(take(table, "sizes", dict, where), f"{where}, sizes"),
                plan=_digest(plan, "sha256", f"{where}, plan"),
                plan_bytes=take(plan, "bytes", int, f"{where}, plan"),
                seconds=take(table, "seconds", float, where),
                log=tuple(_items(table, "log", str, where)),
            )
        except InputError as error:
            raise error if str(error).startswith(where) else InputError(f"{where}: {error}") from error

    def to_json(self) -> bytes:
        """The bytes of `engine.json`."""
        table: dict[str, Any] = {"format": FORMAT, **asdict(self)}
        table["plan"] = {"sha256": self.plan, "bytes": table.pop("plan_bytes")}
        table["seconds"] = float(self.seconds)
        return (json.dumps(table, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def engine_parts(precision: Precision, batch: int, head: EngineHead) -> tuple[str, ...]:
    """What ends an engine's tag: the precision, and what is not as usual."""
    return (precision, *([f"b{batch}"] if batch > 1 else []), *([head] if head != "scores" else []))


def engine_tag(
    target: Target, library: str, sms: tuple[int, ...], sizes: SizeRange, parts: tuple[str, ...]
) -> str:
    """The folder's name, such as `tensorrt-rtx-1.7-sm86+89-512x1024-float32`; the library by two numbers."""
    version = ".".join(library.split(".")[:2])
    return "-".join((target, version, f"sm{'+'.join(map(str, sms))}", str(sizes), *parts))


def _items(table: Mapping[str, Any], key: str, kind: type, where: str) -> list[Any]:
    values = take(table, key, list, where)
    if not all(type(value) is kind for value in values):
        raise InputError(f"{where}: {key} is {values!r}, which is not a list of {kind.__name__}")
    return values


def _texts(table: Mapping[str, Any], where: str) -> dict[str, str]:
    return {key: take(table, key, str, where) for key in table}


def _text_or_none(table: Mapping[str, Any], key: str, where: str) -> str | None:
    return None if table.get(key, "") is None else take(table, key, str, where)


def _digest(table: Mapping[str, Any], key: str, where: str) -> str:
    digest = take(table, key, str, where)
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise InputError(f"{where}: {key} is {digest!r}, which is not 64 hexadecimal digits")
    return digest


def _sizes_from(table: Mapping[str, Any], where: str) -> SizeRange:
    refuse_unknown_keys(table, set(_SIZES), where)
    sizes = [_items(table, key, int, where) for key in _SIZES]
    if any(len(size) != 2 for size in sizes):
        raise InputError(f"{where}: {sizes!r} are not three sizes [H, W]")
    return SizeRange(*((size[0], size[1]) for size in sizes))
