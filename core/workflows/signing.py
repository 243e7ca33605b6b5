"""Who may put which signature on a run, now. Whoever calls this has verified who the person is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

from core.errors import InvalidRequestError, NotAllowedError
from core.security.audit import AuditLog
from core.security.permissions import Permissions
from core.security.policy import Right, Roles
from core.store.runs import RunStore
from core.workflows.guardrails import Approval, GuardrailState
from core.workflows.run import Run, RunState
from core.workflows.signatures import Decision, Signature
from core.workflows.verdict import Judge, utc_now

_SHORTEST_REASON = 10
_LONGEST = 2000
_TICK = timedelta(microseconds=1)


class RunExpiredError(InvalidRequestError):
    """The time for countersignatures is over; the run is to be settled."""


class Signing:
    """Takes countersignatures, denials, and the breaking of the glass.

    Every refusal of a person is in the audit log. The caller settles the run afterwards, also
    after `RunExpiredError`.

    Args:
        clock: the moment of signing.
    """

    def __init__(
        self,
        store: RunStore,
        judge: Judge,
        roles: Roles,
        permissions: Permissions,
        audit: AuditLog,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store = store
        self._judge = judge
        self._roles = roles
        self._permissions = permissions
        self._audit = audit
        self._clock = clock

    async def sign(
        self, run_id: str, user: str, decision: Decision, phrase: str = "", comment: str = ""
    ) -> None:
        """Countersign or deny, for oneself, or where that does not help for somebody who is away.

        Args:
            phrase: what the person typed, where the approval guardrail asks for the name.

        Raises:
            NotAllowedError: the person may not; the refusal is in the audit log.
            RunExpiredError: the time is over.
            InvalidRequestError: the run no longer waits, the phrase is wrong, or the signature
                would fill no place.
        """
        if decision is Decision.BREAK_GLASS:
            raise InvalidRequestError("The glass is broken with a reason; use that button.")
        run = await self._store.find(run_id)
        approval = run.approval
        if run.state is not RunState.AWAITING or approval is None:
            raise InvalidRequestError(
                f"This run {run.state.told}; it waits for no countersignature."
            )
        async with self._refusals_kept(run, user, decision):
            persons = await self._persons(run, approval, user, decision)
        now = self._in_time(run)
        signatures = [
            Signature(
                user=user,
                on_behalf=away,
                digest=run.digest,
                decision=decision,
                comment=comment[:_LONGEST],
                at=now,
            )
            for away in persons
        ]
        chosen = signatures[0]
        if decision is Decision.APPROVE:
            await self._check_approvable(run, approval, phrase)
            chosen = await self._helping(run, approval, signatures)
        await self._store.sign(run, chosen)

    async def break_glass(self, run_id: str, user: str, reason: str) -> None:
        """Let the run pass against the guardrails that give way to this.

        It is announced, and a review stands open until somebody else closes it.

        Raises:
            NotAllowedError: the policy lets nobody do this, or not this person.
            RunExpiredError: the time is over.
            InvalidRequestError: the run does not wait, there is no reason, or a guardrail that
                does not give way forbids the run.
        """
        run = await self._store.find(run_id)
        if run.state is not RunState.AWAITING:
            raise InvalidRequestError(f"This run {run.state.told}; there is no glass to break.")
        async with self._refusals_kept(run, user, Decision.BREAK_GLASS):
            await self._may_break_glass(run, user)
        reason = reason.strip()
        if len(reason) < _SHORTEST_REASON:
            raise InvalidRequestError(
                f"Say why, in at least {_SHORTEST_REASON} characters: it is announced and reviewed."
            )
        now = self._in_time(run)
        _check_unaltered(run)
        signature = Signature(
            user=user,
            digest=run.digest,
            decision=Decision.BREAK_GLASS,
            comment=reason[:_LONGEST],
            at=now,
        )
        broken = run.model_copy(update={"signatures": (*run.signatures, signature)})
        verdict = await self._judge(broken)
        if GuardrailState.BLOCKED in {result.state for result in verdict.results}:
            raise InvalidRequestError(
                f"Breaking the glass does not help against this. {verdict.obstacle}"
            )
        await self._store.sign(run, signature)

    async def _persons(
        self, run: Run, approval: Approval, user: str, decision: Decision
    ) -> list[str | None]:
        """For whom `user` may decide: themselves (None), and people who are away.

        Raises:
            NotAllowedError: for nobody.
        """
        four_eyes = approval.four_eyes and decision is Decision.APPROVE
        if four_eyes and user == run.requester:
            raise NotAllowedError(
                "You asked for this run, so somebody else must countersign it (four eyes)."
            )
        persons: list[str | None] = []
        if await self._may(user, run) and await self._holds(user, approval.roles):
            persons.append(None)
        lendable = frozenset(approval.delegable or ()) & frozenset(approval.roles)
        for away, lent in (await self._roles.on_behalf(user)).items():
            if four_eyes and away == run.requester:
                continue
            if not lent.isdisjoint(lendable) and await self._may(away, run):
                persons.append(away)
        if persons:
            return persons
        verb = "countersign" if decision is Decision.APPROVE else "deny"
        await self._roles.require(user, approval.roles, f"{verb} this run")
        workflow, channel = run.plan.workflow, run.place.channel
        await self._permissions.require(user, Right.APPROVE, workflow, channel, f"{verb} this run")
        raise NotAllowedError(f"You may not {verb} this run (policy.yaml).")

    async def _may(self, person: str, run: Run) -> bool:
        return await self._permissions.may(
            person, Right.APPROVE, run.plan.workflow, run.place.channel
        )

    async def _holds(self, person: str, roles: tuple[str, ...]) -> bool:
        return not (await self._roles.of(person)).isdisjoint(roles)

    async def _may_break_glass(self, run: Run, user: str) -> None:
        rule = self._roles.policy.break_glass
        if rule is None:
            raise NotAllowedError("Nobody may break the glass: policy.yaml has no break_glass.")
        await self._roles.require(user, rule.roles, "break the glass")
        await self._permissions.require(
            user, Right.SEE, run.plan.workflow, run.place.channel, "break the glass here"
        )

    async def _check_approvable(self, run: Run, approval: Approval, phrase: str) -> None:
        _check_unaltered(run)
        verdict = await self._judge(run)
        if verdict.others is GuardrailState.BLOCKED:
            raise InvalidRequestError(f"Nothing can be signed now. {verdict.obstacle}")
        if approval.phrase and phrase.strip() != run.plan.workflow:
            raise InvalidRequestError(
                f"Type {run.plan.workflow} to confirm that you mean this run."
            )

    async def _helping(
        self, run: Run, approval: Approval, signatures: list[Signature]
    ) -> Signature:
        """The first of the signatures that would fill a place.

        Raises:
            InvalidRequestError: none would.
        """
        user = signatures[0].user
        if any(s.user == user and s.decision is Decision.APPROVE for s in run.signatures):
            raise InvalidRequestError("You have signed this run already.")
        for signature in signatures:
            signed = run.model_copy(update={"signatures": (*run.signatures, signature)})
            here = await self._judge.situation(signed)
            before = replace(here, signatures=run.signatures)
            if approval.helps(before, signature):
                return signature
        missing = approval.missing(replace(here, signatures=run.signatures))
        needed = " and ".join(need.describe() for need in missing)
        raise InvalidRequestError(
            f"Your signature would fill no place now: the run waits for {needed}."
        )

    def _in_time(self, run: Run) -> datetime:
        """The moment of signing: after every earlier signature, whichever replica's clock is slow.

        Raises:
            RunExpiredError: the time is over.
        """
        now = max([self._clock(), *(s.at + _TICK for s in run.signatures)])
        if run.expires_at is not None and now >= run.expires_at:
            raise RunExpiredError("This run has expired; ask for it again.")
        return now

    @asynccontextmanager
    async def _refusals_kept(self, run: Run, user: str, decision: Decision) -> AsyncIterator[None]:
        """Note in the audit log that a person was refused."""
        try:
            yield
        except NotAllowedError as refusal:
            details = {"decision": str(decision), "why": str(refusal)}
            await self._audit.record(user, "run.refused", run.id, {**details})
            raise


def _check_unaltered(run: Run) -> None:
    if not run.intact:
        raise InvalidRequestError("The plan was altered after it was shown; ask for it again.")
