"""Where an attack would make the host wait for a CUDA device, seen on the CPU by the operations that it runs."""

from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_aten = torch.ops.aten
_SIZED_BY_VALUES = {
    _aten.nonzero,
    _aten.masked_select,
    _aten.unique_dim,
    _aten._unique2,
    _aten.unique_consecutive,
    _aten.repeat_interleave,
    _aten.bincount,
}
_READ_BY_THE_HOST = {_aten._local_scalar_dense, _aten.item, _aten.is_nonzero, _aten.equal}
_COPIED = {_aten.lift_fresh}  # of torch.tensor(...), from the host's memory
_INDEXED = {_aten.index, _aten.index_put, _aten.index_put_, _aten._index_put_impl_}
_WRITING = {_aten.lift_fresh: 0, _aten.index_put: 2, _aten.index_put_: 2, _aten._index_put_impl_: 2}
"""Operations that may write a number, and the place of what they write among their arguments.

Which of them torch runs for `x[mask] = 1.0` depends on its version; some run masked_fill_ instead.
"""
_BY_MASK = {torch.bool, torch.uint8}


def waits(operation, arguments, options):
    """Whether the host waits for a device in an operation (an overload), or copies to it or from it."""
    packet = operation.overloadpacket
    if packet in _WRITING and arguments[_WRITING[packet]].ndim == 0:  # a number of Python's: a kernel takes it along
        return False
    if packet in _INDEXED:  # by a mask: the places are counted first
        return any(index is not None and index.dtype in _BY_MASK for index in arguments[1])
    if packet is _aten._to_copy:
        return options.get("device") is not None
    return packet in _SIZED_BY_VALUES | _READ_BY_THE_HOST | _COPIED


class Waits(TorchDispatchMode):
    """Counts waits in parts of a run; `counts` has one number for each part begun, and one before the first."""

    def __init__(self):
        super().__init__()
        self.counts = [0]

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run the operation, and count it if the host waits in it."""
        kwargs = kwargs or {}
        self.counts[-1] += waits(func, args, kwargs)
        return func(*args, **kwargs)

    def begin(self, *_):
        """Begin a part."""
        self.counts.append(0)


@contextmanager
def waits_by_pass(model):
    """Yield the counts of waits, a number before the first pass through a model and one after each."""
    counted = Waits()
    handle = model.register_forward_pre_hook(counted.begin)
    try:
        with counted:
            yield counted.counts
    finally:
        handle.remove()
