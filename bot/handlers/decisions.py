"""Countersigning, denying, cancelling, confirming, trying again, breaking the glass."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from bot import names
from bot.blocks.run_buttons import (
    read_cut_off_value,
    read_retry_value,
    read_step_value,
    retryable,
    waiting_steps,
)
from bot.handlers.items import PressItem
from bot.services import BotServices
from core.errors import InvalidRequestError
from core.records import Place
from core.workflows.run import Run, RunState
from core.workflows.signatures import Decision
from core.workflows.steering import Resolution

VERBS = frozenset({"approve", "deny", "cancel", "retry", "confirm", "break-glass"})
"""What people can say about one run."""

_RUN_ID = re.compile(r"[0-9a-f]{4,12}")
_RESOLUTIONS = {
    names.RESOLVE_DONE: Resolution.DONE,
    names.RESOLVE_REPEAT: Resolution.REPEAT,
    names.RESOLVE_STOP: Resolution.STOP,
}
_EXAMPLES = {
    "approve": "approve RUN [PHRASE]",
    "deny": "deny RUN REASON",
    "cancel": "cancel RUN",
    "retry": "retry RUN",
    "confirm": "confirm RUN [STEP] [yes|no] [COMMENT]",
    "break-glass": "break-glass RUN REASON",
}
_YES = frozenset({"yes", "done", "true", "ok"})
_NO = frozenset({"no", "not-done", "false"})
_COMMENT = 1_000


def _awaits(run: Run) -> bool:
    return run.state is RunState.AWAITING


def _open(run: Run) -> bool:
    return not run.state.final


def _asks(run: Run) -> bool:
    return _open(run) and bool(waiting_steps(run))


_WAITS_FOR: dict[str, Callable[[Run], bool]] = {
    "approve": _awaits,
    "deny": _awaits,
    "break-glass": _awaits,
    "cancel": _open,
    "retry": retryable,
    "confirm": _asks,
}


class Decisions:
    """People's words about runs. Who may say what is `WorkflowService`'s to know.

    Every method raises `NotAllowedError`, `InvalidRequestError` or `NotFoundError` where that
    service does.
    """

    def __init__(self, services: BotServices) -> None:
        self._services = services
        self._said: dict[str, Callable[[Run, str, str], Awaitable[str]]] = {
            "approve": self._approve,
            "deny": self._deny,
            "cancel": self._cancel,
            "retry": self._retry,
            "confirm": self._confirm,
            "break-glass": self._break_glass,
        }

    async def pressed(self, item: PressItem) -> None:
        """A button on a run's card."""
        workflows = self._services.workflows
        if item.action == names.APPROVE:
            await workflows.sign(item.value, item.user, Decision.APPROVE)
        elif item.action == names.DENY:
            await workflows.sign(item.value, item.user, Decision.DENY)
        elif item.action == names.CANCEL:
            await workflows.cancel(item.value, item.user)
        elif item.action == names.RETRY:
            run_id, generation = read_retry_value(item.value)
            await workflows.retry(run_id, item.user, generation)
        elif item.action in {names.STEP_DONE, names.STEP_NOT_DONE}:
            run_id, step = read_step_value(item.value)
            await workflows.confirm(run_id, step, item.user, item.action == names.STEP_DONE)
        elif item.action in _RESOLUTIONS:
            run_id, cut_off = read_cut_off_value(item.value)
            await workflows.resolve(run_id, item.user, _RESOLUTIONS[item.action], cut_off)

    async def typed(self, verb: str, rest: str, user: str, place: Place) -> str:
        """One of `VERBS`, with what follows it: a run's id, and what the verb takes.

        Without an id the run is the one in the thread that it can be said about.

        Returns:
            One sentence for the person.
        """
        first, _, after = rest.partition(" ")
        if _RUN_ID.fullmatch(first) and (named := await self._named(first, place)):
            run = await self._services.workflows.get(named)
            return await self._said[verb](run, after.strip(), user)
        if place.thread is None:
            unknown = f"There is no run '{first[:20]}' here. " if first else ""
            raise InvalidRequestError(
                f"{unknown}Say which run, by at least 4 characters of its id: {_EXAMPLES[verb]}."
            )
        return await self._said[verb](await self._in_thread(verb, place), rest.strip(), user)

    async def waits_in(self, verb: str, place: Place) -> bool:
        """Whether a run in this thread is one that the verb can be said about."""
        return bool(await self._waiting(verb, place))

    async def phrase(self, run_id: str, user: str, phrase: str) -> None:
        """A phrase that was typed in its form."""
        await self._services.workflows.sign(run_id, user, Decision.APPROVE, phrase=phrase)

    async def glass(self, run_id: str, user: str, reason: str) -> None:
        """A reason for breaking the glass that was typed in its form."""
        await self._services.workflows.break_glass(run_id, user, reason)

    async def _approve(self, run: Run, rest: str, user: str) -> str:
        signed = await self._services.workflows.sign(run.id, user, Decision.APPROVE, phrase=rest)
        if signed.state is not RunState.AWAITING:
            return f"You countersigned run {run.id}; it {signed.state.told}."
        return f"You countersigned run {run.id}. Its card says what it still waits for."

    async def _deny(self, run: Run, rest: str, user: str) -> str:
        comment = rest[:_COMMENT]
        await self._services.workflows.sign(run.id, user, Decision.DENY, comment=comment)
        return f"You denied run {run.id}; it has ended."

    async def _cancel(self, run: Run, _rest: str, user: str) -> str:
        await self._services.workflows.cancel(run.id, user)
        return f"Run {run.id} is cancelled."

    async def _retry(self, run: Run, _rest: str, user: str) -> str:
        again = await self._services.workflows.retry(run.id, user)
        return f"Run {run.id} goes on at the step that failed; it {again.state.told}."

    async def _confirm(self, run: Run, rest: str, user: str) -> str:
        step, done, comment = read_confirmation(run, rest)
        await self._services.workflows.confirm(run.id, step, user, done, comment)
        name = next((one.name for one in run.plan.steps if one.id == step), step)
        return f"You said that '{name}' of run {run.id} was {'' if done else 'not '}done."

    async def _break_glass(self, run: Run, rest: str, user: str) -> str:
        broken = await self._services.workflows.break_glass(run.id, user, rest[:_COMMENT])
        return f"You broke the glass for run {run.id}; it {broken.state.told}."

    async def _named(self, prefix: str, place: Place) -> str | None:
        """The id, unless in a run's thread the word begins a reason (`deny dead code`)."""
        ids = await self._services.messenger.run_ids_in(place) if place.thread else []
        if ids and not any(run_id.startswith(prefix) for run_id in ids) and len(prefix) < 8:
            return None
        return prefix

    async def _in_thread(self, verb: str, place: Place) -> Run:
        waiting = await self._waiting(verb, place)
        if not waiting:
            raise InvalidRequestError(f"There is no run in this thread to {verb}.")
        if len(waiting) > 1:
            ids = ", ".join(run.id for run in waiting)
            raise InvalidRequestError(f"There are several runs here; say which: {ids}.")
        return waiting[0]

    async def _waiting(self, verb: str, place: Place) -> list[Run]:
        ids = await self._services.messenger.run_ids_in(place)
        found = [await self._services.workflows.get(run_id) for run_id in ids]
        return [run for run in found if _WAITS_FOR[verb](run)]


def read_confirmation(run: Run, text: str) -> tuple[str, bool, str]:
    """What stands behind `confirm`: `[STEP] [yes|no] [COMMENT]`.

    Returns:
        The step's id, whether it was done, and the comment.

    Raises:
        InvalidRequestError: no step waits, or it is not said which of several.
    """
    waiting = [step.id for step in waiting_steps(run)]
    if not waiting:
        raise InvalidRequestError(f"No step of run {run.id} waits for a person.")
    first, rest = _word(text)
    if first in waiting:
        step, text = first, rest
    elif len(waiting) > 1:
        raise InvalidRequestError(f"Several steps wait; say which: {', '.join(waiting)}.")
    else:
        step = waiting[0]
    first, rest = _word(text)
    if first.lower() in _YES | _NO:
        return step, first.lower() in _YES, rest[:_COMMENT]
    return step, True, text.strip()[:_COMMENT]


def _word(text: str) -> tuple[str, str]:
    first, _, rest = text.strip().partition(" ")
    return first, rest.strip()
