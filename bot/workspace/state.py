"""The whole workspace, composed; it knows nothing of HTTP servers."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bot.workspace.agents import Agents
from bot.workspace.delivery import Delivery, DeliveryPolicy
from bot.workspace.directory import Directory
from bot.workspace.files import Address, FileStore
from bot.workspace.functions import Functions
from bot.workspace.ids import Clock, TsSource
from bot.workspace.interactions import Interactions
from bot.workspace.live import LiveHub
from bot.workspace.modals import Modals
from bot.workspace.page_records import Shortcut, SlashCommand
from bot.workspace.people import People
from bot.workspace.recorder import Faults, Recorder
from bot.workspace.records import SecretsRecord
from bot.workspace.rendering import Renderer
from bot.workspace.responses import Responses
from bot.workspace.schedule import ScheduledMessages
from bot.workspace.seed import WorkspaceSeed
from bot.workspace.storage import Storage
from bot.workspace.streams import Streams
from bot.workspace.timeline import Timeline
from bot.workspace.triggers import OneTimeCodes, Triggers


@dataclass(frozen=True)
class WorkspaceOptions:
    """What can be different from one workspace to another.

    Attributes:
        commands, shortcuts: the bot's, as in its manifest.
        policy: acknowledgement time, redelivery and subscriptions.
        stream_seconds: after which a streamed message is ended; Slack's are about 300.
        max_file_bytes: the largest upload.
        clock: seconds since 1970.
    """

    commands: tuple[SlashCommand, ...] = ()
    shortcuts: tuple[Shortcut, ...] = ()
    policy: DeliveryPolicy = field(default_factory=DeliveryPolicy)
    stream_seconds: float = 300.0
    max_file_bytes: int = 64 * 1024 * 1024
    clock: Clock = time.time


class Workspace:
    """All parts, sharing one storage.

    Args:
        path: the storage file.
        seed: what a new file starts with.
        given: secrets that replace the stored ones.
    """

    def __init__(
        self,
        path: Path,
        seed: WorkspaceSeed,
        options: WorkspaceOptions,
        given: Callable[[SecretsRecord], SecretsRecord],
    ) -> None:
        self.options = options
        clock = options.clock
        self.storage = Storage(path)
        self.secrets = given(self._stored_secrets())
        self.address = Address()
        self.live = LiveHub()
        self.recorder = Recorder()
        self.faults = Faults()
        self.ts = TsSource(clock, self.storage.newest_ts())
        self.directory = Directory(self.storage, self.live, seed)
        self.delivery = Delivery(
            self.directory,
            self.live,
            self.recorder,
            clock,
            options.policy,
            self.secrets.verification_token,
        )
        self.files = FileStore(self.storage, self.address, max_bytes=options.max_file_bytes)
        self.renderer = Renderer(self.directory, self.files)
        self.timeline = Timeline(
            self.storage, self.directory, self.live, self.ts, self.renderer, self.delivery.emit
        )
        self.streams = Streams(
            self.timeline, self.directory, clock, lifetime=options.stream_seconds
        )
        self.agents = Agents(
            self.storage,
            self.directory,
            self.live,
            clock,
            lambda channel, thread: bool(self.streams.open_in(channel, thread)),
        )
        self.modals = Modals(self.storage, self.directory, self.live)
        self.triggers = Triggers(clock)
        self.oauth_codes = OneTimeCodes(clock)
        self.responses = Responses(self.storage, self.directory, self.timeline, self.address, clock)
        self.functions = Functions(self.storage, self.delivery, self.directory, self.ts)
        self.scheduled = ScheduledMessages(self.storage, clock)
        self.people = People(
            self.directory,
            self.timeline,
            self.streams,
            self.agents,
            self.modals,
            self.delivery,
            self.ts,
        )
        self.interactions = Interactions(
            self.directory,
            self.timeline,
            self.renderer,
            self.modals,
            self.triggers,
            self.responses,
            self.delivery,
            self.live,
            self.ts,
            options.commands,
            options.shortcuts,
        )

    def _stored_secrets(self) -> SecretsRecord:
        stored = self.storage.get("secrets", "secrets", SecretsRecord)
        if stored is None:
            stored = SecretsRecord(
                bot_token=f"xoxb-{secrets.token_hex(24)}",
                app_token=f"xapp-1-{secrets.token_hex(24)}",
                signing_secret=secrets.token_hex(16),
                verification_token=secrets.token_hex(12),
                client_id=f"{secrets.randbelow(10**12)}.{secrets.randbelow(10**12)}",
                client_secret=secrets.token_hex(16),
            )
            self.storage.put("secrets", "secrets", stored)
        return stored

    async def end(self) -> None:
        """Ends everything under way; the storage stays open for requests still being answered."""
        self.live.close()
        self.scheduled.close()
        self.streams.close()
        self.agents.close()
        await self.delivery.close()
