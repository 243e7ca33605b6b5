"""The composition root: everything is made here, once, and handed to what needs it.

Three layers, each made of the one before: the ground (configuration, database, models,
knowledge, systems), Slack, and the work that people, events and the clock ask for.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import NamedTuple

from slack_sdk.web.async_client import AsyncWebClient

from bot.activity import TableActivity
from bot.app import build_bot
from bot.assistants.panel import panel
from bot.assistants.service import AssistantService
from bot.background import Background, load_models, purge, sweep
from bot.channels import ChannelWatch
from bot.handlers.intake import SOURCE as SLACK
from bot.handlers.work import SlackWork
from bot.mcp.server import McpSite
from bot.mcp.tools import Desk
from bot.models import make_orchestrator
from bot.replicas import ReplicaResponder
from bot.services import BotServices
from bot.slack.cards import Cards
from bot.slack.client import open_client
from bot.slack.directory import SlackDirectory
from bot.slack.escaping import LinkPolicy
from bot.slack.messenger import SlackMessenger
from bot.slack.presenter import SlackPresenter
from bot.transport import check_tokens, socket_mode, transport_of
from bot.web import RUNBOOKS, serving, web_app
from core.calendars.reader import Calendars
from core.consistency import require_consistent
from core.deliveries import DeliveryBook
from core.firings import FiringService
from core.gates import GateStore
from core.held import HeldStore
from core.inbox import Delivery
from core.incidents import IncidentStore
from core.knowledge import KnowledgeBase
from core.offers import OfferStore
from core.replicas import Replica, only_process
from core.schedules import ScheduleStore
from core.security.audit import AuditLog
from core.security.audit_file import AuditFile
from core.security.delegations import Delegations
from core.security.permissions import Permissions
from core.security.policy import Roles
from core.security.reviews import Reviews
from core.security.secrets import Secrets
from core.security.tokens import AccessTokens
from core.services.ai import AIOrchestratorClient
from core.services.health import HealthWatch
from core.settings import Settings
from core.state import ApplicationState
from core.store.database import Database
from core.store.inbox import SqlInbox
from core.store.other_runs import OtherRuns
from core.store.pictures import PictureStore
from core.store.roles import warn_of_ways
from core.store.runs import RunStore
from core.store.showing import Showing
from core.storms import StormStore
from core.takeover import Takeover
from core.triggers import TriggerService
from core.worker import InboxWorker
from core.workflows.actions import ActionRegistry
from core.workflows.display import Display
from core.workflows.engine import RunEngine
from core.workflows.heart import assemble
from core.workflows.reminders import Reminders
from core.workflows.service import WorkflowService
from core.workflows.verdict import Judge
from core.workflows.world import Worlds
from integrations import registry
from integrations.builtin import AskAssistant, PostMessage
from integrations.events import events_of
from integrations.registry import Integrations
from integrations.responder import systems
from scheduler.book import ScheduleBook
from scheduler.clock import SOURCE as SCHEDULE
from scheduler.clock import Clock
from scheduler.handler import FiringHandler
from scheduler.service import ScheduleService

_SLACK_IN_HAND = 64
_EVENTS_IN_HAND = 8


@dataclass(frozen=True)
class Countersign:
    """The running application, for whoever started it."""

    settings: Settings
    state: ApplicationState
    orchestrator: AIOrchestratorClient
    messenger: SlackMessenger
    background: Background


class _Ground(NamedTuple):
    state: ApplicationState
    integrations: Integrations
    database: Database
    orchestrator: AIOrchestratorClient
    knowledge: KnowledgeBase


class _Slack(NamedTuple):
    client: AsyncWebClient
    directory: SlackDirectory
    messenger: SlackMessenger
    links: LinkPolicy


class _Work(NamedTuple):
    roles: Roles
    permissions: Permissions
    delegations: Delegations
    reviews: Reviews
    reminders: Reminders
    cards: Cards
    assistants: AssistantService
    workflows: WorkflowService
    engine: RunEngine
    showing: Showing
    display: Display
    offers: OfferStore
    triggers: TriggerService
    firings: FiringService


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
        transport = transport_of(settings)
        ground = await _lay_ground(stack, settings)
        replica = await _join(stack, settings, ground.database)
        slack = await _reach_slack(stack, settings, ground.database, replica)
        work = await _set_to_work(stack, ground, slack, replica)

        inbox = SqlInbox(ground.database, replica.id)
        takeover = Takeover(replica, inbox, work.showing, work.engine.recover)
        await takeover.look()
        store = ScheduleStore(ground.database, AuditLog(ground.database))
        book = ScheduleBook(ground.state.schedules, store)
        events = _event_worker(inbox, ground, work, book)
        clock = Clock(book, events)
        schedules = ScheduleService(
            book, store, clock, ground.state, work.permissions, work.firings
        )
        requests = InboxWorker(inbox, {}, _SLACK_IN_HAND)
        channels = ChannelWatch(ground.state, slack.directory)
        health = HealthWatch(systems(ground.integrations, ReplicaResponder(replica), channels))
        services = _bot_services(settings, ground, slack, work, requests, schedules, health)
        requests.handle(SLACK, SlackWork(services).handle)
        app = build_bot(services)

        async def ready() -> Mapping[str, str | None]:
            models = await ground.orchestrator.health()
            return {"models": None if models.ready else models.detail}

        over_http = app if transport == "http" else None
        tokens = AccessTokens(ground.database, AuditLog(ground.database))
        desk = Desk(work.workflows, work.permissions, slack.directory)
        mcp = McpSite(desk, tokens, slack.directory.require_member)
        await stack.enter_async_context(mcp.running())
        site = web_app(
            settings,
            ground.integrations,
            events,
            ready,
            ground.knowledge,
            over_http,
            mcp,
            lambda: health.degraded,
        )
        await stack.enter_async_context(serving(site, settings))
        if transport == "socket":
            await stack.enter_async_context(socket_mode(app, settings))

        copy = await _copy_audit(stack, settings, ground.database)
        background = await stack.enter_async_context(Background())
        if copy is not None:
            background.start(copy.follow())
        background.start(
            load_models(
                ground.orchestrator,
                ground.knowledge,
                work.assistants,
                background,
                ground.state.models,
            )
        )
        for task in (
            work.display.run(),
            requests.run(),
            events.run(),
            sweep(work.workflows, work.reminders),
            takeover.run(),
            purge(
                services.deliveries,
                PictureStore(ground.database),
                timedelta(days=settings.keep_bodies),
            ),
            channels.run(),
            health.run(),
            work.triggers.run(),
        ):
            background.start(task)
        stack.callback(clock.close)
        await clock.start()
        yield Countersign(settings, ground.state, ground.orchestrator, slack.messenger, background)


async def _lay_ground(stack: AsyncExitStack, settings: Settings) -> _Ground:
    state = ApplicationState.load(settings.config_dir)
    integrations = registry.load(state.integrations, read_secrets(settings))
    database = Database(settings.store_url)
    stack.enter_context(only_process(database))
    await database.open()
    stack.push_async_callback(database.close)
    await warn_of_ways(database)
    orchestrator = make_orchestrator(settings, state.models)
    stack.push_async_callback(orchestrator.close)
    knowledge = KnowledgeBase(
        [settings.config_dir / "runbooks"],
        settings.runbook_url or settings.base_url + RUNBOOKS,
        orchestrator.embed,
        settings.data_dir / "embeddings.db",
        embed_later=partial(orchestrator.embed, priority="background"),
    )
    return _Ground(state, integrations, database, orchestrator, knowledge)


async def _copy_audit(
    stack: AsyncExitStack, settings: Settings, database: Database
) -> AuditFile | None:
    """The audit log's copy, brought up to date now and once more at the end."""
    if settings.audit_file is None:
        return None
    copy = AuditFile(settings.audit_file, AuditLog(database))
    await copy.look()
    stack.push_async_callback(copy.catch_up)
    return copy


