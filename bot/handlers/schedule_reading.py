"""What a person types to add a schedule, read into the fields of one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from bot.slack.incoming import straight
from core.automation import AISchedule
from core.errors import InvalidRequestError

_FIELDS = {
    "name": "name",
    "cron": "cron",
    "at": "at",
    "tz": "timezone",
    "timezone": "timezone",
    "channel": "channel",
    "jitter": "jitter",
    "misfire": "misfire",
    "grace": "misfire_grace",
    "misfire_grace": "misfire_grace",
    "limit": "catch_up_limit",
    "catch_up_limit": "catch_up_limit",
    "paused": "paused",
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")


def read_schedule(text: str, command: str) -> dict[str, Any]:
    """Read `ID CRON NAME=VALUE … run WORKFLOW NAME=VALUE …`, or `… ask ASSISTANT QUESTION`.

    CRON is five fields; instead, `at DATE TIME` is one moment.

    Raises:
        InvalidRequestError: it is not of that form; the message shows how it should be.
    """
    try:
        words = shlex.split(straight(text))
    except ValueError as error:
        raise InvalidRequestError("A quotation mark is not closed.") from error
    divider = next((n for n, word in enumerate(words) if word.lower() in {"run", "ask"}), None)
    if divider is None or divider == 0 or divider + 1 == len(words):
        raise InvalidRequestError(
            f"Say what is to be done, and when: {command} schedules add ID MINUTE HOUR DAY MONTH "
            "WEEKDAY run WORKFLOW NAME=VALUE …, for example "
            f"{command} schedules add nightly-prune 0 6 * * mon run prune-worktree "
            "repository=shop."
        )
    fields: dict[str, Any] = {"id": words[0], "name": _title(words[0])}
    bare = [word for word in words[1:divider] if "=" not in word]
    fields |= _times(bare)
    for name, value in _pairs(word for word in words[1:divider] if "=" in word):
        if name not in _FIELDS:
            known = ", ".join(sorted(_FIELDS))
            raise InvalidRequestError(f"A schedule has no '{name}'; it has {known}.")
        fields[_FIELDS[name]] = value
    target, rest = words[divider + 1], words[divider + 2 :]
    if words[divider].lower() == "ask":
        question = " ".join(rest)
        return fields | {"assistant": target.rstrip(":"), "prompt": question}
    return fields | {"workflow": target, "with": dict(_pairs(rest))}


def made(fields: dict[str, Any]) -> AISchedule:
    """A schedule of these fields.

    Raises:
        InvalidRequestError: they do not make one; the message names each that is wrong.
    """
    try:
        return AISchedule.model_validate(fields)
    except ValidationError as error:
        raise InvalidRequestError(" ".join(_mends(error))) from error


def _mends(error: ValidationError) -> Iterable[str]:
    for problem in error.errors(include_url=False):
        field = ".".join(str(part) for part in problem["loc"])
        mend = _MENDS.get(field) or problem["msg"].removeprefix("Value error, ").rstrip(".")
        yield f"{field}: {mend}." if field else f"{mend}."


_MENDS = {
    "id": "choose lower-case words joined by hyphens, for example nightly-prune",
    "cron": "write five fields: minute hour day month weekday, for example 0 6 * * mon",
    "at": "write the local time, for example at 2026-12-01 22:00",
    "channel": "write it as #deploys",
    "prompt": "say what is to be asked",
    "misfire": "choose skip, once or all",
}


def _times(bare: list[str]) -> dict[str, str]:
    if not bare:
        return {}
    if bare[0].lower() == "at" and len(bare) in {2, 3}:
        return {"at": " ".join(bare[1:])}
    line = " ".join(bare)
    if len(line.split()) != 5:
        raise InvalidRequestError(
            f"'{line[:80]}' is no time. Write five fields (minute hour day month weekday, for "
            "example 0 6 * * mon), or at 2026-12-01 22:00."
        )
    return {"cron": " ".join(line.split())}


def _pairs(words: Iterable[str]) -> Iterable[tuple[str, str]]:
    given = set()
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise InvalidRequestError(
                f"'{word[:80]}' is not NAME=VALUE. Write values with spaces as name=\"two words\"."
            )
        if name in given:
            raise InvalidRequestError(f"{name} is given twice.")
        given.add(name)
        yield name, value


def _title(schedule_id: str) -> str:
    return schedule_id.replace("-", " ").capitalize()[:120]
