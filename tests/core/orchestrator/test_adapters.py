"""Adapters of a running server, loaded and removed as vLLM's are, by the official client."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI
from safetensors.torch import load_file, save_file

from core.orchestrator import LocalAIOrchestrator
from core.orchestrator.files import catalog
from core.orchestrator.server.models.lora import CONFIG_NAME, WEIGHTS_NAME
from core.orchestrator.wire import ServedModel, ServerConfig
from core.services.ai import ChatMessage, ChatRequest, OrchestratorUnavailableError
from tests.support.model_server import ModelServer, serving, token, until
from tests.support.tiny_adapters import EVERYTHING, save_adapter
from tests.support.tiny_models import save_tiny

CHAT = catalog.DEFAULT_CHAT_MODEL


@pytest.fixture(scope="module")
def adapters(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two adapters of the default model."""
    folder = tmp_path_factory.mktemp("adapters")
    for seed, name in enumerate(("terse", "merry")):
        save_adapter(folder / name, models_dir / CHAT, EVERYTHING, seed=seed, strength=0.05)
    return folder


@pytest.fixture(scope="module")
def server(models_dir: Path, adapters: Path) -> Iterator[ModelServer]:
    config = ServerConfig(
        token=token(),
        models=(ServedModel(folder=models_dir / CHAT, kind="chat", resident=True),),
        adapters=adapters,
        precision="float32",
        threads=1,
    )
    with serving(config) as running:
        yield running


@pytest_asyncio.fixture
async def client(server: ModelServer) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        base_url=server.base_url, api_key=server.token, max_retries=0
    ) as official:
        yield official


async def _load(client: AsyncOpenAI, name: str, path: str, **more: str) -> str:
    body = {"lora_name": name, "lora_path": path, **more}
    return await client.post("/load_lora_adapter", cast_to=str, body=body)


async def _unload(client: AsyncOpenAI, name: str) -> str:
    return await client.post("/unload_lora_adapter", cast_to=str, body={"lora_name": name})


async def _ask(client: AsyncOpenAI, model: str, tokens: int = 12) -> str:
    reply = await client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "What is a DNS record?"}],
        max_tokens=tokens,
        temperature=0,
        seed=1,
    )
    assert reply.model == model
    return reply.choices[0].message.content or ""


async def test_adapters_come_and_go_while_requests_run(client: AsyncOpenAI, adapters: Path) -> None:
    plain = await _ask(client, CHAT)
    story = await client.chat.completions.create(
        model=CHAT,
        messages=[{"role": "user", "content": "Write a very long story."}],
        max_tokens=1500,
        stream=True,
    )
    pieces = aiter(story)
    await anext(pieces)
    assert "Success" in await _load(client, "terse", "terse")
    await _load(client, "merry", str(adapters / "merry"), base_model=CHAT)
    listed = {item.id: item.model_extra or {} for item in (await client.models.list()).data}
    assert listed["terse"]["parent"] == listed["merry"]["parent"] == CHAT
    assert listed["merry"]["root"] == str(adapters / "merry")
    alone = [await _ask(client, name) for name in ("terse", "merry")]
    together = await asyncio.gather(*(_ask(client, name) for name in ("terse", "merry", CHAT)))
    assert len({plain, *alone}) == 3
    assert together == [*alone, plain]
    running = await client.chat.completions.create(
        model="merry",
        messages=[{"role": "user", "content": "Write a very long story."}],
        max_tokens=40,
        stream=True,
        stream_options={"include_usage": True},
    )
    merry = aiter(running)
    await anext(merry)
    for name in ("terse", "merry"):
        assert "Success" in await _unload(client, name)
    chunks = [chunk async for chunk in merry]  # one that runs with it goes on to its end
    assert chunks[-1].usage is not None
    await anext(pieces)
    await story.close()
    with pytest.raises(openai.NotFoundError, match="'merry'"):
        await _ask(client, "merry")
    assert [item.id for item in (await client.models.list()).data] == [CHAT]
    assert await _ask(client, CHAT) == plain


