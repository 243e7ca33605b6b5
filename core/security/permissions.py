"""Whether a person may do something with a workflow in a channel, and why."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

from core.errors import CountersignError, NotAllowedError
from core.records import Frozen, Risk
from core.security.policy import Policy, Right, Roles, effective_approval
from core.state import AIWorkflow
from core.workflows.guardrails import Approval

_NOTHING: Mapping[str, AIWorkflow] = {}


class Ruling(Frozen):
    """A decision with its reasons, each a plain sentence."""

    allowed: bool
    reasons: tuple[str, ...]


class Permissions:
    """Reads the policy's grants for one person, workflow and channel.

    Args:
        channel_name: `#name` of a channel by its id; may raise `CountersignError` where it cannot
            be found out, and then only grants for every channel count.
        workflows: whose own `start` narrows who may start them.
    """

    def __init__(
        self,
        policy: Policy,
        roles: Roles,
        channel_name: Callable[[str], Awaitable[str]],
        workflows: Mapping[str, AIWorkflow] = _NOTHING,
    ) -> None:
        self._policy = policy
        self._roles = roles
        self._channel_name = channel_name
        self._workflows = workflows

    async def ruling(self, user: str, right: Right, workflow: str, channel: str | None) -> Ruling:
        """Decide.

        Args:
            channel: id or `#name`; None outside channels. Direct messages count as outside.
        """
        where = await self._named(channel)
        held = await self._roles.reasons(user)
        reasons = []
        for at, grant in self._policy.granting(right, workflow, where):
            if having := [role for role in grant.roles if role in held]:
                reasons.append(_allowing(at, right, having[0], held[having[0]]))
        if not reasons:
            return Ruling(allowed=False, reasons=(self._denying(right, workflow, where, held),))
        starters = self._starters(right, workflow)
        if starters and not set(starters) & set(held):
            own = f"{workflow} itself may be started by {_or(starters)} only, which is not held"
            return Ruling(allowed=False, reasons=(own,))
        return Ruling(allowed=True, reasons=tuple(reasons))

    async def may(self, user: str, right: Right, workflow: str, channel: str | None) -> bool:
        """Only whether it is allowed."""
        return (await self.ruling(user, right, workflow, channel)).allowed

    async def require(
        self, user: str, right: Right, workflow: str, channel: str | None, what: str
    ) -> None:
        """Let pass who may.

        Args:
            what: completes the sentence `To … you need the role …`.

        Raises:
            NotAllowedError: the person may not; the message names the roles and the file.
        """
        if await self.may(user, right, workflow, channel):
            return
        where = await self._named(channel)
        if able := self._able(right, workflow, where):
            raise NotAllowedError(f"To {what} you need the role {able} (policy.yaml).")
        raise NotAllowedError(
            f"Nobody may {what} {_place(where)}: policy.yaml grants '{right}' on {workflow} "
            "there to no role."
        )

    async def explain(self, user: str, workflow: AIWorkflow, channel: str | None) -> list[str]:
        """What the person may do with the workflow there, and why, in plain lines."""
        where = await self._named(channel)
        held = await self._roles.reasons(user)
        lines = [f"{user} and {workflow.id} {_place(where)}:"]
        lines += [f"- holds the role {role}, {why}" for role, why in held.items()]
        if not held:
            lines.append("- holds no role of policy.yaml")
        for right in Right:
            ruling = await self.ruling(user, right, workflow.id, channel)
            verb = "may" if ruling.allowed else "may not"
            lines.append(f"- {verb} {right}: {'; '.join(ruling.reasons)}")
        approving = await self.may(user, Right.APPROVE, workflow.id, channel)
        lines += self._signing(workflow, frozenset(held), approving)
        lines += self._emergency(frozenset(held))
        for away, roles in (await self._roles.on_behalf(user)).items():
            lines.append(f"- stands in for {away}, who is away, as {_or(tuple(sorted(roles)))}")
        return lines

    def _signing(
        self, workflow: AIWorkflow, held: frozenset[str], approving: bool
    ) -> Iterator[str]:
        own = next((g for g in workflow.guardrails if isinstance(g, Approval)), None)
        risks: dict[Approval | None, list[Risk]] = {}
        for risk in Risk:
            risks.setdefault(effective_approval(self._policy, risk, own), []).append(risk)
        for approval, alike in risks.items():
            run = f"a run of risk {_or(tuple(alike))}"
            if approval is None:
                yield f"- {run} needs no countersignature"
                continue
            fitting = [need.describe() for need in approval.needs if held & set(need.roles)]
            if approving and fitting:
                can = f"can sign as {' or as '.join(dict.fromkeys(fitting))}"
                can += ", except a run of their own" if approval.four_eyes else ""
            else:
                can = "cannot sign it"
            yield f"- {run}: {approval.describe()}; {can}"

    def _emergency(self, held: frozenset[str]) -> Iterator[str]:
        rule = self._policy.break_glass
        if rule is None:
            yield "- nobody may break the glass: policy.yaml has no break_glass"
        elif having := sorted(held & set(rule.roles)):
            yield f"- may break the glass, with the role {having[0]}"
        else:
            yield f"- may not break the glass: that needs the role {_or(rule.roles)}"

    async def _named(self, channel: str | None) -> str | None:
        """`#name`; None for direct messages and where the name cannot be found out."""
        if channel is None or channel.startswith("#"):
            return channel
        if channel.startswith("D"):
            return None
        try:
            return await self._channel_name(channel)
        except CountersignError:
            return None

    def _starters(self, right: Right, workflow: str) -> tuple[str, ...]:
        known = self._workflows.get(workflow)
        return known.start if known is not None and right is Right.START else ()

    def _able(self, right: Right, workflow: str, where: str | None) -> str:
        """The roles that are enough, in words; empty where none is."""
        granted = _unique(
            role
            for _, grant in self._policy.granting(right, workflow, where)
            for role in grant.roles
        )
        starters = self._starters(right, workflow)
        if not granted or not starters:
            return _or(granted)
        if common := tuple(role for role in granted if role in starters):
            return _or(common)
        return f"{_or(granted)} and the role {_or(starters)}"

    def _denying(
        self, right: Right, workflow: str, where: str | None, held: Mapping[str, str]
    ) -> str:
        able = self._able(right, workflow, where)
        if not able:
            return (
                f"no grant of policy.yaml allows {right} on {workflow} {_place(where)} to anybody"
            )
        has = f"only {_or(tuple(held))}" if held else "none"
        return f"policy.yaml allows {right} on {workflow} {_place(where)} to {able}; holds {has}"


def _allowing(at: int, right: Right, role: str, why: str) -> str:
    return f"grants[{at}] of policy.yaml allows {right} to {role}, held {why}"


def _place(where: str | None) -> str:
    return f"in {where}" if where else "outside channels"


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _or(names: tuple[str, ...]) -> str:
    return " or ".join(names)
