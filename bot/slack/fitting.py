"""Makes blocks fit what Slack takes, as the last resort before posting."""

from __future__ import annotations

import copy

from bot.blocks.layout import BLOCK_LIMIT, TEXT_LIMIT, Json, strings, total

_MARK = "… (cut)"
_LEAST = 60


def fitted(blocks: list[Json]) -> list[Json]:
    """The same blocks, with the longest texts cut until all of them are within 12,000 characters.

    Raises:
        ValueError: two blocks have one `block_id`; that is a mistake in the builder.
    """
    ids = [block["block_id"] for block in blocks if "block_id" in block]
    if len(ids) != len(set(ids)):
        raise ValueError(f"a block_id is used twice: {sorted(ids)}")
    fitting = copy.deepcopy(_few_enough(blocks))
    while (excess := total(fitting) - TEXT_LIMIT) > 0:
        holder, value = max(strings(fitting), key=lambda item: len(item[1]))
        if len(value) <= _LEAST:  # many short texts: there is nothing left to shorten
            fitting.pop(-2 if len(fitting) > 1 else -1)
            continue
        keep = max(len(value) - excess - len(_MARK), _LEAST - len(_MARK))
        holder["text"] = value[:keep] + _MARK
    return fitting


def _few_enough(blocks: list[Json]) -> list[Json]:
    """At most 50 blocks; what stands last (the buttons) stays."""
    if len(blocks) <= BLOCK_LIMIT:
        return blocks
    note: Json = {
        "type": "context",
        "elements": [
            {"type": "plain_text", "text": f"{len(blocks) - BLOCK_LIMIT + 1} parts left out"}
        ],
    }
    return [*blocks[: BLOCK_LIMIT - 2], note, blocks[-1]]
