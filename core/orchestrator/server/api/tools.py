"""Calls of tools: how the model is told of them, and what it may write.

The form is Hermes' (https://github.com/NousResearch/Hermes-Function-Calling), which many models
are trained on: `<tool_call>{"name": …, "arguments": …}</tool_call>`. A model whose own chat
template takes tools in this form is told by its template, any other by a system text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from core.orchestrator.server.api.shield import shield, shield_all
from core.orchestrator.server.api.wire import ChatBody, Function, Message, NamedTool
from core.orchestrator.server.models.constraint import inline_json

CALL = "<tool_call>"
CALL_NAME = '\n{"name": "'
CALL_ARGUMENTS = '", "arguments": '
CALL_END = "}\n</tool_call>"
MARKERS = (
    CALL,
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "<tools>",
    "</tools>",
)
_MAX_CALLS = 16  # in one reply
_MAX_DEPTH = 64  # of arguments that were written earlier

_INSTRUCTION = """You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{functions}
</tools>

For each function call, return a JSON object with function name and arguments within \
<tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""


def speaks_hermes(template: str) -> bool:
    """Whether a chat template takes tools and has their calls written as here."""
    return "tools" in template and CALL in template and "<function=" not in template


def grammar(body: ChatBody) -> str | None:
    """What the reply may be, in llguidance's Lark dialect; None where nothing may be called.

    Syntax: https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md
    """
    functions = body.may_call
    if not functions:
        return None
    several = body.parallel_tool_calls is not False and not isinstance(body.tool_choice, NamedTool)
    more = f" ({_text(chr(10) + CALL)} call){{0,{_MAX_CALLS - 1}}}" if several else ""
    rules = [f"calls: call{more}"]
    if body.tool_choice not in (None, "auto"):
        rules.append(f"start: {_text(CALL)} calls")
    elif (schema := _reply_schema(body)) is not None:
        rules += [f"start: reply | {_text(CALL)} calls", f"reply: {inline_json(schema)}"]
    else:
        # Free text ends where a call begins, and whatever has begun like a call is one.
        rules += [
            "start: FREE | begun calls",
            f"begun[lazy]: ANY {_text(CALL)}",
            f"FREE: ANY & ~/(?s:.*){CALL}(?s:.*)/",
            "ANY: /(?s:.*)/",
        ]
    rules.append("call: " + " | ".join(f"call_{at}" for at in range(len(functions))))
    for at, function in enumerate(functions):
        begin = _text(CALL_NAME + function.name + CALL_ARGUMENTS)
        arguments = inline_json(_parameters(function))
        rules.append(f"call_{at}: {begin} {arguments} {_text(CALL_END)}")
    return "\n".join(rules)


def conversation(body: ChatBody, *, by_template: bool) -> tuple[list[Any], list[Any]]:
    """Messages and tools as a chat template takes them.

    Args:
        by_template: the template is told of tools; else they are in the messages, and there are
            none beside these.
    """
    in_play = body.tools is not None or any(message.tool_calls for message in body.messages)
    if not in_play:
        plain = [{"role": item.template_role, "content": item.text} for item in body.messages]
        return plain, []
    # All of them, whichever may be called: a prompt that begins like the last is known already.
    tools = [_signature(tool.function) for tool in body.tools or ()] if body.may_call else []
    if by_template:
        return [_structured(message) for message in body.messages], tools
    return _written(body.messages, tools), []


def _reply_schema(body: ChatBody) -> dict[str, Any] | None:
    shape = body.response_format
    if shape is None or shape.type == "text":
        return None
    return shape.json_schema.schema_ if shape.json_schema else {"type": "object"}


def _parameters(function: Function) -> dict[str, Any]:
    """The schema of the arguments: an object, and no properties but those that are named."""
    schema = dict(function.parameters or {})
    if not {"$ref", "allOf", "anyOf", "oneOf", "patternProperties"} & schema.keys():
        schema |= {"type": "object"}
        schema.setdefault("additionalProperties", False)
    return schema


def _signature(function: Function) -> dict[str, Any]:
    described = function.model_dump(include={"name", "description"}, exclude_none=True)
    described["parameters"] = function.parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": shield_all(described, MARKERS)}


def _structured(message: Message) -> dict[str, Any]:
    """A message for a template that knows calls and results."""
    plain: dict[str, Any] = {
        "role": message.template_role,
        "content": shield(message.text, MARKERS),
    }
    if message.tool_calls:
        plain["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.function.name,
                    "arguments": shield_all(_value(call.function.arguments), MARKERS),
                },
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        plain["tool_call_id"] = message.tool_call_id
    return plain


def _written(messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """Calls, results and tools as text, for a template that knows none of them."""
    turns: list[dict[str, str]] = []
    answering = False
    for message in messages:
        text = shield(message.text, MARKERS)
        if message.role == "tool":
            text = f"<tool_response>\n{text}\n</tool_response>"
            if answering:  # the results of one turn are one turn
                turns[-1]["content"] += f"\n{text}"
                continue
            turns.append({"role": "user", "content": text})
        else:
            calls = [
                _call(call.function.name, call.function.arguments)
                for call in message.tool_calls or ()
            ]
            text = "\n".join([text, *calls] if text else calls)
            turns.append({"role": message.template_role, "content": text})
        answering = message.role == "tool"
    if tools:
        signatures = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
        instruction = _INSTRUCTION.format(functions=signatures)
        if turns[0]["role"] == "system":
            turns[0]["content"] += f"\n\n{instruction}"
        else:
            turns.insert(0, {"role": "system", "content": instruction})
    return turns


def _call(name: str, arguments: str) -> str:
    value = json.dumps(_value(arguments), ensure_ascii=False, separators=(",", ":"))
    return CALL + CALL_NAME + name + CALL_ARGUMENTS + shield(value, MARKERS) + CALL_END


def _value(arguments: str) -> Any:
    """Arguments as a value; what is no JSON (a call that was cut short) or too deep stays text."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    return value if _is_shallow(value, _MAX_DEPTH) else arguments


def _is_shallow(value: Any, levels: int) -> bool:
    """Whether a JSON value has at most so many levels: what walks it later goes by recursion."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return True
    return levels > 0 and all(_is_shallow(item, levels - 1) for item in value)


def _text(text: str) -> str:
    """A literal of the grammar."""
    return json.dumps(text)
