"""onnxruntime as a witness: bytes of ONNX run on the CPU, every failure in one line."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from lsu.runtime import BackendError


def session_from_model(model: bytes, what: str = "the exported network") -> Any:
    """A session of onnxruntime on the CPU.

    Raises:
        BackendError: onnxruntime is missing or cannot load the model; `what` names it.
    """
    try:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # errors are raised, and told once
        options.intra_op_num_threads = len(os.sched_getaffinity(0))
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except ImportError as error:
        raise BackendError("onnxruntime proves each export and is missing: pip install 'lsu[cpu]'") from error
    except Exception as error:  # onnxruntime's errors share no base below Exception
        raise BackendError(f"onnxruntime cannot load {what}: {first_line(error)}") from error


def outputs_of(
    session: Any,
    outputs: Sequence[str] | None,
    feed: Mapping[str, npt.NDArray[Any]],
    what: str = "the exported network",
) -> list[npt.NDArray[Any]]:
    """The named outputs, all of them for None, for these inputs.

    Raises:
        BackendError: onnxruntime refused the inputs or failed.
    """
    try:
        answers: list[npt.NDArray[Any]] = session.run(outputs, feed)
    except Exception as error:  # as above
        shape = list(next(iter(feed.values())).shape)
        raise BackendError(f"onnxruntime cannot run {what} on {shape}: {first_line(error)}") from error
    return answers


def first_line(error: BaseException) -> str:
    """The first line of the innermost cause of an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip() or type(error).__name__).splitlines()[0]
