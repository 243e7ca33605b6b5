from __future__ import annotations

import asyncio
import logging
import sqlite3

import pytest

from core.knowledge import KnowledgeBase
from core.services.ai import OrchestratorUnavailableError

pytestmark = pytest.mark.asyncio(loop_scope="session")

LAG = """\
---
alerts: [ReplicaLag]
services: [orders]
---
# Replica lag

## Meaning

The standby of the database is behind its primary.
"""
DISK = "# Disk full\n\n## Mitigation\n\nRemove old journals to free space on the disk.\n"


class Counting:
    """The real model, counting what it is asked, and failing on command."""

    def __init__(self, embed) -> None:
        self._embed = embed
        self.texts: list[str] = []
        self.down = False

    async def __call__(self, texts):
        if self.down:
            raise OrchestratorUnavailableError("The model server is being restarted")
        self.texts.extend(texts)
        return await self._embed(texts)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "runbooks"
    folder.mkdir()
    (folder / "lag.md").write_text(LAG)
    (folder / "disk.md").write_text(DISK)
    return folder


@pytest.fixture
def model(embed):
    return Counting(embed)


@pytest.fixture
def knowledge(folder, model, tmp_path):
    return KnowledgeBase([folder], "https://ops.example/runbooks/", model, tmp_path / "c" / "e.db")


async def test_a_passage_says_where_it_is_from(knowledge):
    await knowledge.refresh()
    (passage,) = await knowledge.search("the secondary lags behind")
    assert passage.document == "lag.md"
    assert passage.title == "Replica lag"
    assert passage.heading_path == ("Replica lag", "Meaning")
    assert passage.text == "The standby of the database is behind its primary."
    assert (passage.start_line, passage.end_line) == (7, 9)
    assert passage.link == "https://ops.example/runbooks/lag.md#meaning"
    assert 0 < passage.score <= 1


async def test_runbooks_are_embedded_later_than_what_a_person_asks(folder, embed):
    asked, later = Counting(embed), Counting(embed)
    knowledge = KnowledgeBase([folder], "/runbooks", asked, embed_later=later)
    await knowledge.refresh()
    assert later.texts
    assert not asked.texts
    await knowledge.search("the secondary lags behind")
    assert asked.texts == ["the secondary lags behind"]


async def test_links_are_quoted(folder, embed):
    (folder / "sub").mkdir()
    (folder / "sub" / "a b?#.md").write_text('# Größe "prüfen" der Platte\n\nZu klein.\n')
    knowledge = KnowledgeBase([folder], "/runbooks", embed)
    await knowledge.refresh()
    document = knowledge.documents["sub/a b?#.md"]
    assert knowledge.link(document.path) == "/runbooks/sub/a%20b%3F%23.md"
    assert knowledge.link(document.path, "größe") == "/runbooks/sub/a%20b%3F%23.md#gr%C3%B6%C3%9Fe"


async def test_before_the_first_refresh_and_without_documents_nothing_is_found(tmp_path, embed):
    knowledge = KnowledgeBase([tmp_path], "/runbooks", embed)
    assert await knowledge.search("disk full") == []
    report = await knowledge.refresh()
    assert (report.documents, report.passages, report.problems) == (0, 0, ())
    assert await knowledge.search("disk full") == []
    assert await knowledge.for_alert({"alertname": "DiskFull"}) is None


@pytest.mark.parametrize("query", ["", "   ", "\n", "the", "?!", "\x00", "x" * 100_000])
async def test_questions_without_content_find_nothing(knowledge, query):
    await knowledge.refresh()
    assert await knowledge.search(query) == []


async def test_the_limit_is_kept(knowledge):
    await knowledge.refresh()
    assert len(await knowledge.search("disk full or standby behind", limit=1)) == 1
    assert await knowledge.search("disk full", limit=0) == []


async def test_refresh_follows_the_files(knowledge, folder, model):
    report = await knowledge.refresh()
    assert report.added == ("disk.md", "lag.md")
    assert report.embedded == 2

    asked = len(model.texts)
    report = await knowledge.refresh()
    assert (report.added, report.changed, report.removed, report.embedded) == ((), (), (), 0)
    assert len(model.texts) == asked

    (folder / "disk.md").write_text(
        "# Kitchen\n\nThe kettle is beside the window of the kitchen.\n"
    )
    (folder / "queue.md").write_text("# Queue\n\nConsumers of the queue are slow.\n")
    (folder / "lag.md").unlink()
    report = await knowledge.refresh()
    assert report.added == ("queue.md",)
    assert report.changed == ("disk.md",)
    assert report.removed == ("lag.md",)
    assert report.embedded == 2
    assert await knowledge.search("the standby is behind") == []
    assert (await knowledge.search("where is the kettle"))[0].document == "disk.md"


async def test_a_bad_file_is_reported_once_in_the_log_and_stops_nothing(knowledge, folder, caplog):
    (folder / "bad.md").write_bytes(b"\xff\xfe")
    (folder / "endless.md").write_text("# a\n" * 3000)
    report = await knowledge.refresh()
    assert report.documents == 2
    assert len(report.problems) == 2
    assert "bad.md: line 1: byte 0xff is not UTF-8" in report.problems[0]
    assert "endless.md: more than 2000 sections" in report.problems[1]
    again = await knowledge.refresh()
    assert again.problems == report.problems
    assert caplog.text.count("bad.md") == 1


async def test_embeddings_outlive_the_process(knowledge, folder, embed, tmp_path):
    await knowledge.refresh()
    model = Counting(embed)
    again = KnowledgeBase([folder], "/runbooks", model, tmp_path / "c" / "e.db")
    report = await again.refresh()
    assert report.embedded == 0
    assert len(model.texts) == 1  # the canary
    assert (await again.search("free space on the disk"))[0].document == "disk.md"


