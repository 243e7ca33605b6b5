"""The edges by themselves: posting once, whispering, groups, people, deliveries sent twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from sqlalchemy import select, update

from bot.blocks.layout import Content, dicts, paragraph, rich, text
from bot.blocks.lists import sentence
from bot.handlers.intake import Intake
from bot.handlers.items import CommandItem, PhraseItem
from bot.slack.cards import Cards
from bot.slack.client import open_client
from bot.slack.directory import SlackDirectory
from bot.slack.escaping import LinkPolicy
from bot.slack.files import ThreadFile
from bot.slack.messenger import SlackMessenger
from bot.slack.posts import PostStore
from bot.slack.presenter import SlackPresenter
from bot.workspace.recorder import Fault
from bot.workspace.server import WorkspaceServer
from core.errors import NotAllowedError
from core.ports import Announcement, PresentationError
from core.records import Place
from core.replicas import Replica
from core.security.audit import AuditLog
from core.store.database import Database
from core.store.inbox import SqlInbox
from core.store.pictures import PictureStore
from core.store.runs import RunStore
from core.store.tables import deliveries, posts
from core.workflows.pictures import Picture
from core.workflows.run import Run, RunState
from core.workflows.verdict import Verdict
from tests.bot.blocks.samples import run
from tests.bot.handlers.world import policy
from tests.support.pictures import png
from tests.support.workspace import Page, open_page, running_workspace, until

DEPLOYS = Place(channel="#deploys")
OUTPUT = ThreadFile(
    name="run-1f3c-output.txt",
    data=("naïve\n" * 9).encode(),
    media_type="text/plain",
    comment="The whole output.",
)


class Edge:
    """A messenger with what it stands on."""

    def __init__(
        self,
        server: WorkspaceServer,
        database: Database,
        directory: SlackDirectory,
        page: Page,
        messenger: SlackMessenger,
    ) -> None:
        self.server = server
        self.database = database
        self.directory = directory
        self.page = page
        self.messenger = messenger

    @property
    def presenter(self) -> SlackPresenter:
        """Shows runs that are judged already."""

        async def never(_: Run) -> Verdict:
            raise AssertionError("a run that has ended is not judged")

        cards = Cards(policy(), never)
        return SlackPresenter(self.messenger, cards, PictureStore(self.database))

    async def texts(self) -> list[str]:
        """What stands in #deploys."""
        return [message["text"] for message in await self.page.messages("C0DEPLOYS")]

    async def later(self) -> None:
        """Let time go by for what was begun."""
        async with self.database.write() as connection:
            earlier = datetime.now(UTC) - timedelta(minutes=1)
            await connection.execute(update(posts).values(at=earlier))


@pytest_asyncio.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Edge]:
    """A workspace, a database, a messenger, and a page to look at."""
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'edge.db'}")
    await database.open()
    async with (
        running_workspace(tmp_path) as server,
        open_client(server.bot_token.get_secret_value(), server.api_url) as client,
        open_page(server, "U0ALICE") as page,
    ):
        directory = SlackDirectory(client)
        messenger = SlackMessenger(client, database, directory, LinkPolicy())
        yield Edge(server, database, directory, page, messenger)
    await database.close()


async def test_the_same_key_is_posted_once(edge: Edge) -> None:
    first = await edge.messenger.say(DEPLOYS, "hello", key="k")
    second = await edge.messenger.say(DEPLOYS, "hello", key="k")

    assert first == second
    assert (first.channel, first.thread) == ("C0DEPLOYS", first.message)
    assert (await edge.texts()).count("hello") == 1