async def test_what_cannot_be_loaded_says_why(
    client: AsyncOpenAI, adapters: Path, models_dir: Path, tmp_path: Path
) -> None:
    save_tiny(tmp_path / "other", models_dir)
    save_adapter(tmp_path / "elsewhere", tmp_path / "other", EVERYTHING)
    shutil.copytree(tmp_path / "elsewhere", adapters / "of-another")
    (adapters / "link").symlink_to(tmp_path / "elsewhere")
    half = shutil.copytree(adapters / "terse", adapters / "half")
    (half / WEIGHTS_NAME).unlink()
    (half / WEIGHTS_NAME).symlink_to(tmp_path / "elsewhere" / WEIGHTS_NAME)
    for path, told in (
        ("nowhere", "it is no adapter"),
        ("of-another", "trained on another model"),
        (str(tmp_path / "elsewhere"), "out of the folder of adapters"),
        ("../elsewhere", "out of the folder of adapters"),
        ("link", "out of the folder of adapters"),
        ("half", "out of the folder of adapters"),
        ("a\0b", "is no path"),
    ):
        with pytest.raises(openai.BadRequestError, match=told) as caught:
            await _load(client, "bad", path)
        assert caught.value.code == "invalid_adapter"
    with pytest.raises(openai.BadRequestError, match="name of a model"):
        await _load(client, CHAT, "terse")
    with pytest.raises(openai.NotFoundError, match="no chat model called 'other'"):
        await _load(client, "bad", "terse", base_model="other")
    with pytest.raises(openai.NotFoundError, match="no adapter called 'bad'"):
        await _unload(client, "bad")
    await _load(client, "terse", "terse")
    with pytest.raises(openai.BadRequestError, match="Unload it first"):
        await _load(client, "terse", "merry")
    await _unload(client, "terse")


async def test_only_who_has_the_token_may_load(server: ModelServer) -> None:
    async with AsyncOpenAI(base_url=server.base_url, api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError):
            await _load(client, "terse", "terse")


async def test_the_orchestrator_loads_and_asks_an_adapter(models_dir: Path, adapters: Path) -> None:
    local = LocalAIOrchestrator(models_dir, embedding_model=None, adapters_dir=adapters)
    await local.start()
    try:
        await local.load_adapter("terse", str(adapters / "terse"), CHAT)
        message = ChatMessage(role="user", content="What is a DNS record?")
        asked = ChatRequest(messages=(message,), max_tokens=12, model="terse")
        with_it = await local.chat(asked)
        without = await local.chat(asked.model_copy(update={"model": CHAT}))
        assert with_it.text != without.text
        assert local.server_pid is not None
        os.kill(local.server_pid, signal.SIGKILL)
        assert await _after_restart(local, asked) == with_it.text
        await local.unload_adapter("terse")
        assert "terse" not in {model.name for model in await local.models()}
    finally:
        await local.close()


async def _after_restart(local: LocalAIOrchestrator, asked: ChatRequest) -> str:
    said = []

    async def answered() -> bool:
        try:
            said.append((await local.chat(asked)).text)
        except OrchestratorUnavailableError:
            return False
        return True

    await until(answered)
    return said[0]


async def test_an_adapter_that_was_changed_is_loaded_anew(
    client: AsyncOpenAI, adapters: Path
) -> None:
    folder = shutil.copytree(adapters / "terse", adapters / "changing")
    await _load(client, "changing", "changing")
    before = await _ask(client, "changing")
    await _unload(client, "changing")
    tensors = load_file(folder / WEIGHTS_NAME)
    save_file({key: value * 0 for key, value in tensors.items()}, folder / WEIGHTS_NAME)
    assert (folder / CONFIG_NAME).is_file()
    await _load(client, "changing", "changing")
    after = await _ask(client, "changing")
    assert before != after == await _ask(client, CHAT)
