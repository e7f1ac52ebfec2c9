"""Randomness of networks that draw numbers by themselves, repeatable for the length of an attack."""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn


@contextmanager
def seeded(seed: int, device: torch.device, network: nn.Module) -> Iterator[None]:
    """Let a network draw the same numbers each time this is entered; all generators are as before afterwards.

    These are torch's generators of the CPU and of a CUDA device, numpy's and Python's global ones, and those that lie
    in an attribute of the network or of a part of it. Out of reach are generators elsewhere (in a closure, a list), the
    operating system's, and the order of additions on a device.

    Args:
        seed: From 0 to 2**32 - 1.
        device: Where the network computes.
        network: The network.
    """
    with ExitStack() as stack:
        for source in _sources(device, network):
            stack.callback(_reseeded(source, seed))
        yield


def _sources(device: torch.device, network: nn.Module) -> list[Any]:
    found: list[Any] = [torch.default_generator, np.random, random]
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        found.append(torch.cuda.default_generators[index])
    kinds = torch.Generator, np.random.Generator, np.random.RandomState, random.Random
    found += [value for part in network.modules() for value in vars(part).values() if isinstance(value, kinds)]
    return list({id(source): source for source in found}.values())


def _reseeded(source: Any, seed: int) -> Callable[[], object]:
    """Seed a generator, or a module with the functions of one, and return what undoes that."""
    if isinstance(source, torch.Generator):
        undo: Callable[[], object] = partial(source.set_state, source.get_state())
        source.manual_seed(seed)
    elif isinstance(source, np.random.Generator):
        bits = source.bit_generator
        undo = partial(setattr, bits, "state", bits.state)
        bits.state = type(bits)(seed).state
    elif isinstance(source, random.Random) or source is random:
        undo = partial(source.setstate, source.getstate())
        source.seed(seed)
    else:
        undo = partial(source.set_state, source.get_state())
        source.seed(seed)
    return undo
