"""Weights of a linear layer for the CPU: float, or int8 and int4 for the few rows of decoding.

Decoding is bound by the bytes of weights that a token reads, so they are kept packed; many rows at
once are bound by arithmetic, where bfloat16 is fastest, so the float weights stay beside them.
Measured on 2 cores, 3072 x 576, microseconds for 1, 8 and 64 rows: bfloat16 64, 90, 300; int4 26,
92, 730. The kernels are torch's own.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch.nn.functional import linear

_GROUP = 32  # weights that share a scale, as in GGUF's Q4_1: such files lose next to nothing
_PACKED_ROWS = 8  # from here on bfloat16 is as fast


class Linear(Protocol):
    """`x @ weight.T`: (rows, in) to (rows, out)."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply."""
        ...


class FloatLinear:
    """The weight as it is.

    Args:
        weight: (out, in).
    """

    def __init__(self, weight: torch.Tensor) -> None:
        self._weight = weight.contiguous()

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply."""
        return linear(x, self._weight)


class Int8Linear:
    """Symmetric int8 with a scale for each output."""

    def __init__(self, weight: torch.Tensor) -> None:
        scale = weight.float().abs().amax(1).clamp(min=1e-8) / 127
        self._packed = (weight.float() / scale[:, None]).round().to(torch.int8)
        self._scale = scale.bfloat16()
        self._float = FloatLinear(weight.bfloat16())

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply."""
        if x.shape[0] > _PACKED_ROWS:
            return self._float(x)
        product: torch.Tensor = torch.ops.aten._weight_int8pack_mm(x, self._packed, self._scale)
        return product


class Int4Linear:
    """Asymmetric int4, a scale and a zero for each group of inputs."""

    def __init__(self, weight: torch.Tensor) -> None:
        rows, columns = weight.shape
        groups = weight.float().view(rows, columns // _GROUP, _GROUP)
        low, high = groups.amin(-1), groups.amax(-1)
        scale = ((high - low) / 15).clamp(min=1e-8)
        steps = ((groups - low[..., None]) / scale[..., None]).round().clamp(0, 15)
        self._packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(
            steps.to(torch.int32).view(rows, columns), 1
        )
        # The kernel computes (step - 8) * scale + zero.
        pairs = torch.stack([scale, low + 8 * scale], -1)
        self._scales = pairs.transpose(0, 1).contiguous().bfloat16()
        self._float = FloatLinear(weight.bfloat16())

    @staticmethod
    def fits(weight: torch.Tensor) -> bool:
        """True where torch's kernel takes a weight of this shape."""
        return weight.shape[0] % 16 == 0 and weight.shape[1] % _GROUP == 0

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply."""
        if x.shape[0] > _PACKED_ROWS:
            return self._float(x)
        product: torch.Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(
            x, self._packed, _GROUP, self._scales
        )
        return product


def pack(weight: torch.Tensor, precision: str) -> Linear:
    """The layer for a weight (out, in), in the precision that its shape allows."""
    if precision == "int4" and Int4Linear.fits(weight):
        return Int4Linear(weight)
    if precision in ("int8", "int4"):
        return Int8Linear(weight)
    return FloatLinear(weight.to(getattr(torch, precision)))
