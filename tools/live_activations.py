"""Bytes of the activations that a network keeps alive, counted as tensors come to life and are freed.

Resident memory holds a network together with its library, its allocator and its weights; this counts the
storages of tensors alone, to the byte. Eager torch frees a tensor with its last reference, so the peak is
that of the network's Python code; an engine that plans its memory may need less.
"""

import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveActivations(TorchDispatchMode):
    """Follows the storages that operators make within its context, until each is freed.

    Views and results in place share the storage of their input and add nothing. What an operator allocates
    and frees within itself, such as a kernel's workspace, is not seen.

    Attributes:
        live: bytes that are alive now.
        peak: the most bytes that were alive at once.
    """

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        """Leave out the storages of `known`, the weights and inputs; they outlive the context."""
        super().__init__()
        self.live = self.peak = 0
        self._followed = {_address(tensor) for tensor in known}

    def __torch_dispatch__(
        self,
        func: Any,
        types: object,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operator and follow the storages of its results."""
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and _address(leaf) not in self._followed:
                self._follow(leaf)
        return result

    def _follow(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        self._followed.add(_address(tensor))
        self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)
        end = weakref.finalize(storage, self._forget, _address(tensor), storage.nbytes())
        end.atexit = False

    def _forget(self, address: int, size: int) -> None:
        self._followed.discard(address)
        self.live -= size


def peak_activation_bytes(network: nn.Module, *inputs: Tensor) -> int:
    """The most bytes of tensors that one call of a network keeps alive at once, its result included.

    Weights and inputs are left out: they are there before the call. Under `no_grad` torch takes composite
    operators apart before they are followed; under `inference_mode` they would come whole.
    """
    known = [*network.parameters(), *network.buffers(), *inputs]
    with torch.no_grad(), LiveActivations(known) as activations:
        network(*inputs)
    peak: int = activations.peak
    return peak


def _address(tensor: Tensor) -> int:
    """Of the storage, which all views of it share; it may be given to another one after the end."""
    return int(tensor.untyped_storage()._cdata)
