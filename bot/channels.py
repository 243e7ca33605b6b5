"""Whether the channels that the configuration names are there: said at the start, not at the first
alert."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Protocol

from core.errors import CountersignError
from core.ports import PresentationError
from core.state import ApplicationState

_EVERY_S = 3600.0
_AGAIN_S = 300.0
"""Where something is missing: Slack lets us list the channels a few times a minute."""
_FIRST_LOOK_S = 3.0
_log = logging.getLogger(__name__)


class MissingChannelsError(CountersignError):
    """Some channels are not there for the bot; the message says which, and who names them."""


class Channels(Protocol):
    """What is needed of Slack's directory."""

    async def find_channel(self, name: str) -> str | None:
        """The id of a channel by its name; None where the bot sees none."""
        ...

    async def can_post_in(self, channel: str) -> bool:
        """Whether the bot is in a channel."""
        ...


class ChannelWatch:
    """Looks for the channels of triggers, schedules and the policy, and is one of those that
    `status` asks how they are.

    Args:
        first_look_s: how long `respond` waits for the first look.
    """

    name = "channels"

    def __init__(
        self, state: ApplicationState, directory: Channels, first_look_s: float = _FIRST_LOOK_S
    ) -> None:
        self._first_look_s = first_look_s
        self._named = dict(_named(state))
        self._directory = directory
        self._detail = "not looked for yet"
        self._looked = asyncio.Event()
        self._missing: tuple[str, ...] = ()

    async def run(self) -> None:
        """Look now, and again and again."""
        while True:
            fine = await self.look()
            self._looked.set()
            await asyncio.sleep(_EVERY_S if fine else _AGAIN_S)

    async def look(self) -> bool:
        """Whether all are there, which `respond` tells from now on; what is newly missing is
        logged. Where Slack cannot be asked, all stays as it was."""
        try:
            found = [await self._problem(channel) for channel in self._named]
        except PresentationError as error:
            _log.warning("the channels of triggers and schedules are not looked for: %s", error)
            return False
        missing = tuple(
            f"{', '.join(files)}: {problem}"
            for files, problem in zip(self._named.values(), found, strict=True)
            if problem
        )
        for line in missing:
            if line not in self._missing:
                _log.warning("%s", line)
        self._missing = missing
        self._detail = f"{len(self._named)} are there" if self._named else "none are named"
        return not missing

    async def _problem(self, channel: str) -> str:
        """Why nothing can be posted there, or nothing."""
        there = await self._directory.find_channel(channel)
        if there is None:
            return f"There is no channel {channel} that I can see. Make it, or invite me to it."
        if not await self._directory.can_post_in(there):
            return f"I am not in {channel}. Invite me there with /invite."
        return ""

    async def respond(self, instruction: str) -> str:  # noqa: ARG002  there is one thing to say
        """How they were when last looked for.

        Raises:
            MissingChannelsError: some were not there.
        """
        with suppress(TimeoutError):
            await asyncio.wait_for(self._looked.wait(), self._first_look_s)
        if self._missing:
            raise MissingChannelsError(" ".join(self._missing))
        return self._detail


def _named(state: ApplicationState) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each channel with the files that name it."""
    files: dict[str, list[str]] = {}
    for trigger in state.triggers.values():
        files.setdefault(trigger.channel, []).append(f"triggers/{trigger.id}.yaml")
    for schedule in state.schedules.values():
        files.setdefault(schedule.channel, []).append(f"schedules/{schedule.id}.yaml")
    if state.policy.break_glass is not None:
        files.setdefault(state.policy.break_glass.channel, []).append("policy.yaml")
    yield from ((channel, tuple(named)) for channel, named in sorted(files.items()))