async def test_a_post_whose_answer_was_lost_is_found_and_not_repeated(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.slack.messenger._ON_ITS_WAY", timedelta(seconds=0.5))
    edge.server.workspace.faults.add(Fault(method="chat.postMessage", status=500, after=True))
    with pytest.raises(PresentationError):
        await edge.messenger.say(DEPLOYS, "once", key="lost")
    assert (await edge.texts()).count("once") == 1

    found = await edge.messenger.say(DEPLOYS, "once", key="lost")

    assert (await edge.texts()).count("once") == 1
    assert found == await edge.messenger.posted("lost")


async def test_what_a_living_replica_has_given_up_another_can_finish(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = Replica(edge.database, "a", timedelta(minutes=1))
    await replica.join()
    monkeypatch.setattr(edge.messenger, "_posts", PostStore(edge.database, replica.id))
    other = PostStore(edge.database, "b")
    edge.server.workspace.faults.add(Fault(method="chat.postMessage", status=500, after=True))
    with pytest.raises(PresentationError):
        await edge.messenger.say(DEPLOYS, "once", key="lost")
    assert await other.take_up("lost")
    trying = asyncio.create_task(edge.messenger.say(DEPLOYS, "once", key="lost"))

    async def at_it() -> bool:
        return not await other.take_up("lost")

    await until(at_it, "it is posted again")
    trying.cancel()
    await asyncio.wait({trying})
    assert await other.take_up("lost")


async def test_what_may_be_on_its_way_is_waited_for(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was killed and is back at once must not fail, nor post twice."""
    monkeypatch.setattr("bot.slack.messenger._ON_ITS_WAY", timedelta(seconds=1))
    posts_ = PostStore(edge.database, "killed")
    await posts_.begin("late", Place(channel="C0DEPLOYS"))
    waiting = asyncio.create_task(edge.messenger.say(DEPLOYS, "late", key="late"))
    elsewhere = await edge.messenger.post(DEPLOYS, Content(text="late", blocks=[]), "late")
    assert await waiting == elsewhere
    assert (await edge.texts()).count("late") == 1


async def test_a_post_that_never_went_out_is_posted_later(edge: Edge) -> None:
    edge.server.workspace.faults.add(Fault(method="chat.postMessage", status=500))
    with pytest.raises(PresentationError):
        await edge.messenger.say(DEPLOYS, "at last", key="down")
    await edge.later()

    await edge.messenger.say(DEPLOYS, "at last", key="down")

    assert (await edge.texts()).count("at last") == 1


async def test_a_refused_post_is_posted_as_soon_as_it_can_be(edge: Edge) -> None:
    edge.server.workspace.faults.add(Fault(method="chat.postMessage", error="not_in_channel"))
    with pytest.raises(PresentationError, match="Invite the bot to the channel"):
        await edge.messenger.say(DEPLOYS, "welcome", key="refused")

    await edge.messenger.say(DEPLOYS, "welcome", key="refused")

    assert (await edge.texts()).count("welcome") == 1


async def test_what_an_outsider_wrote_is_not_live_in_an_announcement(edge: Edge) -> None:
    hostile = "<!channel> <@U0BOB> @here *b* [x](https://evil.example/a) ![i](https://evil.example)"
    await edge.messenger.announce(
        Announcement(
            key="a",
            place=DEPLOYS,
            title=hostile,
            text=hostile,
            facts={"Branch": hostile},
            link="https://ci.example/job/1",
        )
    )

    (message,) = await edge.page.messages("C0DEPLOYS")
    blocks = json.dumps(message["blocks"])
    assert "<" not in message["text"]
    assert not any(kind in blocks for kind in ('"mrkdwn"', '"markdown"', '"broadcast"', '"user"'))
    assert [link["url"] for link in _links(message["blocks"])] == ["https://ci.example/job/1"]


async def test_an_over_long_message_is_cut_to_what_slack_takes(edge: Edge) -> None:
    blocks = dicts([rich(paragraph([text("x" * 9_000)])), rich(paragraph([text("y" * 9_000)]))])

    await edge.messenger.post(DEPLOYS, Content(text="long", blocks=blocks))

    (message,) = await edge.page.messages("C0DEPLOYS")
    assert "… (cut)" in json.dumps(message["blocks"], ensure_ascii=False)


async def test_two_blocks_with_one_id_are_a_mistake(edge: Edge) -> None:
    block = {"type": "divider", "block_id": "same"}

    with pytest.raises(ValueError, match="same"):
        await edge.messenger.post(DEPLOYS, Content(text="x", blocks=[block, block]))


async def test_a_person_is_told_in_direct_messages_where_the_bot_cannot_post(edge: Edge) -> None:
    fault = Fault(method="chat.postEphemeral", error="not_in_channel")
    edge.server.workspace.faults.add(fault)

    await edge.messenger.whisper(DEPLOYS, "U0ALICE", sentence("only for you"))

    channels = (await edge.page.get("state"))["channels"]
    direct = next(channel["id"] for channel in channels if channel["id"].startswith("D"))
    assert [m["text"] for m in await edge.page.messages(direct)] == ["only for you"]


async def test_an_unknown_channel_is_a_clear_error(edge: Edge) -> None:
    with pytest.raises(PresentationError, match="no channel #nowhere"):
        await edge.messenger.say(Place(channel="#nowhere"), "x", key="n")


async def test_groups_have_their_members_and_nobody_where_slack_cannot_be_asked(
    edge: Edge,
) -> None:
    edge.server.workspace.faults.add(Fault(method="usergroups.users.list", error="fatal_error"))
    assert await edge.directory.group_members("oncall") == frozenset()

    assert await edge.directory.group_members("oncall") == {"U0BOB", "U0CAROL"}
    assert await edge.directory.group_members("no-such-group") == frozenset()


async def test_people_have_names_and_a_bot_is_refused(edge: Edge) -> None:
    assert (await edge.directory.require_member("U0ALICE")).name == "Alice Moreau"
    with pytest.raises(NotAllowedError):
        await edge.directory.require_member("U0COUNTER")


@pytest.mark.parametrize(
    "who",
    [
        {"is_restricted": True},
        {"is_ultra_restricted": True},
        {"is_stranger": True},
        {"deleted": True},
        {"team_id": "T0OTHER"},
    ],
)
async def test_guests_and_people_of_other_workspaces_are_refused(who: dict[str, Any]) -> None:
    user = {"id": "U0GUEST", "team_id": "T0ACME", "name": "guest", **who}
    async with _slack_that_knows(user) as base_url, open_client("xoxb-test", base_url) as client:
        with pytest.raises(NotAllowedError, match="guests"):
            await SlackDirectory(client).require_member("U0GUEST")


async def test_a_payload_that_comes_twice_is_kept_once(edge: Edge) -> None:
    intake = Intake(SqlInbox(edge.database))
    item = CommandItem(user="U0ALICE", channel="C0DEPLOYS", text="help")
    for _ in range(2):
        await intake.keep({"trigger_id": "1.2.3", "token": "secret"}, item)

    async with edge.database.read() as connection:
        rows = (await connection.execute(select(deliveries))).all()
    assert len(rows) == 1
    assert b"secret" not in rows[0].body


async def test_a_form_that_is_sent_again_is_kept_once(edge: Edge) -> None:
    """Where our answer comes late, Slack shows an error and the person presses again."""
    intake = Intake(SqlInbox(edge.database))
    item = PhraseItem(user="U0ALICE", run="1f3c", phrase="wipe")
    for press in ("1.2.3", "1.2.4"):
        view = {"id": "V0FORM"}
        await intake.keep({"type": "view_submission", "trigger_id": press, "view": view}, item)

    async with edge.database.read() as connection:
        assert len((await connection.execute(select(deliveries))).all()) == 1


async def test_a_rate_limit_is_waited_for(edge: Edge) -> None:
    fault = Fault(method="chat.postMessage", status=429, retry_after=1)
    edge.server.workspace.faults.add(fault)

    await edge.messenger.say(DEPLOYS, "patient", key="rate")

    assert (await edge.texts()).count("patient") == 1


async def test_a_file_is_shown_once_in_its_thread_also_when_the_answer_was_lost(
    edge: Edge,
) -> None:
    card = await edge.messenger.say(DEPLOYS, "the card", key="card")
    thread = Place(channel=card.channel, thread=card.thread)
    lost = Fault(method="files.completeUploadExternal", status=500, after=True)
    edge.server.workspace.faults.add(lost)
    with pytest.raises(PresentationError):
        await edge.messenger.post_file_once(thread, OUTPUT, key="file")
    await edge.later()

    for _ in range(2):
        await edge.messenger.post_file_once(thread, OUTPUT, key="file")

    (reply,) = await edge.page.replies(card.channel, card.message)
    (file,) = reply["files"]
    assert (file["name"], file["size"]) == (OUTPUT.name, len(OUTPUT.data))


async def test_a_file_that_slack_refuses_is_tried_again_without_waiting(edge: Edge) -> None:
    card = await edge.messenger.say(DEPLOYS, "the card", key="card")
    thread = Place(channel=card.channel, thread=card.thread)
    refused = Fault(method="files.getUploadURLExternal", error="missing_scope")
    edge.server.workspace.faults.add(refused)
    with pytest.raises(PresentationError, match="with the scopes of `countersign manifest`"):
        await edge.messenger.post_file_once(thread, OUTPUT, key="file")

    await edge.messenger.post_file_once(thread, OUTPUT, key="file")

    assert len(await edge.page.replies(card.channel, card.message)) == 1


async def test_where_files_are_refused_the_card_is_shown_all_the_same(edge: Edge) -> None:
    ended = run(RunState.SUCCEEDED, "x")
    long = ended.steps[0].model_copy(update={"output": "line\n" * 99})
    ended = ended.model_copy(update={"steps": (long, ended.steps[1])})
    refused = Fault(method="files.getUploadURLExternal", error="missing_scope")
    edge.server.workspace.faults.add(refused)

    posted = await edge.presenter.present(ended)

    (card,) = [m for m in await edge.page.messages("C0DEPLOYS") if m["ts"] == posted.message]
    assert "87 lines left out" in json.dumps(card["blocks"])
    assert "The whole output" not in json.dumps(card["blocks"])


async def pictured(edge: Edge, data: bytes) -> Run:
    """A run that is stored, whose second step has given a picture."""
    ended = run(RunState.SUCCEEDED, "x")
    audit = AuditLog(edge.database)
    assert await RunStore(edge.database, audit).create(ended)
    shown = Picture(data, "Requests, on the dashboard <!channel>")
    kept = await PictureStore(edge.database).keep(ended.id, shown)
    step = ended.steps[1].model_copy(update={"picture": kept, "output": ""})
    bare = ended.steps[0].model_copy(update={"output": ""})
    return ended.model_copy(update={"steps": (bare, step)})


async def test_a_picture_is_shown_once_in_the_thread_with_its_alt_text(edge: Edge) -> None:
    data = png()
    ended = await pictured(edge, data)

    for _ in range(2):
        posted = await edge.presenter.present(ended)

    (reply,) = await edge.page.replies(posted.channel, posted.message)
    (file,) = reply["files"]
    assert file["name"].startswith(f"run-{ended.id}-2-")
    assert (file["mimetype"], file["size"]) == ("image/png", len(data))
    assert file["alt_txt"] == "Requests, on the dashboard <!channel>"
    async with (
        aiohttp.ClientSession() as session,
        session.get(edge.server.base_url + file["url"], params={"user": "U0ALICE"}) as answer,
    ):
        assert await answer.read() == data


async def test_a_picture_that_was_removed_is_left_out(edge: Edge) -> None:
    ended = await pictured(edge, png())
    await PictureStore(edge.database).purge(datetime.now(UTC) + timedelta(seconds=1))

    posted = await edge.presenter.present(ended)

    assert await edge.page.replies(posted.channel, posted.message) == []


async def test_where_a_picture_is_refused_the_card_is_shown_all_the_same(edge: Edge) -> None:
    ended = await pictured(edge, png())
    refused = Fault(method="files.getUploadURLExternal", error="missing_scope")
    edge.server.workspace.faults.add(refused)

    posted = await edge.presenter.present(ended)
    assert await edge.page.replies(posted.channel, posted.message) == []

    await edge.presenter.present(ended)
    assert len(await edge.page.replies(posted.channel, posted.message)) == 1


@asynccontextmanager
async def _slack_that_knows(user: dict[str, Any]) -> AsyncIterator[str]:
    """A server that answers the two methods by which people are looked up."""

    async def answer(request: web.Request) -> web.Response:
        me = {"ok": True, "user_id": "U0COUNTER", "team_id": "T0ACME", "user": "countersign"}
        known = me if request.match_info["method"] == "auth.test" else {"ok": True, "user": user}
        return web.json_response(known)

    app = web.Application()
    app.router.add_route("*", "/{method}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


def _links(value: object) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        own = [value] if value.get("type") == "link" else []
        return own + [found for inner in value.values() for found in _links(inner)]
    if isinstance(value, list):
        return [found for inner in value for found in _links(inner)]
    return []
