"""The GPU cases through pytest. tools/gpu_check.sh runs the same on a machine that has no pytest."""

import functools

import gpu_cases
import pytest

from lsu.runtime.errors import BackendError

pytestmark = pytest.mark.gpu


@functools.cache
def device() -> gpu_cases.Device | str:
    try:
        return gpu_cases.Device()
    except (OSError, AssertionError, BackendError) as error:
        return str(error)


@pytest.mark.parametrize("check", gpu_cases.ALL, ids=lambda check: check.__name__)
def test_on_the_gpu(check) -> None:
    found = device()
    if isinstance(found, str):
        pytest.skip(f"no CUDA device that can be used: {found}")
    check(found)
