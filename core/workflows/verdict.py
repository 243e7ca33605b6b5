"""What all guardrails together say about a run, now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

from core.errors import CountersignError
from core.records import Frozen, Instant
from core.security.policy import Right, Roles
from core.workflows.guardrails import (
    Approval,
    Guardrail,
    GuardrailResult,
    GuardrailState,
    Situation,
)
from core.workflows.guardrails.base import World
from core.workflows.needs import Need
from core.workflows.run import Run, situation
from core.workflows.signatures import Decision, Signature

_LOOK_S = 30.0  # a guardrail's question to another system
_PASSED = frozenset({GuardrailState.MET, GuardrailState.OVERRIDDEN})


class Worlds(Protocol):
    """The surroundings of runs; `core.workflows.world.Worlds`."""

    def of(self, run: Run) -> World:
        """What guardrails may ask about this run."""
        ...


class Verdict(Frozen):
    """The guardrails' results and what follows from them.

    Attributes:
        approval: the approval guardrail's state, MET where there is none.
        others: the worst state of the others.
        missing: what is still to be signed; where it goes in sequence, only what is next.
        broken_glass: the signature by which guardrails that give way are overridden.
    """

    results: tuple[GuardrailResult, ...]
    approval: GuardrailState
    others: GuardrailState
    missing: tuple[Need, ...] = ()
    denied: bool
    expired: bool
    broken_glass: Signature | None = None

    @property
    def met(self) -> bool:
        """Whether the run may go on."""
        return not self.denied and all(result.state in _PASSED for result in self.results)

    @property
    def obstacle(self) -> str:
        """What stands in the way, and which guardrail asks for something else: rather one that
        forbids it than one that waits."""
        for state in (GuardrailState.BLOCKED, GuardrailState.WAITING):
            for result in self.results:
                if result.state is state:
                    evidence = result.evidence.rstrip(".") + "."
                    over = self.denied or self.expired
                    return evidence if over else f"{evidence} The guardrail: {result.description}."
        return ""


def utc_now() -> datetime:
    """The moment, with its time zone."""
    return datetime.now(UTC)


class Judge:
    """Evaluates every guardrail of a run's plan, with the roles that its signers hold now.

    Args:
        roles: asked at each judgement, so that a signer who lost the role counts no more.
        worlds: what guardrails ask beyond the run itself.
        clock: the moment of the judgement.
    """

    def __init__(
        self, roles: Roles, worlds: Worlds, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._roles = roles
        self._worlds = worlds
        self._clock = clock

    async def __call__(self, run: Run) -> Verdict:
        """Judge the run as it is now. What cannot be found out is not met."""
        held = await self._held(run)
        here = self._situation(run, held)
        denied = any(s.decision is Decision.DENY for s in run.signatures)
        broken = None if denied else self._broken_glass(run, here, held)
        world = self._worlds.of(run)
        evaluated = await asyncio.gather(*(_evaluate(g, world, here) for g in run.plan.guardrails))
        pairs = [
            (guardrail, _overridden(guardrail, result, broken))
            for guardrail, result in zip(run.plan.guardrails, evaluated, strict=True)
        ]
        approvals = [result.state for g, result in pairs if isinstance(g, Approval)]
        others = [result.state for g, result in pairs if not isinstance(g, Approval)]
        return Verdict(
            results=tuple(result for _, result in pairs),
            approval=_worst(approvals),
            others=_worst(others),
            missing=run.approval.missing(here) if run.approval else (),
            denied=denied,
            expired=run.expires_at is not None and here.now >= run.expires_at,
            broken_glass=broken,
        )

    async def situation(self, run: Run) -> Situation:
        """What the guardrails look at now. People who may no longer countersign this workflow
        hold no role in it."""
        return self._situation(run, await self._held(run))

    async def _held(self, run: Run) -> dict[str, frozenset[str]]:
        signers = {s.user for s in run.signatures}
        absent = {s.on_behalf for s in run.signatures if s.on_behalf is not None}
        return {person: await self._roles.of(person) for person in signers | absent}

    def _situation(self, run: Run, held: Mapping[str, frozenset[str]]) -> Situation:
        may_sign = self._roles.policy.roles_with(Right.APPROVE, run.plan.workflow)
        nothing = frozenset[str]()
        counting = {p: nothing if own.isdisjoint(may_sign) else own for p, own in held.items()}
        return situation(run, self._clock(), counting)

    def _broken_glass(
        self, run: Run, here: Situation, held: Mapping[str, frozenset[str]]
    ) -> Signature | None:
        """The first signature, in time and for this very plan, of somebody who may do this now."""
        rule = self._roles.policy.break_glass
        for signature in here.signatures:
            if (
                rule is not None
                and signature.decision is Decision.BREAK_GLASS
                and signature.digest == here.digest
                and _in_time(signature, run.expires_at)
                and not held[signature.user].isdisjoint(rule.roles)
            ):
                return signature
        return None


async def _evaluate(guardrail: Guardrail, world: World, here: Situation) -> GuardrailResult:
    try:
        async with asyncio.timeout(_LOOK_S):
            seen = await guardrail.look(world, here)
    except TimeoutError:
        unseen = f"It could not be looked at within {_LOOK_S:.0f} s."
    except CountersignError as error:
        unseen = f"It could not be looked at: {error}"
    else:
        return guardrail.evaluate(replace(here, seen=seen))
    return GuardrailResult(
        description=guardrail.describe(), state=GuardrailState.WAITING, evidence=unseen
    )


def _overridden(
    guardrail: Guardrail, result: GuardrailResult, broken: Signature | None
) -> GuardrailResult:
    if broken is None or not guardrail.overridable or result.state is GuardrailState.MET:
        return result
    evidence = f"{broken.user} broke the glass: {broken.comment} (was {result.state}: "
    evidence += f"{result.evidence})"
    return result.model_copy(update={"state": GuardrailState.OVERRIDDEN, "evidence": evidence})


def _in_time(signature: Signature, expires_at: Instant | None) -> bool:
    return expires_at is None or signature.at < expires_at


def _worst(states: list[GuardrailState]) -> GuardrailState:
    order = (GuardrailState.BLOCKED, GuardrailState.WAITING, GuardrailState.OVERRIDDEN)
    return next((state for state in order if state in states), GuardrailState.MET)