async def _join(stack: AsyncExitStack, settings: Settings, database: Database) -> Replica:
    """Be one of the replicas, until all else has ended; if that ends before, so does all else."""
    own = database
    if not database.is_sqlite:
        own = Database(settings.store_url)
        stack.push_async_callback(own.close)
    replica = Replica(own, settings.replica, timedelta(seconds=settings.replica_timeout))
    await replica.join()
    stack.push_async_callback(replica.leave)
    life = await stack.enter_async_context(Background())
    life.start(replica.live())
    return replica


async def _reach_slack(
    stack: AsyncExitStack, settings: Settings, database: Database, replica: Replica
) -> _Slack:
    token = settings.slack_bot_token
    client = await stack.enter_async_context(
        open_client(token.get_secret_value() if token else "", settings.slack_api_url)
    )
    await check_tokens(client, settings)
    directory = SlackDirectory(client)
    own_pages = (settings.base_url, settings.runbook_url or "")
    links = LinkPolicy(bases=tuple(base for base in own_pages if base))
    messenger = SlackMessenger(client, database, directory, links, replica.id)
    return _Slack(client, directory, messenger, links)


async def _set_to_work(
    stack: AsyncExitStack, ground: _Ground, slack: _Slack, replica: Replica
) -> _Work:
    state, database = ground.state, ground.database
    audit = AuditLog(database)
    runs = RunStore(database, audit)
    incidents = IncidentStore(database)
    offers = OfferStore(database)
    delegations = Delegations(database, audit, state.policy.delegation)
    roles = Roles(state.policy, slack.directory, delegations)
    permissions = Permissions(state.policy, roles, slack.directory.channel_name, state.workflows)
    activity = TableActivity(runs, incidents)
    assistants = AssistantService(state, ground.orchestrator, ground.knowledge, activity)

    actions = ActionRegistry(
        [
            *ground.integrations.actions(),
            AskAssistant(assistants.ask),
            PostMessage(slack.messenger),
        ],
        ground.integrations,
    )
    require_consistent(state, actions)
    await ground.integrations.start()
    stack.push_async_callback(ground.integrations.close)

    showing = Showing(database, replica.id)
    gates = GateStore(database, audit)
    calendars = Calendars(state.folder)
    judge = Judge(roles, Worlds(actions, OtherRuns(database), gates, calendars))
    reviews = Reviews(database, audit, state.policy, permissions)
    cards = Cards(state.policy, judge)
    pictures = PictureStore(database)
    display = Display(runs, showing, SlackPresenter(slack.messenger, cards, pictures))
    workflows, engine, *_ = assemble(
        state, database, runs, audit, actions, roles, permissions, judge, display, replica.id
    )
    engine.launch()
    stack.callback(engine.close)

    return _Work(
        roles=roles,
        permissions=permissions,
        delegations=delegations,
        reviews=reviews,
        reminders=Reminders(runs, judge, reviews, state.policy, slack.messenger),
        cards=cards,
        assistants=assistants,
        workflows=workflows,
        engine=engine,
        showing=showing,
        display=display,
        offers=offers,
        triggers=TriggerService(
            state,
            workflows,
            incidents,
            offers,
            ground.knowledge,
            StormStore(database),
            HeldStore(database),
            slack.messenger,
        ),
        firings=FiringService(workflows, assistants, slack.messenger),
    )


