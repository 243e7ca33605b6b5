"""`countersign policy …`: what the policy allows whom, and why."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import aiohttp
import typer

from bot.cli.common import existing_database, read_settings, run_async
from bot.slack.client import open_client
from bot.slack.directory import SlackDirectory
from core.errors import ConfigurationError, InvalidRequestError, NotFoundError
from core.security.audit import AuditLog
from core.security.delegations import Delegations
from core.security.permissions import Permissions
from core.security.policy import Directory, Policy, Roles
from core.settings import Settings
from core.state import AIWorkflow, ApplicationState

_MEMBER_ID = re.compile(r"[UW][A-Z0-9]+")
_TIMEOUT = aiohttp.ClientTimeout(total=10)

app = typer.Typer(no_args_is_help=True, help="Who may do what, by policy.yaml.")


@app.callback()
def policy() -> None:
    """Keep `explain` a command of its own although it is the only one."""


@app.command()
def explain(
    user: Annotated[str, typer.Option(help="A Slack user id, such as U0123ABCD.")],
    workflow: Annotated[str, typer.Option(help="The workflow's id: its file's name.")],
    channel: Annotated[
        str | None, typer.Option(help="`#name` or id; left out: outside channels.")
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option(help="Handles of the person's user groups, a,b, instead of asking Slack."),
    ] = None,
) -> None:
    """Say what a person may do with a workflow in a channel, and why."""
    if not _MEMBER_ID.fullmatch(user):
        raise InvalidRequestError(
            f"'{user}' is no member id: --user takes one such as U0123ABCD (in Slack: Profile, "
            "Copy member ID)."
        )
    run_async(_explain(read_settings(), user, workflow, channel, groups))


async def _explain(
    settings: Settings, user: str, workflow_id: str, channel: str | None, groups: str | None
) -> None:
    state = ApplicationState.load(settings.config_dir)
    workflow = _workflow(state, workflow_id)
    async with AsyncExitStack() as stack:
        people = await stack.enter_async_context(_people(settings, user, groups))
        stand_ins = await _stand_ins(stack, settings, state.policy)
        roles = Roles(state.policy, people.directory, stand_ins)
        permissions = Permissions(state.policy, roles, people.channel_name, state.workflows)
        for line in await permissions.explain(user, workflow, channel):
            typer.echo(line)
    typer.echo(f"Groups: {people.source}.")


def _workflow(state: ApplicationState, workflow_id: str) -> AIWorkflow:
    if workflow_id not in state.workflows:
        known = ", ".join(state.workflows) or "none"
        raise NotFoundError(f"There is no workflow '{workflow_id}'. There are: {known}.")
    return state.workflows[workflow_id]


async def _stand_ins(
    stack: AsyncExitStack, settings: Settings, rules: Policy
) -> Delegations | None:
    """Who is away now; unknown where Countersign has not been started here."""
    if settings.database_url is None and not settings.data_dir.exists():
        return None
    database = await stack.enter_async_context(existing_database(settings))
    return Delegations(database, AuditLog(database), rules.delegation)


@dataclass(frozen=True)
class _People:
    """Where groups and channels are looked up, and where that is, in words."""

    directory: Directory
    channel_name: Callable[[str], Awaitable[str]]
    source: str


class _Members:
    """Implements `Directory` with members that are known beforehand, and names of channels."""

    def __init__(
        self, groups: Mapping[str, frozenset[str]], channels: Mapping[str, str] | None = None
    ) -> None:
        self._groups = groups
        self._channels = channels or {}

    async def group_members(self, handle: str) -> frozenset[str]:
        return self._groups.get(handle, frozenset())

    async def channel_name(self, channel: str) -> str:
        if channel not in self._channels:
            raise NotFoundError(f"There is no channel {channel}; give it as #name.")
        return self._channels[channel]


@asynccontextmanager
async def _people(settings: Settings, user: str, groups: str | None) -> AsyncIterator[_People]:
    """Slack, the local workspace, or what was given by hand.

    Raises:
        ConfigurationError: none of the three can be asked.
    """
    if groups is not None:
        handles = [handle.strip().removeprefix("@") for handle in groups.split(",")]
        known = _Members({handle: frozenset({user}) for handle in handles if handle})
        yield _People(known, known.channel_name, f"{groups or 'none'}, as given")
    elif settings.slack_bot_token is not None:
        token = settings.slack_bot_token.get_secret_value()
        async with open_client(token, settings.slack_api_url) as client:
            directory = SlackDirectory(client)
            await directory.me()  # else a wrong token would look like empty groups
            yield _People(directory, directory.channel_name, "as Slack has them now")
    else:
        known = await _of_local_workspace(settings)
        yield _People(known, known.channel_name, "as the local workspace has them now")


async def _of_local_workspace(settings: Settings) -> _Members:
    url = f"http://127.0.0.1:{settings.workspace_port}/dev/state"
    try:
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session, session.get(url) as answer:
            answer.raise_for_status()
            state: dict[str, Any] = await answer.json()
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise ConfigurationError(
            "Nobody can be asked who is in which group: set COUNTERSIGN_SLACK_BOT_TOKEN, start the "
            "local workspace with `countersign run`, or give the person's groups: --groups a,b."
        ) from error
    groups = {group["handle"]: frozenset(group["users"]) for group in state["user_groups"]}
    channels = {c["id"]: f"#{c['name']}" for c in state["channels"] if c.get("name")}
    return _Members(groups, channels)