async def test_another_model_does_not_meet_the_vectors_of_the_first(
    knowledge, folder, embed, tmp_path
):
    await knowledge.refresh()

    async def mirrored(texts):
        return [vector[::-1] for vector in await embed(texts)]

    async def shorter(texts):
        return [vector[:100] for vector in await embed(texts)]

    for other in (mirrored, shorter):
        again = KnowledgeBase([folder], "/runbooks", other, tmp_path / "c" / "e.db")
        assert (await again.refresh()).embedded == 2
        assert (await again.search("free space on the disk"))[0].document == "disk.md"


async def test_a_model_exchanged_while_running_is_noticed(folder, embed):
    length = 384

    async def changing(texts):
        return [vector[:length] for vector in await embed(texts)]

    knowledge = KnowledgeBase([folder], "/runbooks", changing)
    await knowledge.refresh()
    length = 200
    assert (await knowledge.search("free space on the disk"))[0].document == "disk.md"
    report = await knowledge.refresh()
    assert report.embedded == 2
    assert report.searches_by_meaning


@pytest.mark.parametrize(
    "content", [b"this is not a database" * 100, b"", b"SQLite format 3\0" * 9]
)
async def test_a_broken_cache_is_replaced(knowledge, folder, embed, tmp_path, content):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "e.db").write_bytes(content)
    report = await knowledge.refresh()
    assert report.searches_by_meaning
    model = Counting(embed)
    assert (
        await KnowledgeBase([folder], "/r", model, tmp_path / "c" / "e.db").refresh()
    ).embedded == 0
    assert len(model.texts) == 1


async def test_a_cache_of_other_vectors_is_not_trusted(knowledge, folder, embed, tmp_path):
    await knowledge.refresh()
    with sqlite3.connect(tmp_path / "c" / "e.db") as connection:
        connection.execute("UPDATE embeddings SET vector = zeroblob(7)")
    again = KnowledgeBase([folder], "/runbooks", embed, tmp_path / "c" / "e.db")
    assert (await again.refresh()).embedded == 2


async def test_a_cache_that_cannot_be_written_only_costs_time(folder, embed, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    knowledge = KnowledgeBase([folder], "/runbooks", embed, tmp_path / "file" / "e.db")
    assert (await knowledge.refresh()).searches_by_meaning
    assert "cannot be written" in caplog.text


async def test_without_a_model_it_searches_by_words_and_says_so(knowledge, model, caplog):
    model.down = True
    report = await knowledge.refresh()
    assert not report.searches_by_meaning
    assert (await knowledge.search("remove journals to free the disk"))[0].document == "disk.md"
    assert await knowledge.search("who won the world cup") == []
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert any("by words only" in warning for warning in warnings)

    model.down = False
    report = await knowledge.refresh()
    assert report.searches_by_meaning
    assert report.embedded == 2


async def test_a_model_that_fails_between_refreshes_costs_the_meaning_only(
    knowledge, model, folder
):
    await knowledge.refresh()
    model.down = True
    assert (await knowledge.search("remove journals to free the disk"))[0].document == "disk.md"
    (folder / "queue.md").write_text("# Queue\n\nThe broker's consumers are slow.\n")
    assert not (await knowledge.refresh()).searches_by_meaning
    assert (await knowledge.search("broker consumers slow"))[0].document == "queue.md"


@pytest.mark.parametrize(
    "reply",
    [[], [[1.0]] * 1000, [[0.0, 0.0]], [[float("nan"), 1.0]], [[]]],
    ids=["none", "too many", "zero", "not a number", "empty"],
)
async def test_nonsense_from_a_model_counts_as_no_model(folder, reply):
    async def nonsense(texts):
        return reply * len(texts) if len(reply) == 1 else reply

    knowledge = KnowledgeBase([folder], "/runbooks", nonsense)
    assert not (await knowledge.refresh()).searches_by_meaning
    assert (await knowledge.search("remove journals to free the disk"))[0].document == "disk.md"


async def test_searches_and_refreshes_at_once(knowledge, folder):
    (folder / "more.md").write_text(
        "\n".join(f"## Section {n}\n\nText of section {n}.\n" for n in range(100))
    )

    async def searching():
        return [await knowledge.search("free space on the disk") for _ in range(5)]

    reports, found = await asyncio.gather(
        asyncio.gather(*(knowledge.refresh() for _ in range(3))), searching()
    )
    assert [len(report.added) for report in reports] == [3, 0, 0]
    assert (await knowledge.search("free space on the disk"))[0].document == "disk.md"
    assert all(passages == [] or passages[0].document == "disk.md" for passages in found)


async def test_an_alert_finds_the_document_that_names_it(knowledge, folder):
    (folder / "other.md").write_text(
        LAG.replace("orders", "billing").replace("# Rep", "# Other rep")
    )
    await knowledge.refresh()
    for service, path in (("orders", "lag.md"), ("billing", "other.md")):
        found = await knowledge.for_alert({"alertname": "ReplicaLag", "service": service})
        assert found is not None
        assert found.path == path


async def test_an_alert_that_no_document_names_is_searched_for(runbooks):
    by_name = await runbooks.for_alert({"alertname": "PodIsCrashLoopingAgain"})
    assert by_name is not None
    assert by_name.path == "pod-crash-looping.md"
    by_text = await runbooks.for_alert(
        {"alertname": "Alert42"}, {"summary": "The certificate of shop.example expires in 2 days"}
    )
    assert by_text is not None
    assert by_text.path == "certificate-expiry.md"
    assert await runbooks.for_alert({"alertname": "CoffeeMachineEmpty"}) is None
    assert await runbooks.for_alert({}) is None
