"""LoRA adapters beside the weights of a model, a different one for each row.

Hu et al., "LoRA" (2021): a layer gives `W x + scale * B A x`, with A and B of a low rank. The base
weights are read once for all rows; the small products of all adapters in a batch are computed
together and each row keeps its own, after Chen et al., "Punica" (2023). Files are PEFT's:
https://huggingface.co/docs/peft/developer_guides/checkpoint
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from safetensors import SafetensorError, safe_open
from torch.nn.functional import linear

from core.orchestrator.files.manifest import ModelFileError, check_safetensors
from core.orchestrator.server.models.linear import Linear

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"
MAX_RANK = 256
_MAX_CONFIG_BYTES = 1 << 20
_FEW_ROWS = 8
"""Up to so many, products this small take a quarter of the time in float32 that they take in
bfloat16: 2 to 5 microseconds where 13 to 20 are the least there.
"""
_KEY = re.compile(
    r"base_model\.model\.model\.layers\.(?P<layer>\d{1,4})\."
    r"(?:self_attn|mlp)\.(?P<module>[a-z]{1,4}_proj)\.lora_(?P<half>[AB])\.weight"
)


class Part(NamedTuple):
    """One of PEFT's modules inside a linear layer of ours: where its outputs begin, how many."""

    module: str
    first: int
    outputs: int


class Shape(NamedTuple):
    """A linear layer: inputs, outputs, and the modules that it is put together from."""

    inputs: int
    outputs: int
    parts: tuple[Part, ...]


class Layout(NamedTuple):
    """Which linear layers of a decoder take adapters; the same in each of its layers."""

    layers: int
    shapes: Mapping[str, Shape]


def linear_shape(inputs: int, parts: Mapping[str, int]) -> Shape:
    """A linear layer of modules with so many outputs each, one after the other."""
    placed, at = [], 0
    for module, outputs in parts.items():
        placed.append(Part(module, at, outputs))
        at += outputs
    return Shape(inputs, at, tuple(placed))


class Delta(NamedTuple):
    """What is added to a linear layer: `x @ down.T @ up`, in float32.

    Shapes are (rank, inputs) and (rank, outputs).
    """

    down: torch.Tensor
    up: torch.Tensor


@dataclass(frozen=True, eq=False)
class Adapter:
    """A LoRA adapter in memory: for each layer, what is added to which linear layer."""

    layers: tuple[Mapping[str, Delta], ...]


class AdaptedLinear:
    """A linear layer with what adapters add.

    Args:
        mask: (rows, rank), 1 where the row has the adapter that this part of `delta` is of; None
            where all rows have it.
    """

    def __init__(self, base: Linear, delta: Delta, mask: torch.Tensor | None) -> None:
        self._base = base
        self._delta = delta
        self._mask = mask

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply."""
        down, up = self._delta
        few = x.shape[0] <= _FEW_ROWS
        inner = linear(x.float(), down) if few else linear(x, down.to(x.dtype))
        if self._mask is not None:
            inner.mul_(self._mask)
        if few:
            return self._base(x).add_(inner @ up)
        return self._base(x).addmm_(inner, up.to(x.dtype))


class Mix:
    """Some adapters, put beside each other so that one product computes all.

    Args:
        adapters: different ones, at least one.
    """

    def __init__(self, adapters: Sequence[Adapter]) -> None:
        self.adapters = tuple(adapters)
        self._layers = [self._beside(index) for index in range(len(adapters[0].layers))]

    def of(self, layer: int) -> Mapping[str, tuple[Delta, tuple[int, ...]]]:
        """By linear layer: what is added, and the rank of each adapter in it."""
        return self._layers[layer]

    def _beside(self, index: int) -> dict[str, tuple[Delta, tuple[int, ...]]]:
        found = [adapter.layers[index] for adapter in self.adapters]
        names = {name: None for deltas in found for name in deltas}
        both = {}
        for name in names:
            here = [deltas.get(name) for deltas in found]
            present = [delta for delta in here if delta is not None]
            joined = present[0]
            if len(present) > 1:
                downs, ups = zip(*present, strict=True)
                joined = Delta(torch.cat(downs), torch.cat(ups))
            ranks = tuple(0 if delta is None else delta.down.shape[0] for delta in here)
            both[name] = (joined, ranks)
        return both


class Masks:
    """What lets each row of one pass keep its own adapter; layers of the same ranks share one."""

    def __init__(self, mix: Mix, rows: Sequence[Adapter | None]) -> None:
        places: dict[Adapter | None, int] = {each: at for at, each in enumerate(mix.adapters)}
        self._mix = mix
        self._rows = torch.tensor([places.get(row, -1) for row in rows])[:, None]
        self._all_have_it = len(mix.adapters) == 1 and None not in rows
        self._known: dict[tuple[int, ...], torch.Tensor] = {}

    def adapted(self, layer: int, name: str, base: Linear) -> Linear:
        """The linear layer with what the rows' adapters add."""
        found = self._mix.of(layer).get(name)
        if found is None:
            return base
        delta, ranks = found
        return AdaptedLinear(base, delta, None if self._all_have_it else self._mask(ranks))

    def _mask(self, ranks: tuple[int, ...]) -> torch.Tensor:
        if ranks not in self._known:
            owners = torch.arange(len(ranks)).repeat_interleave(torch.tensor(ranks))
            self._known[ranks] = (self._rows == owners).float()
        return self._known[ranks]


