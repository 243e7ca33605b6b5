"""Interactive elements: finding the one that was used, and checking what it was given.

The page may only send what is drawn: a button's value and a menu's options come from the stored
block, never from the browser.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from bot.workspace.block_check import dictionaries
from bot.workspace.errors import PageError
from bot.workspace.protocol import Action
from bot.workspace.records import Json

_OPTION_ELEMENTS = frozenset(
    {"static_select", "multi_static_select", "overflow", "radio_buttons", "checkboxes"}
)
_VALUE_KEYS = (
    "value",
    "selected_option",
    "selected_options",
    "selected_user",
    "selected_users",
    "selected_channel",
    "selected_channels",
    "selected_conversation",
    "selected_conversations",
    "selected_date",
    "selected_time",
    "selected_date_time",
    "rich_text_value",
)
_EMAIL = re.compile(r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
_URL = re.compile(r"^https?://\S+$")


def find_element(blocks: Iterable[Json], block_id: str, action_id: str) -> Json:
    """Finds an interactive element of a message or a view.

    Raises:
        PageError: 404, there is none.
    """
    for block in blocks:
        for item in dictionaries(block):
            if item.get("block_id") == block_id:
                for element in dictionaries(item):
                    if element.get("action_id") == action_id:
                        return element
    raise PageError(
        404,
        "no_such_element",
        f"No element {action_id!r} in block {block_id!r}; it may have changed",
    )


def action_payload(element: Json, action: Action, action_ts: str) -> Json:
    """Makes the entry of `actions` for what was done to an element.

    Raises:
        PageError: 400, the element cannot have that value.
    """
    kind = element["type"]
    if kind != action.type:
        raise PageError(400, "wrong_type", f"The element is a {kind}, not a {action.type}")
    entry: Json = {
        "type": kind,
        "action_id": action.action_id,
        "block_id": action.block_id,
        "action_ts": action_ts,
    }
    if kind in ("button", "workflow_button", "icon_button"):
        for key in ("text", "value", "style", "icon", "url"):
            if key in element:
                entry[key] = element[key]
        return entry
    if kind == "feedback_buttons":
        return entry | _feedback(element, action.value)
    sent = action.model_dump(include=set(_VALUE_KEYS), exclude_none=True)
    _options_are_drawn(element, sent)
    return entry | sent


def _feedback(element: Json, value: str | None) -> Json:
    for side in ("positive_button", "negative_button"):
        if element[side].get("value") == value:
            return {"value": value, "text": element[side]["text"]}
    raise PageError(400, "wrong_value", "The value is neither of the two buttons'")


def _options_are_drawn(element: Json, value: Json) -> None:
    if element["type"] not in _OPTION_ELEMENTS:
        return
    options = list(element.get("options", ()))
    for group in element.get("option_groups", ()):
        options.extend(group["options"])
    drawn = {option["value"] for option in options}
    chosen = [value["selected_option"]] if value.get("selected_option") else []
    chosen += value.get("selected_options") or []
    for option in chosen:
        if option.get("value") not in drawn:
            raise PageError(400, "wrong_option", f"No option has the value {option.get('value')!r}")


def input_values(view: Json, values: dict[str, dict[str, Json]]) -> dict[str, dict[str, Json]]:
    """Keeps of what was typed only what belongs to the view's elements, with their types.

    Raises:
        PageError: 400, a menu has no such option.
    """
    kept: dict[str, dict[str, Json]] = {}
    for block in view["blocks"]:
        for element in dictionaries(block):
            action_id = element.get("action_id")
            sent = values.get(block.get("block_id", ""), {}).get(str(action_id))
            if action_id is None or sent is None or element["type"] in ("button", "overflow"):
                continue
            value = {key: sent[key] for key in _VALUE_KEYS if key in sent}
            _options_are_drawn(element, value)
            kept.setdefault(block["block_id"], {})[action_id] = {"type": element["type"], **value}
    return kept


def input_errors(view: Json, values: dict[str, dict[str, Json]]) -> dict[str, str]:
    """What Slack's own client refuses before it submits: block_id -> sentence."""
    errors: dict[str, str] = {}
    for block in view["blocks"]:
        if block.get("type") != "input":
            continue
        element = block["element"]
        sent = values.get(block["block_id"], {}).get(element["action_id"], {})
        value = next(
            (sent[key] for key in _VALUE_KEYS if sent.get(key) not in (None, "", [])), None
        )
        if value is None:
            if not block.get("optional"):
                errors[block["block_id"]] = "Please complete this required field."
        elif error := _value_error(element, value):
            errors[block["block_id"]] = error
    return errors


def _value_error(element: Json, value: Any) -> str | None:
    kind = element["type"]
    if kind == "plain_text_input":
        if len(value) < element.get("min_length", 0):
            return f"Please enter at least {element['min_length']} characters."
        if len(value) > element.get("max_length", 3_000):
            return f"Please enter at most {element.get('max_length', 3_000)} characters."
    elif kind == "email_text_input" and not _EMAIL.match(value):
        return "Please enter a valid email address."
    elif kind == "url_text_input" and not _URL.match(value):
        return "Please enter a valid URL."
    elif kind == "number_input":
        return _number_error(element, value)
    return None


def _number_error(element: Json, value: str) -> str | None:
    try:
        number = float(value)
    except ValueError:
        return "Please enter a valid number."
    if not element.get("is_decimal_allowed") and number != int(number):
        return "Please enter a whole number."
    low, high = element.get("min_value"), element.get("max_value")
    if low is not None and number < float(low):
        return f"Please enter a number of at least {low}."
    if high is not None and number > float(high):
        return f"Please enter a number of at most {high}."
    return None