def _event_worker(inbox: SqlInbox, ground: _Ground, work: _Work, book: ScheduleBook) -> InboxWorker:
    """Works on what webhooks and the clock have put into the inbox."""

    async def take_webhook(delivery: Delivery) -> None:
        await work.triggers.handle_all(events_of(delivery, ground.integrations))

    fired = FiringHandler(book, work.firings)
    return InboxWorker(inbox, {"webhook": take_webhook, SCHEDULE: fired}, _EVENTS_IN_HAND)


def _bot_services(
    settings: Settings,
    ground: _Ground,
    slack: _Slack,
    work: _Work,
    requests: InboxWorker,
    schedules: ScheduleService,
    health: HealthWatch,
) -> BotServices:
    return BotServices(
        settings=settings,
        state=ground.state,
        client=slack.client,
        workflows=work.workflows,
        roles=work.roles,
        permissions=work.permissions,
        delegations=work.delegations,
        reviews=work.reviews,
        cards=work.cards,
        orchestrator=ground.orchestrator,
        assistants=work.assistants,
        panel=panel(work.assistants, ground.state.assistants),
        systems=health,
        inbox=requests,
        offers=work.offers,
        schedules=schedules,
        deliveries=DeliveryBook(ground.database, AuditLog(ground.database)),
        messenger=slack.messenger,
        directory=slack.directory,
        links=slack.links,
    )