class _Config(BaseModel):
    """PEFT's `adapter_config.json`. What would compute something else than plain LoRA is refused;
    the rest is about training.
    """

    model_config = ConfigDict(extra="ignore")

    peft_type: Literal["LORA"]
    r: int = Field(ge=1, le=MAX_RANK)
    lora_alpha: float = Field(allow_inf_nan=False)
    target_modules: list[str] | str
    bias: Literal["none"] = "none"
    use_rslora: bool = False
    modules_to_save: None = None
    use_dora: Literal[False] = False
    use_qalora: Literal[False] = False
    lora_bias: Literal[False] = False
    fan_in_fan_out: Literal[False] = False
    rank_pattern: dict[str, int] | None = Field(default=None, max_length=0)
    alpha_pattern: dict[str, float] | None = Field(default=None, max_length=0)
    trainable_token_indices: None = None
    target_parameters: list[str] | None = Field(default=None, max_length=0)
    layer_replication: None = None
    alora_invocation_tokens: None = None
    use_bdlora: None = None
    arrow_config: None = None

    @field_validator("modules_to_save", mode="before")
    @classmethod
    def _none_is_none(cls, value: object) -> object:
        return None if value == [] else value

    @property
    def scale(self) -> float:
        """What A and B's product is multiplied with."""
        return self.lora_alpha / (math.sqrt(self.r) if self.use_rslora else self.r)


def read_adapter(folder: Path, layout: Layout) -> Adapter:
    """Read a PEFT folder for a decoder of this layout; blocking.

    Raises:
        ModelFileError: a file is missing or wrong, or it is more than plain LoRA.
    """
    config = _read_config(folder / CONFIG_NAME)
    known = {part.module for each in layout.shapes.values() for part in each.parts}
    targets = config.target_modules
    for target in targets if isinstance(targets, list) else []:
        if target.rpartition(".")[2] not in known:
            raise ModelFileError(
                f"{folder / CONFIG_NAME}: target_modules names {target!r}; only "
                f"{', '.join(sorted(known))} are served. Train the adapter on those."
            )
    path = folder / WEIGHTS_NAME
    if not path.is_file():
        raise ModelFileError(
            f"{folder} has no {WEIGHTS_NAME}; pickles are refused. Save the adapter with "
            "`save_pretrained(..., safe_serialization=True)`."
        )
    check_safetensors(path)
    try:
        with safe_open(str(path), framework="pt") as file:
            return _Reader(path, file, config, layout).adapter()
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"{path} cannot be read: {error}") from error


def _read_config(path: Path) -> _Config:
    try:
        with path.open("rb") as file:
            return _Config.model_validate_json(file.read(_MAX_CONFIG_BYTES))
    except FileNotFoundError as error:
        raise ModelFileError(f"{path.parent} has no {path.name}: it is no adapter.") from error
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelFileError(
            f"{path}: {where}: {first['msg']}. "
            f"Only plain LoRA of a rank up to {MAX_RANK} is served."
        ) from error


class _Reader:
    """Puts the tensors of one file together; their shapes are checked before they are read."""

    def __init__(self, path: Path, file: Any, config: _Config, layout: Layout) -> None:
        self._path = path
        self._file = file
        self._config = config
        self._layout = layout
        self._keys: dict[tuple[int, str, str], str] = {}

    def adapter(self) -> Adapter:
        modules = {part.module for each in self._layout.shapes.values() for part in each.parts}
        for key in self._file.keys():  # noqa: SIM118 - it is no mapping
            match = _KEY.fullmatch(key)
            layer = int(match["layer"]) if match else self._layout.layers
            if match is None or layer >= self._layout.layers or match["module"] not in modules:
                raise ModelFileError(f"{self._path} has {key!r}, which fits nothing in the model.")
            self._keys[layer, match["module"], match["half"]] = key
        if not self._keys:
            raise ModelFileError(f"{self._path} holds no adapter: it is empty.")
        return Adapter(tuple(self._deltas(index) for index in range(self._layout.layers)))

    def _deltas(self, layer: int) -> dict[str, Delta]:
        deltas = {}
        for name, each in self._layout.shapes.items():
            downs, ups = [], []
            for part in each.parts:
                halves = [self._keys.get((layer, part.module, half)) for half in "AB"]
                if halves == [None, None]:
                    continue
                rank = self._config.r
                downs.append(self._tensor(halves[0], (rank, each.inputs), part.module))
                up = self._tensor(halves[1], (part.outputs, rank), part.module)
                placed = torch.zeros(rank, each.outputs, dtype=torch.float32)
                placed[:, part.first : part.first + part.outputs] = up.T * self._config.scale
                ups.append(placed)
            if downs:
                deltas[name] = Delta(torch.cat(downs), torch.cat(ups))
        return deltas

    def _tensor(self, key: str | None, wanted: tuple[int, int], module: str) -> torch.Tensor:
        if key is None:
            raise ModelFileError(f"{self._path} has only one of lora_A and lora_B for {module}.")
        found = tuple(self._file.get_slice(key).get_shape())
        if found != wanted:
            raise ModelFileError(
                f"{self._path}: {key} is {found}, where the model takes {wanted}: the adapter was "
                "trained on another model, or with another rank than its configuration says."
            )
        tensor: torch.Tensor = self._file.get_tensor(key).float()
        if not bool(tensor.isfinite().all()):
            raise ModelFileError(f"{self._path}: {key} holds numbers that are not finite.")
        return tensor
