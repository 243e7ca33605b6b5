"""Block Kit as the workspace accepts it: checked by libraries, then completed as Slack does.

`slack_sdk`'s models know the fields and limits of every block and element, nested ones too;
`slackblocks` knows which block may be on which surface and the totals of a message. Neither
checks unique ids or the sum of all text, so those are checked here.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any, Literal

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block as SdkBlock
from slackblocks import Block, HomeTabView, Message, ModalView, Text
from slackblocks.errors import InvalidUsageError

from bot.workspace.errors import MethodError
from bot.workspace.records import Json

Surface = Literal["message", "modal", "home"]

_MESSAGE_TEXT_TOTAL = 13_200  # undocumented; slackapi/bolt-js issue 2509
_VIEW_TEXTS = ("title", "submit", "close")
_MALFORMED = (
    AssertionError,
    AttributeError,
    IndexError,
    InvalidUsageError,
    KeyError,
    SlackObjectFormationError,
    TypeError,
    ValueError,
)


class _Raw(Block):
    """A block that slackblocks knows but cannot read back: only its type is looked at."""

    def __init__(self, data: Json) -> None:
        self._data = data

    def _resolve(self) -> Json:
        return self._data


def dictionaries(value: Any) -> Iterator[Json]:
    """Walks every JSON object inside a value, outermost first."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from dictionaries(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from dictionaries(inner)


def _text_objects_are_sound(block: Json) -> None:
    if block.get("type") == "header" and block.get("text", {}).get("type") != "plain_text":
        raise ValueError("header.text must be a plain_text object")
    if block.get("type") == "section" and not isinstance(block.get("text", {}), dict):
        raise ValueError("section.text must be a text object")
    for item in dictionaries(block):
        if item.get("type") in ("plain_text", "mrkdwn") and not (
            isinstance(item.get("text"), str) and item["text"]
        ):
            raise ValueError(f"{item['type']} object needs a non-empty text")


def _parse(block: Any) -> Block:
    if not isinstance(block, dict) or not isinstance(block.get("type"), str):
        raise TypeError("a block is an object with a type")
    _text_objects_are_sound(block)
    known = SdkBlock.parse(block)
    if known is not None:
        known.validate_json()
    readable = {key: value for key, value in block.items() if key != "accessory"}
    try:
        return Block.from_dict(readable)
    except NotImplementedError:
        return _Raw(block)


def _complete(blocks: list[Json]) -> list[Json]:
    completed = []
    for block in blocks:
        fresh = _with_action_ids(block)
        fresh.setdefault("block_id", secrets.token_urlsafe(4))
        completed.append(fresh)
    return completed


def _with_action_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_action_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    fresh = {key: _with_action_ids(item) for key, item in value.items()}
    for key in ("accessory", "element"):
        if isinstance(fresh.get(key), dict) and fresh[key].get("type") != "image":
            fresh[key].setdefault("action_id", secrets.token_urlsafe(4))
    if value.get("type") in ("actions", "context_actions"):
        for element in fresh.get("elements", []):
            element.setdefault("action_id", secrets.token_urlsafe(4))
    return fresh


def _ids_are_unique(blocks: list[Json]) -> None:
    block_ids = [block["block_id"] for block in blocks if "block_id" in block]
    if len(set(block_ids)) != len(block_ids):
        raise ValueError("block_id is used twice")
    for block in blocks:
        action_ids = [item["action_id"] for item in dictionaries(block) if "action_id" in item]
        if len(set(action_ids)) != len(action_ids):
            raise ValueError("action_id is used twice in a block")


def checked_blocks(blocks: Any, surface: Surface) -> list[Json]:
    """Checks blocks and fills in missing `block_id` and `action_id`.

    Args:
        blocks: what the bot sent.
        surface: where they are to be shown.

    Returns:
        The blocks, with an id on each block and interactive element.

    Raises:
        MethodError: `invalid_blocks_format` (no list), `invalid_blocks` with the reason in
            `messages`, or `msg_blocks_too_long`.
    """
    if not isinstance(blocks, list):
        raise MethodError("invalid_blocks_format")
    parsed: list[Block] = []
    for index, block in enumerate(blocks):
        try:
            parsed.append(_parse(block))
        except _MALFORMED as error:
            raise MethodError(
                "invalid_blocks", [f"[ERROR] {error} [json-pointer:/blocks/{index}]"]
            ) from error
    try:
        _ids_are_unique(blocks)
        if not parsed:
            return []
        if surface == "message":
            Message("_", text="_", blocks=parsed)
        elif surface == "modal":
            ModalView(title="_", submit="_", blocks=parsed)
        else:
            HomeTabView(blocks=parsed)
    except _MALFORMED as error:
        raise MethodError("invalid_blocks", [f"[ERROR] {error} [json-pointer:/blocks]"]) from error
    if surface == "message" and text_total(blocks) > _MESSAGE_TEXT_TOTAL:
        raise MethodError("msg_blocks_too_long")
    return _complete(blocks)


def text_total(blocks: list[Json]) -> int:
    """Sums the characters of all texts in blocks."""
    return sum(
        len(item["text"]) for item in dictionaries(blocks) if isinstance(item.get("text"), str)
    )


def checked_view(view: Any, kind: Literal["modal", "home"]) -> Json:
    """Checks a view and completes its blocks.

    Raises:
        MethodError: `invalid_arguments` with the reason, or what `checked_blocks` raises.
    """
    if not isinstance(view, dict) or view.get("type") != kind:
        raise MethodError("invalid_arguments", [f"[ERROR] view.type must be {kind}"])
    if not view.get("blocks"):
        raise MethodError("invalid_arguments", ["[ERROR] missing required field: view.blocks"])
    blocks = checked_blocks(view["blocks"], kind)
    raw: list[Block] = [_Raw(block) for block in blocks]
    limits = {key: view.get(key) for key in ("private_metadata", "callback_id", "external_id")}
    try:
        if kind == "home":
            HomeTabView(blocks=raw, **limits)
        else:
            texts = {name: Text.from_dict(view[name]) for name in _VIEW_TEXTS if view.get(name)}
            ModalView(
                title=texts["title"],
                blocks=raw,
                submit=texts.get("submit"),
                close=texts.get("close"),
                **limits,
            )
    except _MALFORMED as error:
        raise MethodError("invalid_arguments", [f"[ERROR] {error} [json-pointer:/view]"]) from error
    return {**view, "blocks": blocks}
