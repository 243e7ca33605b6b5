"""The tools of our MCP server, each for one person. Who asks is known; whether they may is decided
by `WorkflowService` and `Permissions`, as in Slack.

What an MCP client sends was most likely written by a model: arguments are marked so on the card,
and nothing destructive takes them before a person has confirmed them in Slack.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol
from uuid import uuid4

from bot.mcp.records import (
    Runs,
    RunView,
    Workflows,
    run_line,
    run_view,
    workflow_view,
)
from core.errors import InvalidRequestError, NotFoundError
from core.records import Place, Provenance, Value
from core.security.permissions import Permissions
from core.security.policy import Right
from core.security.tokens import AccessToken
from core.workflows.arguments import fill_in
from core.workflows.plan import PlannedArgument
from core.workflows.run import Run, RunState
from core.workflows.service import RunRequest, WorkflowService

_READ_AT_ONCE = 50
_LONGEST_KEY = 100


class Channels(Protocol):
    """What is needed of Slack's directory."""

    async def channel_id(self, name: str) -> str:
        """The id of a channel by its name."""
        ...

    async def channel_name(self, channel: str) -> str:
        """`#name` of a channel by its id."""
        ...

    async def can_post_in(self, channel: str) -> bool:
        """Whether the bot is in a channel."""
        ...


class Desk:
    """What one can ask of Countersign from outside Slack."""

    def __init__(
        self, workflows: WorkflowService, permissions: Permissions, channels: Channels
    ) -> None:
        self._workflows = workflows
        self._permissions = permissions
        self._channels = channels

    async def list_workflows(self, token: AccessToken, channel: str | None) -> Workflows:
        """Those that the person may see in `channel`, or outside channels.

        Raises:
            CountersignError: there is no such channel.
        """
        where = None if channel is None else await self._channels.channel_id(channel)
        seen = [
            workflow_view(workflow)
            for workflow in self._workflows.workflows.values()
            if await self._permissions.may(token.user, Right.SEE, workflow.id, where)
        ]
        return Workflows(workflows=tuple(seen))

    async def plan(
        self, token: AccessToken, workflow: str, arguments: Mapping[str, Value], channel: str
    ) -> RunView:
        """What would run, with dry runs and the state of each guardrail. Nothing is saved.

        Raises:
            CountersignError: as `WorkflowService.draft`, or the channel is not there.
        """
        request = await self._request(token, workflow, arguments, channel, uuid4().hex)
        return await self._view(await self._workflows.draft(request), asked=False)

    async def request_run(
        self,
        token: AccessToken,
        workflow: str,
        arguments: Mapping[str, Value],
        channel: str,
        key: str | None,
    ) -> RunView:
        """Ask for a run in the person's name. Its card comes in the channel; what is risky waits
        there for countersignatures.

        Args:
            key: the same request has the same key, and becomes one run however often it comes.

        Raises:
            CountersignError: as `WorkflowService.request`, or the channel is not there, or the key
                was that of another request.
        """
        if key is not None and not 0 < len(key) <= _LONGEST_KEY:
            raise InvalidRequestError(f"A key has 1 to {_LONGEST_KEY} characters.")
        request = await self._request(token, workflow, arguments, channel, key or uuid4().hex)
        run = await self._workflows.request(request)
        if not self._is_of(run, request):
            raise InvalidRequestError(
                f"“{key}” was the key of another request: give each request a key of its own."
            )
        return await self._view(await self._workflows.judged(run), asked=True)

    async def read_run(self, token: AccessToken, run_id: str) -> RunView:
        """How a run stands.

        Raises:
            NotFoundError: there is none that the person may see.
        """
        run = await self._workflows.get(run_id)
        if not await self._sees(token, run):
            raise NotFoundError(f"There is no run '{run_id[:40]}'.")
        return await self._view(run, asked=True)

    async def list_runs(
        self, token: AccessToken, workflow: str | None, state: str | None, limit: int
    ) -> Runs:
        """The newest that the person may see.

        Raises:
            InvalidRequestError: there is no such state.
        """
        if state is not None and state not in set(RunState):
            known = ", ".join(RunState)
            raise InvalidRequestError(f"There is no state '{state[:40]}'. There are: {known}.")
        states = () if state is None else (RunState(state),)
        newest = await self._workflows.latest(_READ_AT_ONCE, states, workflow)
        seen = [run_line(run) for run in newest if await self._sees(token, run)]
        return Runs(runs=tuple(seen[:limit]))

    async def _request(
        self,
        token: AccessToken,
        workflow: str,
        arguments: Mapping[str, Value],
        channel: str,
        key: str,
    ) -> RunRequest:
        where = await self._channels.channel_id(channel)
        if not await self._channels.can_post_in(where):
            raise InvalidRequestError(
                f"I cannot post in {channel}. Invite me there with /invite, or name another one."
            )
        origin = f"MCP, the token “{token.label}”"
        provenance = Provenance(kind="model", detail=origin)
        return RunRequest(
            key=f"mcp:{token.id}:{key}",
            workflow=workflow,
            arguments={
                name: PlannedArgument(value=value, provenance=provenance)
                for name, value in arguments.items()
            },
            requester=token.user,
            origin=origin,
            place=Place(channel=where),
        )

    def _is_of(self, run: Run, request: RunRequest) -> bool:
        """Whether it is this request that became the run, now or before."""
        workflow = self._workflows.catalogue.get(request.workflow, request.arguments)
        if workflow is None:
            return False
        given = fill_in(workflow, request.arguments)
        known = run.plan.arguments
        return (run.plan.workflow, run.requester, run.place.channel) == (
            request.workflow,
            request.requester,
            request.place.channel,
        ) and all(
            name in known and known[name].value == given[name].value for name in request.arguments
        )

    async def _sees(self, token: AccessToken, run: Run) -> bool:
        workflow, where = run.plan.workflow, run.place.channel
        return await self._permissions.may(token.user, Right.SEE, workflow, where)

    async def _view(self, run: Run, *, asked: bool) -> RunView:
        channel = run.place.channel
        if not channel.startswith("#"):
            channel = await self._channels.channel_name(channel)
        return run_view(run, channel, asked=asked)
