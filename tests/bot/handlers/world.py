"""Countersign's Slack face with everything real beside it: workspace, database, engine, effects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal

from aiohttp import web
from dbos._dbos import _get_or_create_dbos_registry
from pydantic import BaseModel

from bot.app import build_bot
from bot.assistants.events import AnswerEvent, Delta, Finished, Question, Routed
from bot.handlers.work import SlackWork
from bot.services import BotServices
from bot.slack.cards import Cards
from bot.slack.client import open_client
from bot.slack.directory import SlackDirectory
from bot.slack.escaping import LinkPolicy
from bot.slack.messenger import SlackMessenger
from bot.slack.presenter import SlackPresenter
from bot.transport import PATH, mount, socket_mode
from bot.workspace.page_records import SlashCommand
from bot.workspace.server import WorkspaceServer
from core.automation import AISchedule
from core.calendars.reader import Calendars
from core.deliveries import DeliveryBook
from core.errors import NotFoundError
from core.firings import FiringService
from core.gates import GateStore
from core.offers import OfferStore
from core.records import Idempotency, Risk
from core.schedules import ScheduleStore
from core.security.audit import AuditLog
from core.security.delegations import Delegations
from core.security.permissions import Permissions
from core.security.policy import BreakGlass, DelegationRule, Grant, Policy, Right, Role, Roles
from core.security.reviews import Reviews
from core.services.ai import ModelInfo, OrchestratorHealth
from core.services.health import HealthWatch
from core.services.manager import AIIntegrationManager
from core.settings import Settings
from core.state import AIAssistant, AIWorkflow, ApplicationState
from core.store.database import Database
from core.store.inbox import SqlInbox
from core.store.other_runs import OtherRuns
from core.store.pictures import PictureStore
from core.store.runs import RunStore
from core.store.showing import Showing
from core.worker import InboxWorker
from core.workflows.actions import (
    Action,
    ActionContext,
    ActionError,
    ActionRegistry,
    ActionResult,
)
from core.workflows.definition import Parameter, StepDefinition
from core.workflows.display import Display
from core.workflows.guardrails import Approval
from core.workflows.heart import assemble
from core.workflows.needs import Need
from core.workflows.verdict import Judge
from core.workflows.world import Worlds
from scheduler.book import ScheduleBook
from scheduler.clock import Clock
from scheduler.service import ScheduleService
from tests.support.workspace import Page, open_page, running_workspace, until

Mode = Literal["socket", "http"]

ALICE, BOB, CAROL, DAVE = "U0ALICE", "U0BOB", "U0CAROL", "U0DAVE"
DEPLOYS, INCIDENTS = "C0DEPLOYS", "C0INCIDENTS"


class WriteArguments(BaseModel):
    """What `file.write` takes."""

    name: str
    text: str


class WriteFile(Action[WriteArguments]):
    """Writes a file in a folder: an effect that a test can look at."""

    name = "file.write"
    summary = "Write a file"
    risk: ClassVar[Risk] = Risk.CHANGE
    idempotency: ClassVar[Idempotency] = Idempotency.NATURAL
    arguments = WriteArguments

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def describe(self, arguments: WriteArguments) -> str:
        return f"Write {arguments.name} with {len(arguments.text)} characters"

    async def preview(self, arguments: WriteArguments) -> str | None:
        return f"+ {arguments.text}"

    async def execute(self, arguments: WriteArguments, context: ActionContext) -> ActionResult:
        (self._folder / arguments.name).write_text(arguments.text)
        return ActionResult(summary=f"Wrote {arguments.name}.", output=arguments.text)


class WipeFile(WriteFile):
    """The same, but one that nobody should do by a slip."""

    name = "file.wipe"
    summary = "Wipe a file"
    risk: ClassVar[Risk] = Risk.DESTRUCTIVE


class CheckFile(WriteFile):
    """Fails until the file has been put there by hand, and prints much."""

    name = "file.check"
    summary = "Check a file"
    risk: ClassVar[Risk] = Risk.READ

    async def preview(self, arguments: WriteArguments) -> str | None:
        return None

    async def execute(self, arguments: WriteArguments, context: ActionContext) -> ActionResult:
        if not (self._folder / arguments.name).exists():
            raise ActionError(f"{arguments.name} is not there.")
        return ActionResult(summary="It is there.", output="line\n" * 500 + "the end")


class ScriptedAssistants:
    """Answers what a test has said; a real model cannot be told to write a mention."""

    def __init__(self, assistant: AIAssistant) -> None:
        self.assistant = assistant
        self.asked: list[Question] = []
        self.events: list[AnswerEvent] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.cancelled = False
        self.failure: Exception | None = None

    async def respond(self, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        self.asked.append(question)
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        yield Routed(assistant=self.assistant, how="you asked for it")
        for event in self.events or [Delta(text="Nothing was scripted. ")]:
            yield event
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        yield Finished(model="scripted-1", seconds=0.1)

    async def digest(self, assistant_id: str, prompt: str) -> str:
        return f"{assistant_id} about: {prompt}"


class ScriptedOrchestrator:
    """Only what lists and the status show."""

    async def models(self) -> list[ModelInfo]:
        return [ModelInfo(name="scripted-1", capabilities=frozenset({"chat"}))]

    async def health(self) -> OrchestratorHealth:
        return OrchestratorHealth(ready=True, detail="scripted")


@dataclass(frozen=True)
class Says:
    """A responder with one answer, or none."""

    name: str
    words: str | None

    async def respond(self, instruction: str) -> str:
        if self.words is None:
            raise NotFoundError(f"no token for {instruction}")
        return self.words


@dataclass
class World:
    """What a test looks at and acts through."""

    folder: Path
    server: WorkspaceServer
    services: BotServices
    assistants: ScriptedAssistants
    database: Database
    work: SlackWork
    pages: dict[str, Page] = field(default_factory=dict)
    request_url: str = ""

    @property
    def effects(self) -> Path:
        """Where the actions write."""
        return self.folder / "effects"

    async def whispered(self, user: str, words: str) -> dict[str, Any]:
        """The message only for `user` that says `words`, once it has come."""
        page = self.pages[user]

        def find() -> dict[str, Any] | None:
            told = [event["message"] for event in page.seen("ephemeral")]
            return next((m for m in reversed(told) if words in m["text"]), None)

        return await until(find, f"{user} is told {words!r}")

    async def card(self, channel: str, words: str, after: int = 0) -> dict[str, Any]:
        """The newest top-level message in `channel` whose text has `words`, once there is one."""
        page = self.pages[ALICE]

        async def find() -> dict[str, Any] | None:
            messages = await page.messages(channel)
            return next((m for m in reversed(messages[after:]) if words in m["text"]), None)

        return await until(find, f"a message with {words!r}")

    async def message(self, card: dict[str, Any]) -> dict[str, Any]:
        """The same message as it is now."""
        messages = await self.pages[ALICE].messages(card["channel"])
        return next(m for m in messages if m["ts"] == card["ts"])


def policy() -> Policy:
    """Engineers start, on-call people countersign, leads countersign what is destructive."""
    return Policy(
        roles={
            "engineer": Role(groups=("engineers",)),
            "approver": Role(groups=("oncall",), users=(ALICE,)),
            "lead": Role(groups=("sre-leads",)),
        },
        grants=(
            Grant(allow=(Right.START,), roles=("engineer",)),
            Grant(allow=(Right.APPROVE,), roles=("approver",)),
            Grant(allow=(Right.ADMINISTER,), roles=("lead",)),
        ),
        approval={
            Risk.CHANGE: Approval(
                needs=(Need(roles=("approver",)),), expires_after=timedelta(hours=1)
            ),
            Risk.DESTRUCTIVE: Approval(needs=(Need(roles=("approver",)),), phrase=True),
        },
        break_glass=BreakGlass(roles=("lead",), channel="#incidents"),
        delegation=DelegationRule(roles=("approver",)),
    )


def workflows() -> dict[str, AIWorkflow]:
    """One that changes and one that destroys."""
    parameters = {
        "file": Parameter(description="name of the file", pattern=r"[a-z0-9.-]+"),
        "text": Parameter(description="what to write in it"),
        "mode": Parameter(description="how", choices=("careful", "quick"), default="careful"),
        "times": Parameter(
            type="integer", description="how often", minimum=1, maximum=9, default=1
        ),
        "loud": Parameter(type="boolean", description="tell everybody", default=False),
    }
    hosts = Parameter(type="list", description="where", default=("web-1",))
    arguments = {"name": "${parameters.file}", "text": "${parameters.text}"}
    write = AIWorkflow(
        id="write-note",
        name="Write a note",
        objective="A file holds a text.",
        parameters=parameters,
        targets=("file",),
        steps=(
            StepDefinition.model_validate(
                {"id": "write", "name": "Write it", "action": "file.write", "with": arguments}
            ),
        ),
    )
    wipe = write.model_copy(
        update={
            "id": "wipe-note",
            "name": "Wipe a note",
            "steps": (
                StepDefinition.model_validate(
                    {"id": "wipe", "name": "Wipe it", "action": "file.wipe", "with": arguments}
                ),
            ),
        }
    )
    careful = write.model_copy(
        update={
            "id": "careful-note",
            "name": "Write a note with care",
            "parameters": parameters | {"hosts": hosts},
            "steps": tuple(StepDefinition.model_validate(step) for step in _careful(arguments)),
        }
    )
    return {"write-note": write, "wipe-note": wipe, "careful-note": careful}


def _careful(arguments: dict[str, str]) -> list[dict[str, Any]]:
    """Writes, lets a lead look, and checks a file that only a person puts there."""
    check = {"name": "${parameters.text}", "text": ""}
    return [
        {"id": "write", "name": "Write it", "action": "file.write", "with": arguments},
        {
            "id": "look",
            "name": "Look at it",
            "manual": "Read the file.",
            "roles": ["lead"],
            "show": {"told": "${steps.write.summary}"},
        },
        {"id": "check", "name": "Check it", "action": "file.check", "with": check},
    ]


def application_state(folder: Path) -> ApplicationState:
    """The configuration of these tests."""
    assistant = AIAssistant(
        id="incident",
        name="Incident helper",
        speciality="Finds what helps in an incident.",
        system_prompt="Help.",
        examples=("a", "b", "c"),
        suggested_prompts=("Why do pods restart?",),
    )
    nightly = AISchedule(
        id="nightly",
        name="Nightly note",
        cron="0 3 * * *",
        channel="#deploys",
        workflow="write-note",
    )
    return ApplicationState(
        folder=folder,
        policy=policy(),
        models={},
        assistants={"incident": assistant},
        workflows=workflows(),
        integrations={},
        triggers={},
        schedules={"nightly": nightly},
        datasets={},
        training_profiles={},
        training_runs={},
    )


@asynccontextmanager
async def running_world(folder: Path, mode: Mode) -> AsyncIterator[World]:
    """Start all of it, with a page open for each person."""
    async with AsyncExitStack() as stack:
        command = SlashCommand(
            command="/ops", description="Countersign", usage_hint="help", should_escape=True
        )
        server = await stack.enter_async_context(running_workspace(folder, commands=[command]))
        world, app, display, worker = await _assembled(stack, folder, server)
        for user in (ALICE, BOB, CAROL, DAVE):
            world.pages[user] = await stack.enter_async_context(open_page(server, user))
        settings = world.services.settings
        if mode == "socket":
            await stack.enter_async_context(socket_mode(app, settings))
            await until(lambda: server.workspace.delivery.connected, "the connection")
        else:
            world.request_url = await stack.enter_async_context(_http(app, server))
        for endless in (display.run(), worker.run()):
            task = asyncio.create_task(endless)
            stack.push_async_callback(_ended, task)
        yield world


async def _assembled(
    stack: AsyncExitStack, folder: Path, server: WorkspaceServer
) -> tuple[World, Any, Display, InboxWorker]:
    (folder / "effects").mkdir()
    settings = Settings(
        home=folder,
        slack_bot_token=server.bot_token,
        slack_app_token=server.app_token,
        slack_signing_secret=server.signing_secret,
        slack_api_url=server.api_url,
    )
    database = Database(settings.store_url)
    await database.open()
    stack.push_async_callback(database.close)
    client = await stack.enter_async_context(
        open_client(server.bot_token.get_secret_value(), server.api_url)
    )
    state = application_state(folder)
    directory = SlackDirectory(client)
    audit = AuditLog(database)
    delegations = Delegations(database, audit, state.policy.delegation)
    roles = Roles(state.policy, directory, delegations)
    permissions = Permissions(state.policy, roles, directory.channel_name, state.workflows)
    links = LinkPolicy(bases=("http://127.0.0.1:8800/",))
    messenger = SlackMessenger(client, database, directory, links)
    store = RunStore(database, audit)
    showing = Showing(database)
    kinds = (WriteFile, WipeFile, CheckFile)
    registry = ActionRegistry([kind(folder / "effects") for kind in kinds])
    worlds = Worlds(registry, OtherRuns(database), GateStore(database, audit), Calendars(folder))
    judge = Judge(roles, worlds)
    cards = Cards(state.policy, judge)
    display = Display(store, showing, SlackPresenter(messenger, cards, PictureStore(database)))
    service, engine, *_ = assemble(
        state, database, store, audit, registry, roles, permissions, judge, display, "test"
    )
    stack.callback(_forget_engine)
    engine.launch()
    stack.callback(engine.close)
    assistants = ScriptedAssistants(state.assistants["incident"])
    inbox = SqlInbox(database)
    schedule_store = ScheduleStore(database, audit)
    book = ScheduleBook(state.schedules, schedule_store)
    clock = Clock(book, inbox)
    await clock.start()
    stack.callback(clock.close)
    firings = FiringService(service, assistants, messenger)
    schedules = ScheduleService(book, schedule_store, clock, state, permissions, firings)
    services = BotServices(
        settings=settings,
        state=state,
        client=client,
        workflows=service,
        roles=roles,
        permissions=permissions,
        delegations=delegations,
        reviews=Reviews(database, audit, state.policy, permissions),
        cards=cards,
        orchestrator=ScriptedOrchestrator(),  # type: ignore[arg-type]
        assistants=assistants,
        panel=AIIntegrationManager([Says("incident", "look at the logs <!channel>")]),
        systems=HealthWatch(AIIntegrationManager([Says("git", "ready"), Says("github", None)])),
        inbox=inbox,
        offers=OfferStore(database),
        schedules=schedules,
        deliveries=DeliveryBook(database, audit),
        messenger=messenger,
        directory=directory,
        links=links,
    )
    work = SlackWork(services)
    worker = InboxWorker(inbox, {"slack": work.handle}, concurrency=4)
    services = replace(services, inbox=worker)
    world = World(folder, server, services, assistants, database, work)
    return world, build_bot(services), display, worker


@asynccontextmanager
async def _http(app: Any, server: WorkspaceServer) -> AsyncIterator[str]:
    """The app in an aiohttp service of our own, as it is mounted beside the webhooks."""
    web_app = web.Application()
    mount(app, web_app)
    runner = web.AppRunner(web_app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}{PATH}"
    server.use_request_url(url)
    try:
        yield url
    finally:
        server.use_request_url(None)
        await runner.cleanup()


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


def _forget_engine() -> None:
    """DBOS knows one instance for a process; the next test module makes its own."""
    _get_or_create_dbos_registry().instance_info_map.clear()
