"""Fill in a workflow's parameters from what a person typed. Nothing is guessed.

Each value stands in the text as it is, fits its parameter, and is the only one that does; what is
not so clear is listed as missing and a person is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from bot.assistants.vocabulary import UNITS
from core.errors import InvalidRequestError
from core.records import Provenance, Value
from core.state import AIWorkflow
from core.workflows.definition import Parameter
from core.workflows.plan import PlannedArgument

MAX_TEXT = 12_000

_ASSIGNMENT = re.compile(
    r"(?<![\w-])([a-z][a-z0-9_-]{0,62})\s*=\s*(\"[^\"\n]*\"|'[^'\n]*'|“[^”\n]*”|[^\s,;]+)",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"\"[^\"\n]+\"|'[^'\n]+'(?!\w)|“[^”\n]+”|[^\s,;]+")
_QUOTES = "\"'“”`"
_AROUND = _QUOTES + "()[]{}<>*#"
_BETWEEN = frozenset({"is", "called", "named", "number", "no", "id", "name", "#", "the"})
# Words that people write beside a value. A pattern that these fit says nothing about a word.
_ORDINARY = ("please", "release", "the", "undo", "Production", "a", "defaced", "effaced", "acceded")


class Filled(NamedTuple):
    """Arguments by parameter, and the parameters that have neither a value nor a default."""

    arguments: dict[str, PlannedArgument]
    missing: tuple[str, ...]


class _Word(NamedTuple):
    text: str
    quoted: bool


def fill(workflow: AIWorkflow, text: str, user: str) -> Filled:
    """Read arguments from a request, in order of certainty.

    1. `name=value`; 2. a choice of the parameter that the text names; 3. the value after the
    parameter's name (`tag v1.2.3`); 4. the only word that fits the parameter's pattern or type.

    Args:
        user: Slack user id, for the provenance.
    """
    text = text[:MAX_TEXT]
    slots = [_Slot(name, parameter) for name, parameter in workflow.parameters.items()]
    found, refused = _assigned(slots, text)
    words = list(_words(_ASSIGNMENT.sub(" ", text)))
    for find in (_named_choice, _after_name, _only_fitting):
        for slot in slots:
            if slot.name in found or slot.name in refused or slot.parameter.type == "boolean":
                continue
            taken = {str(value) for value in found.values()}
            value = find(slot, [word for word in words if word.text not in taken])
            if value is not None:
                found[slot.name] = value
    provenance = Provenance(kind="person", detail=f"typed by {user}")
    return Filled(
        {
            slot.name: PlannedArgument(value=found[slot.name], provenance=provenance)
            for slot in slots
            if slot.name in found
        },
        tuple(
            slot.name
            for slot in slots
            if slot.name not in found and (slot.parameter.default is None or slot.name in refused)
        ),
    )


class _Slot(NamedTuple):
    """A parameter that wants a value."""

    name: str
    parameter: Parameter

    def read(self, text: str) -> Value | None:
        try:
            return self.parameter.read(self.name, text)
        except InvalidRequestError:
            return None

    @property
    def is_free_text(self) -> bool:
        restricted = self.parameter.pattern or self.parameter.choices
        return self.parameter.type == "string" and not restricted


def _assigned(slots: list[_Slot], text: str) -> tuple[dict[str, Value], set[str]]:
    """Read `name=value`; what is wrong or given twice is refused, so that a person is asked."""
    found: dict[str, Value] = {}
    refused: set[str] = set()
    by_name = {slot.name.lower().replace("_", "-"): slot for slot in slots}
    for match in _ASSIGNMENT.finditer(text):
        slot = by_name.get(match[1].lower().replace("_", "-"))
        if slot is None:
            continue
        value = slot.read(match[2].strip(_AROUND))
        if value is None or found.get(slot.name, value) != value:
            refused.add(slot.name)
        else:
            found[slot.name] = value
    return {name: value for name, value in found.items() if name not in refused}, refused


def _named_choice(slot: _Slot, words: list[_Word]) -> Value | None:
    spoken = {word.text.casefold() for word in words}
    named = [choice for choice in slot.parameter.choices if str(choice).casefold() in spoken]
    return named[0] if len(named) == 1 else None


def _after_name(slot: _Slot, words: list[_Word]) -> Value | None:
    names = {part for part in re.split(r"[_-]", slot.name.lower()) if len(part) > 1} - _BETWEEN
    values: set[Value] = set()
    for position, word in enumerate(words):
        if word.text.lower().rstrip(":") not in names:
            continue
        after = words[position + 1 : position + 4]
        while after and after[0].text.lower().rstrip(":") in _BETWEEN | names:
            after.pop(0)
        if after and (after[0].quoted or _is_name(after[0].text)):
            value = slot.read(after[0].text)
            if value is not None:
                values.add(value)
    return values.pop() if len(values) == 1 else None


def _only_fitting(slot: _Slot, words: list[_Word]) -> Value | None:
    if slot.parameter.choices or slot.is_free_text:
        return None
    says_nothing = any(slot.read(word) is not None for word in _ORDINARY)
    values: set[Value] = set()
    for word, following in pairwise([*words, _Word("", quoted=False)]):
        is_quantity = word.text.isdecimal() and following.text.lower().rstrip("s") in UNITS
        if is_quantity or (says_nothing and not _is_name(word.text)):
            continue
        value = slot.read(word.text)
        if value is not None:
            values.add(value)
    return values.pop() if len(values) == 1 else None


def _is_name(text: str) -> bool:
    """Whether it looks like a name that somebody gave, not like a word of the sentence."""
    return any(character.isdigit() or character in "-_./" for character in text)


def _words(text: str) -> Iterator[_Word]:
    for match in _TOKEN.finditer(text):
        raw = match[0]
        quoted = len(raw) > 2 and raw[0] in "\"'“`" and raw[-1] in "\"'”`"
        word = raw.strip(_AROUND)
        if not quoted:
            word = word.rstrip(".!?:").strip(_AROUND)
        if word:
            yield _Word(word, quoted)
        if word.startswith(("https://", "http://")):
            # People paste the page of what they mean: its parts are values, too.
            yield from (
                _Word(part, quoted=False) for part in re.split(r"[/?#&=|]", word)[3:] if part
            )
