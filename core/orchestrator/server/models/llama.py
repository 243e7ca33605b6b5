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

import torch
from torch.nn.functional import silu

from core.orchestrator.server.models.decoder import Decoder, Precision, tree_shape
from core.orchestrator.server.models.kv_cache import LayerCache
from core.orchestrator.server.models.linear import Linear, pack
from core.orchestrator.server.models.lora import Layout, Masks, Mix, linear_shape


@dataclass(frozen=True)
class _Layer:
    attention_norm: torch.Tensor
    qkv: Linear
    output: Linear
    mlp_norm: torch.Tensor
    gate_up: Linear
    down: Linear
    cache: LayerCache


class LlamaDecoder(Decoder):
    """A `LlamaForCausalLM` of transformers, taken over.

    Args:
        model: transformers' model; its modules are not needed afterwards.
        precision: of the weights. What is between the products is float32 in any case.
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
        self._embedding = model.model.embed_tokens.weight.to(self._dtype)
        self._floor = torch.tensor(math.sqrt(self._hidden * float(config.rms_norm_eps)))
        self._norm = self._scaled(model.model.norm.weight)
        # The head is the embedding in small models, which files of 4 bits too keep in 8.
        head = "int8" if precision == "int4" else precision
        self._head = pack(model.lm_head.weight, head)
        self._cos, self._sin = self._rotations(model.model.rotary_emb)
        heads = [self._heads, self._kv_heads, self._kv_heads]
        self._kinds = torch.arange(3).repeat_interleave(torch.tensor(heads))
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
        mask = _mask(seen.repeat(self._heads // self._kv_heads, 1)).to(self._dtype)

        def attend(queries: torch.Tensor, cache: LayerCache) -> torch.Tensor:
            return cache.mix_many(queries, slot, mask, self._dtype)

        return self._forward(torch.tensor(tokens), slots, positions, kept, attend)

    def decode(
        self, slots: Sequence[int], tokens: Sequence[int], positions: Sequence[int]
    ) -> torch.Tensor:
        """Read one token in each of some different slots."""
        at, where = torch.tensor(positions), torch.tensor(slots)
        low, high = min(slots), max(slots) + 1
        whole = len(slots) == high - low and list(slots) == sorted(slots)
        ends = torch.full((high - low,), max(positions))
        ends[where - low] = at
        mask = _mask(torch.arange(max(positions) + 1) <= ends[:, None])
        mask = mask[:, None].repeat_interleave(self._kv_heads, 0)

        def attend(queries: torch.Tensor, cache: LayerCache) -> torch.Tensor:
            # A view of all slots from the lowest to the highest: rows between are computed in vain,
            # which costs less than a copy of the caches.
            if whole:
                return cache.mix(queries, low, high, mask)
            spread = queries.new_zeros((high - low, *queries.shape[1:]))
            spread[where - low] = queries
            return cache.mix(spread, low, high, mask)[where - low]

        return self._logits(self._forward(torch.tensor(tokens), where, at, at, attend))

    def copy(self, source: int, target: int, length: int) -> None:
        """Let `target` hold the first `length` tokens of `source`."""
        for layer in self._layers:
            layer.cache.copy(source, target, length)

    def _forward(
        self,
        tokens: torch.Tensor,
        slots: torch.Tensor,
        positions: torch.Tensor,
        kept: torch.Tensor,
        attend: Any,
    ) -> torch.Tensor:
        """Hidden states before the last norm: (rows, hidden); keys and values go to row `kept`."""
        hidden: torch.Tensor = self._embedding[tokens].float()
        rows, half = len(tokens), self._head_size // 2
        cos, sin = (table[positions[:, None], self._kinds] for table in (self._cos, self._sin))
        layers = self._adapted(slots.tolist()) if any(self.adapters) else self._layers
        places = layers[0].cache.places(slots, kept)
        for layer in layers:
            normed = self._normed(hidden, layer.attention_norm)
            qkv = layer.qkv(normed).view(rows, -1, self._head_size)
            swapped = torch.cat([qkv[..., half:], qkv[..., :half]], -1)
            turned = torch.addcmul(qkv * cos, swapped, sin)
            layer.cache.write(places, turned[:, self._heads :])
            queries = turned[:, : self._heads].reshape(rows, self._kv_heads, -1, self._head_size)
            hidden = hidden + layer.output(attend(queries, layer.cache).to(self._dtype))
            normed = self._normed(hidden, layer.mlp_norm)
            gate, up = layer.gate_up(normed).chunk(2, -1)
            hidden = hidden + layer.down(silu(gate) * up)
        return hidden

    def _normed(self, hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Root mean square norm (Zhang and Sennrich, 2019), in fewer operations than torch's."""
        length = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)
        normed: torch.Tensor = hidden / torch.hypot(length, self._floor) * weight
        return normed.to(self._dtype)

    def _scaled(self, weight: torch.Tensor) -> torch.Tensor:
        """A norm's weight for `_normed`, which divides by the length instead of the mean."""
        return weight.float() * math.sqrt(self._hidden)

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

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return self._head(self._normed(hidden, self._norm)).float()

    def _rotations(self, rotary: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines, and sines signed for halves that were swapped: (context, 3, head size).

        For queries, which are scaled on the way, for keys, and for values, which stay as they are.
        """
        positions = torch.arange(self.context_length)[None]
        cos, sin = (table[0] for table in rotary(torch.empty(0), positions))
        sin[:, : sin.shape[1] // 2].neg_()
        scale = self._head_size**-0.5
        return (
            torch.stack([cos * scale, cos, torch.ones_like(cos)], 1),
            torch.stack([sin * scale, sin, torch.zeros_like(sin)], 1),
        )

    def _take(self, layer: Any, precision: Precision) -> _Layer:
        attention, mlp = layer.self_attn, layer.mlp
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        return _Layer(
            self._scaled(layer.input_layernorm.weight),
            pack(torch.cat([each.weight for each in projections]), precision),
            pack(attention.o_proj.weight, precision),
            self._scaled(layer.post_attention_layernorm.weight),
            pack(torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]), precision),
            pack(mlp.down_proj.weight, precision),
            LayerCache(self.slots, self._kv_heads, self.context_length, self._head_size),
        )


def _mask(seen: torch.Tensor) -> torch.Tensor:
    """What is added to attention's scores: 0 where seen, else minus infinity."""
    return torch.zeros(seen.shape).masked_fill_(~seen, float("-inf"))
