"""The head on a CUDA device: arrays that are there already, a stream, and nothing else.

An engine that runs on a GPU leaves its scores in the GPU's memory, and whatever follows wants the labels
there. So nothing is copied here and nothing is waited for: addresses go to the kernels, and the work goes on
the caller's stream. The answer is that of `lsu.runtime.head`, bit for bit.
"""

from typing import Any

import numpy as np

from . import _native
from .device_array import DeviceArray
from .errors import BackendError, InputError, first_line
from .head_arguments import (
    LABELS,
    Shape,
    Sides,
    check_company,
    checked_integer,
    checked_scale,
    checked_stack,
    checked_void_channel,
    checked_window,
)


class DeviceHead:
    """The constrained argmax on one CUDA device.

    It holds the kernels and the device's primary context, and no memory per call. Threads may share it.

    Args:
        device: the device's number, as CUDA counts.

    Raises:
        InputError: the number is no integer of 0 or more.
        BackendError: no CUDA driver, no such device, or no kernels for it.
    """

    def __init__(self, device: int = 0) -> None:
        number = checked_integer("device", device)
        if not 0 <= number < 1 << 31:
            raise InputError(f"device is {number}; 0 or more is allowed: give the number that CUDA counts")
        try:
            self._head = _native.CudaHead(number)
        except RuntimeError as error:
            raise BackendError(f"CUDA device {number} cannot be used: {first_line(error)}") from error

    def run(  # noqa: PLR0913 - one operator, and all but three of these are options
        self,
        scores: Any,
        size: Sides,
        classes: Any,
        *,
        counts: Any = None,
        margin: Any = None,
        labels: Any = None,
        table: Any = None,
        void_channel: int | None = None,
        canvas: Sides | None = None,
        offset: Sides = (0, 0),
        margin_scale: float = 1.0,
        agreement: bool = False,
        packed: bool = False,
        stream: int = 0,
    ) -> None:
        """Put the work on a stream and return; the arguments mean what they mean in `lsu.runtime.head`.

        Arrays are anything that `DeviceArray.of` takes, on this head's device. Nothing is copied and nothing
        is waited for: until the stream has come to the end of this work, every array has to stay alive,
        inputs have to stay as they are, and outputs hold nothing. A caching allocator (torch's) has to be
        told of a stream that is not its own: `tensor.record_stream`. No output may overlap an input. The call
        can be captured in a CUDA graph; a replay uses the same addresses and the kernels of this head, which
        has to live as long as the graph.

        Args:
            scores: float32 or float16 [C, h, w] or [N, C, h, w], C from 1 to 255.
            size: (H, W) of the answer; a side may be 0.
            classes: output, uint8 [H, W], with N in front if the scores have it; void is 255.
            counts: output, int64 [256, 3] or [N, 256, 3]; with `agreement` the last side is 4.
            margin: output, uint8 as `classes`.
            labels: uint8 as `classes`.
            table: uint64, or int64 with the same bytes, [256, ceil(C / 64)] with labels, [1, ceil(C / 64)]
                without. Bits at and beyond C must be 0: they are not read to be checked.
            void_channel: the class that is written as void.
            canvas: (H, W) of what the scores cover, `size` if None.
            offset: (y, x) on the canvas where the answer begins.
            margin_scale: the margin that becomes 255, above 0.
            agreement: also count the agreement with the argmax over all classes; needs `counts`.
            packed: labels, classes and margin are [.., H, 4 * ceil(W / 4)]; pad bytes are not read, and are
                written 255.
            stream: a CUstream or cudaStream_t of the device as an integer (torch: `stream.cuda_stream`), 0 =
                the default stream.

        Raises:
            InputError: an argument does not fit; nothing is put on the stream.
            BackendError: a call of the CUDA driver failed.
        """
        given = _taken("scores", scores, (np.float32, np.float16))
        batch, channels = checked_stack(given.shape)
        window, whole, begin = checked_window(size, canvas, offset)
        height, width = window
        maps = (*batch, height, 4 * -(-width // 4) if packed else width)
        check_company(labels, table)
        if agreement and counts is None:
            raise InputError("agreement came without counts; it is one of their columns: give counts as well")
        rows = 0 if table is None else 1 if labels is None else LABELS
        tallies = (*batch, LABELS, 4 if agreement else 3)
        self._run(
            scores=given.pointer,
            labels=_address("labels", labels, (np.uint8,), maps),
            table=_address("table", table, (np.uint64, np.int64), (rows, -(-channels // 64))),
            classes=_address("classes", classes, (np.uint8,), maps, output=True),
            counts=_address("counts", counts, (np.int64,), tallies, output=True),
            margin=_address("margin", margin, (np.uint8,), maps, output=True),
            score_type=int(given.dtype == np.float16),
            stack=(*(batch or (1,)), channels),
            score_size=given.shape[-2:],
            table_rows=rows,
            size=window,
            canvas=whole,
            offset=begin,
            void_channel=checked_void_channel(void_channel, channels),
            margin_scale=checked_scale(margin_scale),
            agreement=bool(agreement),
            packed=bool(packed),
            stream=_checked_stream(stream),
        )

    def _run(self, **arguments: Any) -> None:
        try:
            self._head.run(**arguments)
        except RuntimeError as error:
            raise BackendError(f"the head cannot run on the device: {first_line(error)}") from error
        except ValueError as error:
            raise InputError(f"the head refuses its arguments: {first_line(error)}") from error


def _checked_stream(stream: object) -> int:
    address = checked_integer("stream", stream)
    if not 0 <= address < 1 << 64:
        raise InputError(f"stream is {address}; a stream's address or 0 is allowed: give stream.cuda_stream")
    return address


def _taken(name: str, owner: Any, dtypes: tuple[type[np.generic], ...]) -> DeviceArray:
    try:
        array = DeviceArray.of(owner)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    if array.dtype not in [np.dtype(dtype) for dtype in dtypes]:
        allowed = " or ".join(dtype.__name__ for dtype in dtypes)
        raise InputError(f"{name} is {array.dtype!s}; {allowed} is allowed: convert it on the device")
    itemsize = np.dtype(array.dtype).itemsize
    if array.pointer % itemsize:
        raise InputError(
            f"{name} lies at {array.pointer:#x}; a multiple of {itemsize} is allowed: copy it to fresh memory"
        )
    return array


def _address(
    name: str, owner: Any, dtypes: tuple[type[np.generic], ...], shape: Shape, *, output: bool = False
) -> int:
    """The array's address, 0 if there is none."""
    if owner is None:
        return 0
    array = _taken(name, owner, dtypes)
    if array.shape != shape:
        raise InputError(f"{name} is {array.shape}; {shape} is allowed: give memory of this shape")
    if output and not array.writable:
        raise InputError(f"{name} is read-only; it is to be overwritten: give writable memory")
    return array.pointer
