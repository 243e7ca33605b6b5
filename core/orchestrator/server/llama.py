"""The Llama architecture, written for few operations a token and many conversations at once.

Touvron et al., "LLaMA" (2023), with grouped-query attention. Weights come from transformers' model,
whose results it gives; transformers' own modules take some 40 operations a layer where this takes
15, which is what decoding waits for. Measured on 2 cores with the default model, tokens/s at one
and at eight rows: transformers' bfloat16 47 and 140; here bfloat16 60 and 345, int4 153 and 510.
torch.compile of the layer gave 170 and 505 for 14 s at each start: not worth it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.nn.functional import rms_norm, scaled_dot_product_attention, silu

from core.orchestrator.server.decoder import Decoder, Precision, tree_shape
from core.orchestrator.server.linear import Linear, pack
from core.orchestrator.server.lora import Layout, Masks, Mix, linear_shape

_STEP = 64  # attention looks at whole multiples of this: fewer shapes


@dataclass(frozen=True)
class _Layer:
    attention_norm: torch.Tensor
    qkv: Linear
    output: Linear
    mlp_norm: torch.Tensor
    gate_up: Linear
    down: Linear
    keys: torch.Tensor  # (slots, context, key-value heads, head size)
    values: torch.Tensor


class LlamaDecoder(Decoder):
    """A `LlamaForCausalLM` of transformers, taken over.

    Args:
        model: transformers' model; its modules are not needed afterwards.
        precision: of the weights; activations and caches are float32 there, else bfloat16.
        slots: conversations at once. Memory of a slot is used only as far as it is written.
    """

    def __init__(self, model: Any, precision: Precision, slots: int) -> None:
        config = model.config
        super().__init__(slots, int(config.max_position_embeddings), f"llama, {precision}")
        self._dtype = torch.float32 if precision == "float32" else torch.bfloat16
        self._hidden = int(config.hidden_size)
        self._heads = int(config.num_attention_heads)
        self._kv_heads = int(config.num_key_value_heads)
        self._head_size = int(getattr(config, "head_dim", None) or self._hidden // self._heads)
        self._epsilon = float(config.rms_norm_eps)
        self._embedding = model.model.embed_tokens.weight.to(self._dtype)
        self._norm = model.model.norm.weight.to(self._dtype)
        # The head is the embedding in small models, which files of 4 bits too keep in 8.
        head = "int8" if precision == "int4" else precision
        self._head = pack(model.lm_head.weight, head)
        self._cos, self._sin = self._rotations(model.model.rotary_emb)
        self._layers = [self._take(layer, precision) for layer in model.model.layers]
        self._mix: Mix | None = None
        queried, keyed = self._heads * self._head_size, self._kv_heads * self._head_size
        inner = int(config.intermediate_size)
        self.layout = Layout(
            len(self._layers),
            {
                "qkv": linear_shape(
                    self._hidden, {"q_proj": queried, "k_proj": keyed, "v_proj": keyed}
                ),
                "output": linear_shape(queried, {"o_proj": self._hidden}),
                "gate_up": linear_shape(self._hidden, {"gate_proj": inner, "up_proj": inner}),
                "down": linear_shape(inner, {"down_proj": self._hidden}),
            },
        )

    @staticmethod
    def fits(model: Any) -> bool:
        """True where this code computes what the model's own would."""
        config = model.config
        rotation = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
        return (
            config.model_type == "llama"
            and config.hidden_act == "silu"
            and not config.attention_bias
            and not config.mlp_bias
            and rotation in ("default", "linear", "llama3")
        )

    def prefill(self, slot: int, tokens: Sequence[int], start: int) -> torch.Tensor:
        """Read `tokens` at positions `start`...; logits after the last."""
        positions = torch.arange(start, start + len(tokens))
        seen = torch.arange(start + len(tokens))[None] <= positions[:, None]
        return self._logits(self._read(slot, tokens, start, positions, seen)[-1:])[0]

    def score(
        self, slot: int, tokens: Sequence[int], parents: Sequence[int], start: int
    ) -> torch.Tensor:
        """Read a tree of tokens; logits after each."""
        depths, before = tree_shape(parents)
        seen = torch.cat([torch.ones(len(tokens), start, dtype=torch.bool), before], 1)
        return self._logits(self._read(slot, tokens, start, start + depths, seen))

    def _read(
        self,
        slot: int,
        tokens: Sequence[int],
        start: int,
        positions: torch.Tensor,
        seen: torch.Tensor,
    ) -> torch.Tensor:
        """Hidden states of tokens kept from row `start` of a slot; `seen`: (rows, start + rows)."""
        count, end = len(tokens), start + len(tokens)
        slots, kept = torch.full((count,), slot), torch.arange(start, end)
        mask = self._mask(seen.repeat(self._heads // self._kv_heads, 1))

        def attend(queries: torch.Tensor, layer: _Layer) -> torch.Tensor:
            # Heads that share keys become rows of one head: (1, key-value heads, group * rows, …).
            grouped = queries.permute(1, 2, 0, 3).reshape(1, self._kv_heads, -1, self._head_size)
            keys, values = layer.keys[slot : slot + 1, :end], layer.values[slot : slot + 1, :end]
            mixed = self._attention(grouped, keys, values, mask)
            apart = mixed.view(self._kv_heads, -1, count, self._head_size)
            return apart.permute(2, 0, 1, 3).reshape(count, -1)

        return self._forward(torch.tensor(tokens), slots, positions, kept, attend)

    def decode(
        self, slots: Sequence[int], tokens: Sequence[int], positions: Sequence[int]
    ) -> torch.Tensor:
        """Read one token in each of some different slots."""
        at, where = torch.tensor(positions), torch.tensor(slots)
        low, high = min(slots), max(slots) + 1
        whole = len(slots) == high - low and list(slots) == sorted(slots)
        longest = max(positions) + 1
        if len(slots) > 1:
            longest = min(-(-longest // _STEP) * _STEP, self.context_length)
        ends = torch.full((high - low,), longest - 1)
        ends[where - low] = at
        alone = len(slots) == 1
        mask = None if alone else self._mask(torch.arange(longest) <= ends[:, None])[:, None, None]

        def attend(queries: torch.Tensor, layer: _Layer) -> torch.Tensor:
            # A view of all slots from the lowest to the highest: rows between are computed in vain,
            # which costs less than a copy of the caches.
            if not whole:
                spread = queries.new_zeros((high - low, *queries.shape[1:]))
                spread[where - low] = queries
                queries = spread
            keys, values = layer.keys[low:high, :longest], layer.values[low:high, :longest]
            mixed = self._attention(queries, keys, values, mask).flatten(1)
            return mixed if whole else mixed[where - low]

        return self._logits(self._forward(torch.tensor(tokens), where, at, at, attend))

    def copy(self, source: int, target: int, length: int) -> None:
        """Let `target` hold the first `length` tokens of `source`."""
        for layer in self._layers:
            for cache in (layer.keys, layer.values):
                cache[target, :length] = cache[source, :length]

    def _forward(
        self,
        tokens: torch.Tensor,
        slots: torch.Tensor,
        positions: torch.Tensor,
        kept: torch.Tensor,
        attend: Any,
    ) -> torch.Tensor:
        """Hidden states before the last norm: (rows, hidden); keys and values go to row `kept`."""
        hidden: torch.Tensor = self._embedding[tokens]
        cos, sin = self._cos[positions][:, None], self._sin[positions][:, None]
        rows, queried = len(tokens), self._heads * self._head_size
        keyed, half = queried + self._kv_heads * self._head_size, self._head_size // 2
        shape = (self._hidden,)
        layers = self._adapted(slots.tolist()) if any(self.adapters) else self._layers
        for layer in layers:
            normed = rms_norm(hidden, shape, layer.attention_norm, self._epsilon)
            qkv = layer.qkv(normed)
            turning = qkv[:, :keyed].view(rows, -1, self._head_size)
            turned = torch.cat([turning[..., half:], turning[..., :half]], -1)
            turned = torch.addcmul(turning * cos, turned, sin)
            layer.keys[slots, kept] = turned[:, self._heads :]
            layer.values[slots, kept] = qkv[:, keyed:].view(rows, -1, self._head_size)
            queries = turned[:, : self._heads].view(rows, self._kv_heads, -1, self._head_size)
            hidden = hidden + layer.output(attend(queries, layer))
            normed = rms_norm(hidden, shape, layer.mlp_norm, self._epsilon)
            gate, up = layer.gate_up(normed).chunk(2, -1)
            hidden = hidden + layer.down(silu(gate) * up)
        return hidden

    def _adapted(self, slots: Sequence[int]) -> Sequence[_Layer]:
        """The layers with the adapters of these slots, one for each row."""
        rows = [self.adapters[slot] for slot in slots]
        wanted = {adapter: None for adapter in rows if adapter is not None}
        if not wanted:
            return self._layers
        mix = self._mix
        if mix is None or set(mix.adapters) != wanted.keys():
            mix = self._mix = Mix(list(wanted))
        masks = Masks(mix, rows)
        return [
            replace(
                layer,
                qkv=masks.adapted(index, "qkv", layer.qkv),
                output=masks.adapted(index, "output", layer.output),
                gate_up=masks.adapted(index, "gate_up", layer.gate_up),
                down=masks.adapted(index, "down", layer.down),
            )
            for index, layer in enumerate(self._layers)
        ]

    def _attention(
        self,
        queries: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        mixed: torch.Tensor = scaled_dot_product_attention(
            queries, keys.transpose(1, 2), values.transpose(1, 2), attn_mask=mask
        )
        return mixed

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        normed = rms_norm(hidden, (self._hidden,), self._norm, self._epsilon)
        return self._head(normed).float()

    def _mask(self, seen: torch.Tensor) -> torch.Tensor:
        """What is added to attention's scores: 0 where seen, else minus infinity."""
        return torch.zeros(seen.shape, dtype=self._dtype).masked_fill_(~seen, float("-inf"))

    def _rotations(self, rotary: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines, and sines signed for halves that were swapped: (context, head size)."""
        positions = torch.arange(self.context_length)[None]
        cos, sin = rotary(torch.empty(0, dtype=self._dtype), positions)
        signed = sin[0].clone()
        signed[:, : signed.shape[1] // 2].neg_()
        return cos[0], signed

    def _take(self, layer: Any, precision: Precision) -> _Layer:
        attention, mlp = layer.self_attn, layer.mlp
        cache = (self.slots, self.context_length, self._kv_heads, self._head_size)
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        return _Layer(
            layer.input_layernorm.weight.to(self._dtype),
            pack(torch.cat([each.weight for each in projections]), precision),
            pack(attention.o_proj.weight, precision),
            layer.post_attention_layernorm.weight.to(self._dtype),
            pack(torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]), precision),
            pack(mlp.down_proj.weight, precision),
            _lazy_zeros(cache, self._dtype),
            _lazy_zeros(cache, self._dtype),
        )


def _lazy_zeros(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Zeros whose memory is not used before it is written; torch's own are written at once."""
    untouched = np.zeros(math.prod(shape) * dtype.itemsize, np.uint8)
    return torch.from_numpy(untouched).view(dtype).view(shape)
