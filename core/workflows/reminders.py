"""Calls people: to sign, when nobody does, and to review where the glass was broken.

Everything is said once, by its key, however often and on however many replicas it is looked at.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta

from core.ports import Caller, PresentationError
from core.records import Frozen, Place
from core.security.policy import Policy, Right
from core.security.reviews import Review, Reviews
from core.store.runs import RunStore
from core.workflows.needs import Need
from core.workflows.run import Run, RunState
from core.workflows.verdict import Judge, utc_now

_log = logging.getLogger(__name__)
_RUNS = 500  # that wait at once
_DAY = timedelta(days=1)


class Call(Frozen):
    """One thing that is said to people who are called by their roles."""

    key: str
    place: Place
    roles: tuple[str, ...]
    text: str
    named: tuple[str, ...] = ()


class Reminders:
    """Looks for what people must be called to.

    Args:
        clock: the moment by which something is due.
    """

    def __init__(
        self,
        store: RunStore,
        judge: Judge,
        reviews: Reviews,
        policy: Policy,
        caller: Caller,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store = store
        self._judge = judge
        self._reviews = reviews
        self._policy = policy
        self._caller = caller
        self._clock = clock

    async def look(self) -> None:
        """Call whoever is due. What cannot be said now is tried at the next look."""
        now = self._clock()
        for run in await self._store.latest(_RUNS, states={RunState.AWAITING}):
            if run.message is not None and _due(run, now):
                missing = (await self._judge(run)).missing
                await self._say(_signing_calls(run, missing, now))
        for review in await self._reviews.open():
            await self._say(self._review_calls(review, now))

    async def _say(self, calls: Iterable[Call]) -> None:
        for call in calls:
            held = [self._policy.roles[role] for role in call.roles if role in self._policy.roles]
            groups = dict.fromkeys(group for role in held for group in role.groups)
            users = dict.fromkeys(user for role in held for user in role.users)
            try:
                await self._caller.call(
                    call.place, list(groups), list(users), call.text, call.key, call.named
                )
            except PresentationError as error:
                _log.warning("nobody could be called (%s): %s", call.key, error)

    def _review_calls(self, review: Review, now: datetime) -> Iterator[Call]:
        rule = self._policy.break_glass
        if rule is None:
            return
        there = Place(channel=rule.channel)
        roles = self._policy.roles_with(Right.ADMINISTER, review.workflow)
        what = f"for {review.workflow} (run {review.run_id}{_where(review.place)})"
        until = f"{review.due_at:%Y-%m-%d %H:%M %Z}"
        yield Call(
            key=f"glass:{review.run_id}",
            place=there,
            roles=roles,
            text=(
                f"The glass was broken {what} by {review.user}: {review.reason} — "
                f"Somebody else must review it by {until}."
            ),
            named=(review.user,),
        )
        if now >= review.due_at:
            days = (now - review.due_at) // _DAY
            yield Call(
                key=f"glass:{review.run_id}:overdue:{days}",
                place=there,
                roles=roles,
                text=f"Nobody has reviewed yet why the glass was broken {what}; due was {until}.",
            )


def _due(run: Run, now: datetime) -> bool:
    """Whether anybody is to be called about the run, as long as it still waits."""
    if run.approval is None or run.expires_at is None or now >= run.expires_at:
        return False
    after = [run.approval.remind_after] if run.approval.remind_after else []
    if run.plan.escalation is not None:
        after.append(timedelta(seconds=run.plan.escalation.after_s))
    return any(now >= run.created_at + wait for wait in after)


def _signing_calls(run: Run, missing: tuple[Need, ...], now: datetime) -> Iterator[Call]:
    if run.approval is None or run.expires_at is None or not missing:
        return
    needed = " and ".join(need.describe() for need in missing)
    waits = f"{run.plan.name} ({run.id}) still waits for {needed}"
    until = f"It expires at {run.expires_at:%Y-%m-%d %H:%M %Z}."
    remind_after = run.approval.remind_after
    if remind_after is not None and now >= run.created_at + remind_after:
        yield Call(
            key=f"call:{run.id}:reminder",
            place=run.place,
            roles=tuple(dict.fromkeys(role for need in missing for role in need.roles)),
            text=f"{waits}. {until}",
        )
    if run.plan.escalation is None:
        return
    for step, role in enumerate(run.plan.escalation.roles, start=1):
        if now >= run.created_at + timedelta(seconds=step * run.plan.escalation.after_s):
            yield Call(
                key=f"call:{run.id}:escalation:{step}",
                place=run.place,
                roles=(role,),
                text=f"{waits}, so {role} is called. {until}",
            )


def _where(place: Place) -> str:
    return f", in {place.channel}" if place.channel.startswith("#") else ""
