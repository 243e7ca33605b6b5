"""Countersigning, denying, cancelling, deciding about a step that was cut off."""

from __future__ import annotations

import re

from bot import names
from bot.handlers.items import PressItem
from bot.services import BotServices
from core.errors import InvalidRequestError
from core.records import Place
from core.workflows.execution import Resolution
from core.workflows.run import Run, RunState
from core.workflows.signatures import Decision

_RUN_ID = re.compile(r"[0-9a-f]{4,12}")
_RESOLUTIONS = {
    names.RESOLVE_DONE: Resolution.DONE,
    names.RESOLVE_REPEAT: Resolution.REPEAT,
    names.RESOLVE_STOP: Resolution.STOP,
}


class Decisions:
    """People's words about runs. Who may say what is `WorkflowService`'s to know.

    Every method raises `NotAllowedError`, `InvalidRequestError` or `NotFoundError` where that
    service does.
    """

    def __init__(self, services: BotServices) -> None:
        self._services = services

    async def pressed(self, item: PressItem) -> None:
        """A button on a run's card."""
        workflows = self._services.workflows
        if item.action == names.APPROVE:
            await workflows.sign(item.value, item.user, Decision.APPROVE)
        elif item.action == names.DENY:
            await workflows.sign(item.value, item.user, Decision.DENY)
        elif item.action == names.CANCEL:
            await workflows.cancel(item.value, item.user)
        elif item.action in _RESOLUTIONS:
            await workflows.resolve(item.value, item.user, _RESOLUTIONS[item.action])

    async def typed(self, verb: str, rest: str, user: str, place: Place) -> str:
        """`approve [RUN] [PHRASE]`, `deny [RUN] REASON` or `cancel [RUN]`.

        Without an id the run is the one that waits in the thread.

        Returns:
            One sentence for the person.
        """
        first, _, after = rest.partition(" ")
        if _RUN_ID.fullmatch(first) and (named := await self._named(first, place)):
            return await self._decide(verb, named, after.strip(), user)
        if place.thread is None:
            example = {"approve": "[PHRASE]", "deny": "REASON", "cancel": ""}[verb]
            raise InvalidRequestError(f"Say which run: {verb} RUN {example}".rstrip() + ".")
        return await self._decide(verb, await self._in_thread(place), rest.strip(), user)

    async def waits_in(self, place: Place) -> bool:
        """Whether a run waits for a countersignature in this thread."""
        return bool(await self._waiting(place))

    async def phrase(self, run_id: str, user: str, phrase: str) -> None:
        """A phrase that was typed in its form."""
        await self._services.workflows.sign(run_id, user, Decision.APPROVE, phrase=phrase)

    async def _decide(self, verb: str, run_id: str, rest: str, user: str) -> str:
        workflows = self._services.workflows
        if verb == "cancel":
            run = await workflows.cancel(run_id, user)
        elif verb == "deny":
            run = await workflows.sign(run_id, user, Decision.DENY, comment=rest[:1000])
        else:
            run = await workflows.sign(run_id, user, Decision.APPROVE, phrase=rest)
        return _said(verb, run)

    async def _named(self, prefix: str, place: Place) -> str | None:
        """The id, unless in a run's thread the word begins a reason (`deny dead code`)."""
        ids = await self._services.messenger.run_ids_in(place) if place.thread else []
        if ids and not any(run_id.startswith(prefix) for run_id in ids) and len(prefix) < 8:
            return None
        return prefix

    async def _in_thread(self, place: Place) -> str:
        waiting = await self._waiting(place)
        if not waiting:
            raise InvalidRequestError("No run waits for a countersignature in this thread.")
        if len(waiting) > 1:
            ids = ", ".join(run.id for run in waiting)
            raise InvalidRequestError(f"Several runs wait here; say which: {ids}.")
        return waiting[0].id

    async def _waiting(self, place: Place) -> list[Run]:
        ids = await self._services.messenger.run_ids_in(place)
        found = [await self._services.workflows.get(run_id) for run_id in ids]
        return [run for run in found if run.state is RunState.AWAITING]


def _said(verb: str, run: Run) -> str:
    if verb == "cancel":
        return f"Run {run.id} is cancelled."
    if verb == "deny":
        return f"You denied run {run.id}; it is {run.state}."
    if run.state is RunState.AWAITING:
        missing = run.approval.count - len(run.signatures) if run.approval else 0
        more = f"{missing} more must sign." if missing > 0 else "A guardrail still holds it."
        return f"You countersigned run {run.id}. {more}"
    return f"You countersigned run {run.id}; it is {run.state}."
