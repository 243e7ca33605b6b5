"""`/ops tool …`: tools of MCP servers, each asked for by itself.

A tool becomes a run of one step like any other: with a plan on a card, under guardrails, and with
countersignatures. Who may see and start it, `policy.yaml` says of the workflow `tool-ID-TOOL`.
"""

from __future__ import annotations

from typing import Any

from bot.blocks.layout import Content
from bot.blocks.lists import sentence
from bot.blocks.tools import ToolView, tool_details, tool_list
from bot.handlers.requests import Requests, read_request
from bot.services import BotServices
from core.errors import InvalidRequestError, NotFoundError
from core.records import Place, Provenance
from core.security.policy import Right
from core.workflows.actions import Action


class Tools:
    """Answers for one person."""

    def __init__(self, services: BotServices, requests: Requests) -> None:
        self._services = services
        self._requests = requests

    async def typed(self, key: str, user: str, place: Place, words: str, origin: str) -> Content:
        """`[SERVER]` lists; `NAME KEY=VALUE …` asks for the run, or says what is missing.

        Args:
            key: of the delivery; the same one becomes one run.

        Raises:
            NotFoundError: there is no such tool that the person may see.
            NotAllowedError: the person may not start it.
            InvalidRequestError: the text cannot be read, names several tools, or the bot cannot
                post in the channel.
        """
        seen = await self._seen(user, place.channel)
        command = self._services.settings.command
        if not words.strip():
            return tool_list([_view(action) for action in seen.values()], command)
        provenance = Provenance(kind="person", detail=f"{origin}, {user}")
        name, arguments = read_request(words, provenance)
        of_server = [a for a in seen.values() if _written(a).startswith(f"{name}.")]
        if of_server and not arguments:
            return tool_list([_view(action) for action in of_server], command)
        workflow_id, action = _named(name, seen)
        tool = _view(action)
        if not arguments and tool.standalone.required:
            return tool_details(tool, command)
        await self._requests.require_place(place)
        try:
            run = await self._requests.ask(key, workflow_id, arguments, user, origin, place)
        except InvalidRequestError as error:
            return tool_details(tool, command, str(error))
        return sentence(f"Asked for run {run.id}. Its card in the channel shows the plan.")

    async def _seen(self, user: str, channel: str) -> dict[str, Action[Any]]:
        """The tools that the person may see there, by workflow, in the order of their names."""
        may = self._services.permissions.may
        known = self._services.workflows.catalogue.standalone()
        ordered = sorted(known.items(), key=lambda item: item[1].name)
        return {id_: one for id_, one in ordered if await may(user, Right.SEE, id_, channel)}


def _named(name: str, seen: dict[str, Action[Any]]) -> tuple[str, Action[Any]]:
    """The tool of that name: in full, without its kind, or only its own where no other has it."""
    full = [item for item in seen.items() if name in {item[0], item[1].name, _written(item[1])}]
    found = full or [item for item in seen.items() if item[1].name.rpartition(".")[2] == name]
    if not found:
        raise NotFoundError(f"There is no tool '{name[:120]}' that you may see here.")
    if len(found) > 1:
        which = ", ".join(_written(action) for _, action in found)
        raise InvalidRequestError(f"Say which of them: {which}.")
    return found[0]


def _written(action: Action[Any]) -> str:
    """As people write it: `weather.forecast`."""
    return action.name.partition(".")[2]


def _view(action: Action[Any]) -> ToolView:
    assert action.standalone is not None  # noqa: S101 - the catalogue has no others
    return ToolView(name=_written(action), risk=action.risk, standalone=action.standalone)
