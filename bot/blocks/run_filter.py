"""Which runs somebody wants to see: `mine state=failed workflow=deploy target=web-1 since=7d`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from pydantic import Field, ValidationError

from core.errors import InvalidRequestError
from core.records import Frozen, Instant
from core.workflows.definition import parse_duration, spoken
from core.workflows.run import RunState

PAGE = 10
USAGE = "[mine] [state=STATE] [workflow=ID] [target=NAME] [since=7d]"
_OPEN = tuple(state for state in RunState if not state.final)
_ENDED = tuple(state for state in RunState if state.final)
_GROUPS = {"open": _OPEN, "ended": _ENDED}


class RunFilter(Frozen):
    """What a list is narrowed to; a button for another page carries it.

    Attributes:
        requester: a Slack user id.
        before: only runs that were asked for before then, for the next page.
    """

    requester: str | None = Field(default=None, max_length=120)
    states: tuple[RunState, ...] = ()
    workflow: str | None = Field(default=None, max_length=63)
    target: str | None = Field(default=None, max_length=300)
    since: timedelta | None = None
    before: Instant | None = None

    @classmethod
    def typed(cls, text: str, user: str) -> RunFilter:
        """What follows `runs`.

        Raises:
            InvalidRequestError: a part of it is not understood.
        """
        fields: dict[str, object] = {}
        for word in text.split():
            if word.lower() == "mine":
                fields["requester"] = user
                continue
            name, _, value = word.partition("=")
            reader = _READERS.get(name.lower())
            if reader is None or not value:
                raise InvalidRequestError(f"'{word[:60]}' is not understood: runs {USAGE}")
            fields["states" if name.lower() == "state" else name.lower()] = reader(value)
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise InvalidRequestError(f"Too long: runs {USAGE}") from error

    @classmethod
    def read(cls, value: str) -> RunFilter:
        """From a button.

        Raises:
            InvalidRequestError: it is not one of ours.
        """
        try:
            return cls.model_validate_json(value)
        except ValidationError as error:
            raise InvalidRequestError("This list is too old; ask for it again.") from error

    def older_than(self, before: datetime | None) -> RunFilter:
        """The same, before a moment; None begins with the newest."""
        return self.model_copy(update={"before": before})

    def describe(self) -> str:
        """In words, empty where nothing is left out."""
        named = {frozenset(states): [name] for name, states in _GROUPS.items()}
        words = named.get(frozenset(self.states), [str(state) for state in self.states])
        parts = [" or ".join(words)] if words else []
        parts += ["yours"] if self.requester else []
        parts += [f"of the workflow {self.workflow}"] if self.workflow else []
        parts += [f"on {self.target}"] if self.target else []
        parts += [f"of the last {spoken(self.since)}"] if self.since else []
        return ", ".join(parts)


def _states(value: str) -> tuple[RunState, ...]:
    states: list[RunState] = []
    for word in value.lower().split(","):
        if word in _GROUPS:
            states += _GROUPS[word]
        elif word in set(RunState):
            states.append(RunState(word))
        else:
            known = ", ".join([*_GROUPS, *RunState])
            raise InvalidRequestError(f"There is no state '{word[:40]}'. There are: {known}.")
    return tuple(dict.fromkeys(states))


def _since(value: str) -> timedelta:
    try:
        parsed = parse_duration(value)
    except ValueError as error:
        raise InvalidRequestError(f"since={value[:40]}: {error}.") from error
    if not isinstance(parsed, timedelta) or parsed <= timedelta(0):
        raise InvalidRequestError(f"since={value[:40]}: write a duration such as 12h or 7d.")
    return parsed


_READERS: dict[str, Callable[[str], object]] = {
    "state": _states,
    "workflow": str,
    "target": str,
    "since": _since,
}
