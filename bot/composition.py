"""The composition root: everything is made here, once, and handed to what needs it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from slack_bolt.async_app import AsyncApp

from bot.activity import TableActivity
from bot.app import build_bot
from bot.assistants.service import AssistantService
from bot.handlers.work import SlackWork
from bot.models import make_orchestrator
from bot.services import BotServices
from bot.slack.client import open_client
from bot.slack.directory import SlackDirectory
from bot.slack.escaping import LinkPolicy
from bot.slack.messenger import SlackMessenger
from bot.slack.presenter import SlackPresenter
from bot.transport import socket_mode, transport_of
from bot.web import RUNBOOKS, serving, web_app
from core.consistency import require_consistent
from core.firings import FiringService
from core.inbox import Delivery
from core.incidents import IncidentStore
from core.knowledge import KnowledgeBase
from core.offers import OfferStore
from core.security.audit import AuditLog
from core.security.policy import Roles
from core.security.secrets import Secrets
from core.services.ai import AIOrchestratorClient, OrchestratorError
from core.settings import Settings
from core.state import ApplicationState
from core.store.database import Database
from core.store.inbox import SqlInbox
from core.store.runs import RunStore
from core.triggers import TriggerService
from core.worker import InboxWorker
from core.workflows.actions import ActionRegistry
from core.workflows.display import Display
from core.workflows.engine import RunEngine
from core.workflows.execution import Execution
from core.workflows.planning import Planner
from core.workflows.service import WorkflowService
from integrations import registry
from integrations.builtin import AskAssistant, PostMessage
from integrations.events import events_of
from scheduler.clock import SOURCE as SCHEDULE
from scheduler.clock import Clock, FiringHandler

_SLACK_IN_HAND = 64
_EVENTS_IN_HAND = 8
_SWEEP_S = 10.0
_REINDEX_S = 30.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Countersign:
    """The running application, for whoever started it."""

    settings: Settings
    state: ApplicationState
    orchestrator: AIOrchestratorClient
    messenger: SlackMessenger
    models_ready: asyncio.Event


def read_secrets(settings: Settings) -> Secrets:
    """Secrets from the environment and `secrets.env`."""
    return Secrets(os.environ, settings.secrets_file)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Countersign]:
    """Start everything; on leaving, stop it. `settings` must say how Slack is reached.

    Raises:
        ConfigurationError: something is set wrongly; the message says what and how to mend it.
    """
    async with AsyncExitStack() as stack:
        state = ApplicationState.load(settings.config_dir)
        transport = transport_of(settings)
        integrations = registry.load(state.integrations, read_secrets(settings))
        database = Database(settings.store_url)
        await database.open()
        stack.push_async_callback(database.close)

        orchestrator = make_orchestrator(settings, state.models)
        stack.push_async_callback(orchestrator.close)
        links = _links(settings)
        knowledge = KnowledgeBase(
            [settings.config_dir / "runbooks"],
            settings.runbook_url or settings.base_url + RUNBOOKS,
            orchestrator.embed,
            settings.data_dir / "embeddings.db",
        )

        token = settings.slack_bot_token
        client = await stack.enter_async_context(
            open_client(token.get_secret_value() if token else "", settings.slack_api_url)
        )
        directory = SlackDirectory(client)
        messenger = SlackMessenger(client, database, directory, links)

        audit = AuditLog(database)
        runs = RunStore(database, audit)
        incidents = IncidentStore(database)
        offers = OfferStore(database)
        roles = Roles(state.policy, directory)
        assistants = AssistantService(
            state, orchestrator, knowledge, TableActivity(runs, incidents)
        )

        actions = ActionRegistry(
            [*integrations.actions(), AskAssistant(assistants.ask), PostMessage(messenger)]
        )
        require_consistent(state, actions)
        await integrations.start()
        stack.push_async_callback(integrations.close)

        display = Display(runs, SlackPresenter(messenger, state.policy, roles))
        engine = RunEngine(
            Execution(runs, actions, roles, display.touch), database, settings.replica
        )
        workflows = WorkflowService(
            state, Planner(state.policy, actions), runs, roles, engine, audit, display
        )
        engine.launch()
        stack.callback(engine.close)

        inbox = SqlInbox(database)
        if database.is_sqlite:
            await inbox.release_all()  # nobody else can be at work on them
        triggers = TriggerService(state, workflows, incidents, offers, knowledge, messenger)
        firings = FiringService(workflows, assistants, messenger)

        async def take_webhook(delivery: Delivery) -> None:
            for event in events_of(delivery, integrations):
                await triggers.handle(event)

        event_worker = InboxWorker(
            inbox,
            {"webhook": take_webhook, SCHEDULE: FiringHandler(state.schedules, firings)},
            _EVENTS_IN_HAND,
        )
        clock = Clock(state.schedules, event_worker)

        slack_handlers: dict[str, Any] = {}
        slack_worker = InboxWorker(inbox, slack_handlers, _SLACK_IN_HAND)
        services = BotServices(
            settings=settings,
            state=state,
            client=client,
            workflows=workflows,
            roles=roles,
            orchestrator=orchestrator,
            assistants=assistants,
            inbox=slack_worker,
            offers=offers,
            schedules=clock,
            messenger=messenger,
            directory=directory,
            links=links,
        )
        slack_handlers["slack"] = SlackWork(services).handle
        app = build_bot(services)

        async def ready() -> Mapping[str, str | None]:
            health = await orchestrator.health()
            parts: dict[str, str | None] = {"models": None if health.ready else health.detail}
            for integration in integrations:
                found = await integration.health()
                parts[integration.id] = None if found.ready else found.detail
            return parts

        over_http: AsyncApp | None = app if transport == "http" else None
        site = web_app(settings, integrations, event_worker, ready, knowledge, over_http)
        await stack.enter_async_context(serving(site, settings))
        if transport == "socket":
            await stack.enter_async_context(socket_mode(app, settings))

        models_ready = asyncio.Event()
        start = await stack.enter_async_context(_background())
        start(_start_models(orchestrator, knowledge, assistants, models_ready))
        start(display.run())
        start(slack_worker.run())
        start(event_worker.run())
        start(_sweep(workflows))
        clock.start()
        stack.callback(clock.close)
        await clock.catch_up(datetime.now(UTC))
        yield Countersign(settings, state, orchestrator, messenger, models_ready)


@asynccontextmanager
async def _background() -> AsyncIterator[Callable[[Coroutine[Any, Any, None]], None]]:
    """Tasks that run as long as the application. One that fails ends the application: whoever
    supervises the process starts it again, and nothing is lost."""
    tasks: list[asyncio.Task[None]] = []
    async with asyncio.TaskGroup() as group:
        yield lambda work: tasks.append(group.create_task(work))
        for task in tasks:
            task.cancel()


async def _start_models(
    orchestrator: AIOrchestratorClient,
    knowledge: KnowledgeBase,
    assistants: AssistantService,
    models_ready: asyncio.Event,
) -> None:
    """Load the models beside everything else, and then follow the runbooks' files."""
    try:
        await orchestrator.start()
    except OrchestratorError as error:
        _log.error("the models are not ready: %s", error)
    await assistants.prepare()
    while True:
        report = await knowledge.refresh()
        if report.added or report.changed or report.removed:
            _log.info("runbooks: %d documents, %d passages", report.documents, report.passages)
        models_ready.set()
        await asyncio.sleep(_REINDEX_S)


async def _sweep(workflows: WorkflowService) -> None:
    while True:
        await workflows.sweep()
        await asyncio.sleep(_SWEEP_S)


def _links(settings: Settings) -> LinkPolicy:
    """Links that may stand in outsiders' Markdown: our own pages and the runbooks."""
    bases = (settings.base_url, settings.runbook_url or "")
    return LinkPolicy(bases=tuple(base for base in bases if base))
