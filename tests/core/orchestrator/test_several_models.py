"""Several models in one server: loaded when asked for, unloaded when another needs the room."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI, AsyncStream
from openai.types.chat import ChatCompletionChunk

from bot.models import pull
from core.orchestrator.files import catalog
from core.orchestrator.server.registry import memory
from core.orchestrator.server.registry.memory import budget, estimate, usable
from core.orchestrator.wire import ServedModel, ServerConfig
from core.state import AIModel
from tests.support.model_server import ModelServer, serving, token, until
from tests.support.tiny_models import save_tiny

CHAT = catalog.DEFAULT_CHAT_MODEL
HIDDEN = 1024
WEIGHTS = 49152 * HIDDEN
"""The embedding, which is most of a tiny model; 101 MB in bfloat16."""


@pytest.fixture(scope="module")
def home(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with the default chat model and two of the team's own, pulled."""
    sources, home = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("home")
    (home / CHAT).symlink_to(models_dir / CHAT)
    for seed, name in enumerate(("first", "second")):
        folder = save_tiny(sources / name, models_dir, hidden=HIDDEN, seed=seed)
        asyncio.run(pull(_record(name, folder), home, print))
    return home


def _record(name: str, folder: Path) -> AIModel:
    return AIModel.model_validate(
        {
            "id": name,
            "modality": "text",
            "parameters": WEIGHTS,
            "format": "safetensors",
            "licence": "Apache-2.0",
            "source": {"type": "folder", "path": str(folder)},
            "capabilities": ["chat"],
        }
    )


def _config(home: Path, **fields: object) -> ServerConfig:
    return ServerConfig.model_validate(
        {
            "token": token(),
            "models": [
                ServedModel(folder=home / CHAT, kind="chat", resident=True),
                *(
                    ServedModel(folder=home / name, kind="chat")
                    for name in ("first", "second", "absent")
                ),
            ],
            "precision": "bfloat16",
            "threads": 1,
        }
        | fields
    )


@pytest_asyncio.fixture
async def narrow(home: Path) -> AsyncIterator[ModelServer]:
    """A server with room for the default model and one of the two others."""
    room = sum(estimate(home / name, "chat", "bfloat16") for name in (CHAT, "first"))
    with serving(_config(home, memory=room + (1 << 20))) as server:
        yield server


def _client(server: ModelServer) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=server.base_url, api_key=server.token, max_retries=0)


async def _ask(client: AsyncOpenAI, model: str, tokens: int = 2) -> str:
    reply = await client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "Hello"}],
        max_tokens=tokens,
        temperature=0,
    )
    return reply.choices[0].message.content or ""


async def _stream(client: AsyncOpenAI, model: str, tokens: int) -> AsyncStream[ChatCompletionChunk]:
    return await client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "Write a very long story."}],
        max_tokens=tokens,
        stream=True,
    )


async def _loaded(client: AsyncOpenAI) -> list[str]:
    listed = (await client.models.list()).data
    return [item.id for item in listed if (item.model_extra or {})["loaded"]]


def _own_memory(pid: int) -> int:
    """Bytes that the process holds itself, without pages of files."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    raise AssertionError("the system does not tell")


async def test_a_model_is_loaded_when_it_is_asked_for(narrow: ModelServer) -> None:
    async with _client(narrow) as client:
        assert await _loaded(client) == [CHAT]
        listed = [item.id for item in (await client.models.list()).data]
        assert listed == [CHAT, "first", "second"]  # what is not installed cannot be had
        replies = await asyncio.gather(*(_ask(client, "first") for _ in range(3)))
        assert len(set(replies)) == 1
        assert await _loaded(client) == [CHAT, "first"]


async def test_the_idle_one_leaves_where_another_needs_the_room(narrow: ModelServer) -> None:
    async with _client(narrow) as client:
        said = await _ask(client, "first", 8)
        before = _own_memory(narrow.pid)
        for name in ("second", "first", "second"):
            await _ask(client, name)
            assert await _loaded(client) == [CHAT, name]
        assert abs(_own_memory(narrow.pid) - before) < WEIGHTS  # half of one model's bytes
        assert await _ask(client, "first", 8) == said


async def test_one_in_use_stays_and_the_other_is_refused(narrow: ModelServer) -> None:
    async with _client(narrow) as client:
        stream = await _stream(client, "first", 900)
        await anext(aiter(stream))
        with pytest.raises(openai.InternalServerError, match="COUNTERSIGN_MODEL_MEMORY") as caught:
            await _ask(client, "second")
        assert (caught.value.status_code, caught.value.code) == (503, "model_memory")
        assert "first" in caught.value.message
        await stream.close()

        async def room() -> bool:
            try:
                await _ask(client, "second")
            except openai.InternalServerError:
                return False
            return True

        await until(room)
        assert await _loaded(client) == [CHAT, "second"]


async def test_the_others_go_on_while_a_model_is_loaded(narrow: ModelServer) -> None:
    async with _client(narrow) as client:
        stream = aiter(await _stream(client, CHAT, 2000))
        await anext(stream)
        loading = asyncio.create_task(_ask(client, "first"))
        pieces = 0
        while not loading.done():
            await anext(stream)
            pieces += 1
        assert await loading
        assert pieces > 3


async def test_what_cannot_be_loaded_says_why_and_is_tried_again(
    home: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "first"
    broken.mkdir()
    for file in (home / "first").iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | {"hidden_act": "relu"}))
    with serving(_config(tmp_path, models=[ServedModel(folder=broken, kind="chat")])) as server:
        async with _client(server) as client:
            with pytest.raises(openai.InternalServerError, match=r"config\.json") as caught:
                await _ask(client, "first")
            assert (caught.value.status_code, caught.value.code) == (503, "model_not_loaded")
            assert await _loaded(client) == []
            (broken / "config.json").write_bytes((home / "first" / "config.json").read_bytes())
            assert await _ask(client, "first")


async def test_a_name_that_is_not_there_is_told_what_is(narrow: ModelServer) -> None:
    async with _client(narrow) as client:
        with pytest.raises(openai.NotFoundError, match=f"There is: {CHAT}, first, second"):
            await _ask(client, "other")
        with pytest.raises(openai.NotFoundError, match="countersign models pull"):
            await _ask(client, "absent")


def test_weights_are_counted_by_precision(home: Path) -> None:
    layers = 2 * (HIDDEN * HIDDEN * 3 + HIDDEN * 2 * HIDDEN * 3 + 2 * HIDDEN)
    numbers = WEIGHTS + layers + HIDDEN
    assert estimate(home / "first", "chat", "float32") == 4 * numbers
    assert estimate(home / "first", "chat", "bfloat16") == 2 * numbers
    assert 0 < 2 * budget() <= usable() + 1


@pytest.mark.parametrize("file", ["memory.max", "memory/memory.limit_in_bytes"])
def test_a_control_groups_limit_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str
) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / file).write_text("3000000\n")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    expected = 3_000_000 if _in_groups(file) else usable()
    assert usable() == expected
    (tmp_path / file).write_text("max\n")
    assert usable() > 3_000_000


def _in_groups(file: str) -> bool:
    """Whether the system has put this process into a group of that version."""
    lines = [line.split(":", 2)[1] for line in Path("/proc/self/cgroup").read_text().splitlines()]
    version_1 = any("memory" in controllers.split(",") for controllers in lines)
    return version_1 if file.startswith("memory/") else any("memory" not in c for c in lines)
