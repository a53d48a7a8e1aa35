"""Fingerprint of PyTorch's arithmetic on this CPU, on which an agent's weights depend."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch.nn import functional

STEPS, BATCH, HIDDEN = 3, 256, 64  # as in the measured training recipes
DIGITS = 16  # of the hash


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one PyTorch thread: faster for small networks, and sums are independent of the number of cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def cpu_capability() -> str:
    """The instruction set of PyTorch's own kernels, such as ``AVX512``."""
    return torch.backends.cpu.get_cpu_capability()


@cache
def arithmetic() -> str:
    """Hash of the weights after a few fixed gradient steps.

    The capability alone does not identify the arithmetic: the linear-algebra library for matrix products
    chooses its instructions by the CPU's vendor and model.
    """
    generator = torch.Generator().manual_seed(0)
    observations = torch.randn(BATCH, 4, generator=generator)
    layers = [
        (torch.randn(inputs, outputs, generator=generator) / inputs**0.5).requires_grad_()
        for inputs, outputs in ((4, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, 2))
    ]
    with one_thread():
        for _ in range(STEPS):
            hidden = functional.relu(torch.tanh(observations @ layers[0]) @ layers[1])
            mean, log_std = (hidden @ layers[2]).chunk(2, dim=1)
            error = (observations[:, :1] - mean) / log_std.exp()
            loss = (error**2 / 2 + log_std + functional.softplus(mean)).mean()
            gradients = torch.autograd.grad(loss, layers)
            with torch.no_grad():  # as Adam's first step, but without its import, which takes seconds
                for layer, gradient in zip(layers, gradients, strict=True):
                    layer -= 1e-3 * gradient / (gradient.square().sqrt() + 1e-8)
    digest = hashlib.sha256()
    for layer in layers:
        digest.update(layer.detach().numpy().tobytes())
    return digest.hexdigest()[:DIGITS]
