"""The compiled head, behind lsu.runtime.head."""

from typing import Annotated, overload

import numpy
from numpy.typing import NDArray

class Head:
    """Threads and memory that are kept from call to call."""

    def __init__(self, threads: int, method: int = 0) -> None: ...
    @overload
    def answer(
        self,
        scores: Annotated[
            NDArray[numpy.float32],
            dict(shape=(None, None, None, None), order="C", device="cpu", writable=False),
        ],
        labels: Annotated[
            NDArray[numpy.uint8], dict(shape=(None, None, None), order="C", device="cpu", writable=False)
        ]
        | None,
        table: Annotated[
            NDArray[numpy.uint64], dict(shape=(None, None), order="C", device="cpu", writable=False)
        ]
        | None,
        classes: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order="C", device="cpu")],
        counts: Annotated[NDArray[numpy.int64], dict(shape=(None, None, None), order="C", device="cpu")],
        margin: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order="C", device="cpu")]
        | None,
        *,
        size: tuple[int, int],
        canvas: tuple[int, int],
        offset: tuple[int, int],
        void_channel: int,
        margin_scale: float,
        packed: bool = False,
    ) -> None: ...
    @overload
    def answer(
        self,
        scores: Annotated[
            NDArray[numpy.float16],
            dict(shape=(None, None, None, None), order="C", device="cpu", writable=False),
        ],
        labels: Annotated[
            NDArray[numpy.uint8], dict(shape=(None, None, None), order="C", device="cpu", writable=False)
        ]
        | None,
        table: Annotated[
            NDArray[numpy.uint64], dict(shape=(None, None), order="C", device="cpu", writable=False)
        ]
        | None,
        classes: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order="C", device="cpu")],
        counts: Annotated[NDArray[numpy.int64], dict(shape=(None, None, None), order="C", device="cpu")],
        margin: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order="C", device="cpu")]
        | None,
        *,
        size: tuple[int, int],
        canvas: tuple[int, int],
        offset: tuple[int, int],
        void_channel: int,
        margin_scale: float,
        packed: bool = False,
    ) -> None:
        """Fill classes, counts and margin; lsu.runtime.head says what they mean."""

class CudaHead:
    """The kernels, loaded on one CUDA device."""

    def __init__(self, device: int, kernels: str | None = None) -> None: ...
    def run(
        self,
        *,
        scores: int,
        labels: int,
        table: int,
        classes: int,
        counts: int,
        margin: int,
        score_type: int,
        stack: tuple[int, int],
        score_size: tuple[int, int],
        table_rows: int,
        size: tuple[int, int],
        canvas: tuple[int, int],
        offset: tuple[int, int],
        void_channel: int,
        margin_scale: float,
        agreement: bool,
        packed: bool,
        stream: int,
    ) -> None:
        """Put the work on a stream; lsu.runtime.device_head explains it."""

@overload
def dense_from_ids(
    values: Annotated[
        NDArray[numpy.uint8], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ],
    table: Annotated[NDArray[numpy.uint16], dict(shape=(None,), order="C", device="cpu", writable=False)],
    dense: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order="C", device="cpu")],
) -> bool: ...
@overload
def dense_from_ids(
    values: Annotated[
        NDArray[numpy.uint16], dict(shape=(None, None), order="C", device="cpu", writable=False)
    ],
    table: Annotated[NDArray[numpy.uint16], dict(shape=(None,), order="C", device="cpu", writable=False)],
    dense: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order="C", device="cpu")],
) -> bool:
    """
    Fill dense by the table; whether every value is known. lsu.runtime.label_image says more.
    """

def dense_from_colours(
    values: Annotated[
        NDArray[numpy.uint8], dict(shape=(None, None, None), order="C", device="cpu", writable=False)
    ],
    colours: Annotated[NDArray[numpy.uint32], dict(shape=(None,), order="C", device="cpu", writable=False)],
    classes: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order="C", device="cpu", writable=False)],
    dense: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order="C", device="cpu")],
) -> bool:
    """
    Fill dense by colours 0xRRGGBB of BGR values; whether every colour is known.
    """

AUTO: int = 0

CELLS: int = 1

DENSE: int = 2
