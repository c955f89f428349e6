"""Constraints in the two forms that heads take: bits for ours, booleans for the one of standard ONNX."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lsu.runtime.model import Size

LABELS = 256
"""Rows of a constraint: every value of a label image, 255 = void among them."""
_ALLOWED = 0.3  # the share of classes that a drawn label allows


@dataclass(frozen=True, eq=False)
class Constraint:
    """What each pixel of one image may be.

    Attributes:
        mode: a short name, the same for all images.
        labels: uint8 [H,W] of the image's size, 255 = void.
        table: uint64 [256, ceil(C/64)]: bit c of row y says that label y allows channel c.
    """

    mode: str
    labels: npt.NDArray[np.uint8]
    table: npt.NDArray[np.uint64]


def drawn_constraint(size: Size, channels: int, seed: int) -> Constraint:
    """A label for each pixel and a set for each label, both drawn: every pixel is decided by the table."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, LABELS, size, np.uint8)
    return Constraint("drawn", labels, table_from_allowed(generator.random((LABELS, channels)) < _ALLOWED))


def table_from_allowed(allowed: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    """A bool table [256,C] as a constraint table uint64 [256, ceil(C/64)]."""
    words = -(-allowed.shape[1] // 64)
    padded = np.zeros((LABELS, 64 * words), bool)
    padded[:, : allowed.shape[1]] = allowed
    return np.ascontiguousarray(np.packbits(padded, axis=1, bitorder="little")).view("<u8").astype(np.uint64)


def allowed_from_table(table: npt.NDArray[np.uint64], channels: int) -> npt.NDArray[np.bool_]:
    """The other way: bool [256,channels]."""
    octets = np.ascontiguousarray(table, "<u8").view(np.uint8)
    return np.unpackbits(octets, axis=1, bitorder="little", count=channels).astype(bool)
