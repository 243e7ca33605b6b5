"""Several model servers behind one client: which is asked, and what happens when one cannot."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from pydantic import BaseModel

from core.orchestrator import RemoteAIOrchestrator
from core.orchestrator.client.tries import MAX_TRIES
from core.services.ai import (
    AIOrchestratorClient,
    ChatMessage,
    ChatRequest,
    DeadlineExceededError,
    ModelNotFoundError,
    OrchestratorBusyError,
    OrchestratorError,
    OrchestratorUnavailableError,
)
from tests.support.model_server import until as until_true
from tests.support.until import until
from tests.support.vllm_server import CHAT, EMBEDDINGS, TOKEN, Failure, VllmServer, serving

WAIT_S = 60.0


@contextlib.asynccontextmanager
async def remote(
    *servers: VllmServer, started: bool = False
) -> AsyncIterator[RemoteAIOrchestrator]:
    """A client of these servers; they run."""
    async with serving(*servers) as urls:
        client = RemoteAIOrchestrator(urls, TOKEN, CHAT, EMBEDDINGS, use_proxy=False)
        try:
            if started:
                await client.start()
            yield client
        finally:
            await client.close()


def ask(text: str = "How are you?", **fields: object) -> ChatRequest:
    return ChatRequest.model_validate(
        {"messages": (ChatMessage(role="user", content=text),)} | fields
    )


async def words(client: RemoteAIOrchestrator, request: ChatRequest) -> list[str]:
    return [chunk.text async for chunk in client.stream(request)]


def asked(*servers: VllmServer) -> list[int]:
    return [len(server.bodies) for server in servers]


def at_work(servers: list[VllmServer]) -> tuple[VllmServer, VllmServer]:
    """Of two servers the one that got a request, and the other."""
    first, second = servers
    return (first, second) if first.bodies else (second, first)


async def preferred(
    client: RemoteAIOrchestrator, servers: list[VllmServer]
) -> tuple[VllmServer, VllmServer]:
    """The server that gets `ask()` first, and the other."""
    await client.chat(ask())
    found = at_work(servers)
    for server in servers:
        server.bodies.clear()
    return found


async def test_a_request_goes_to_the_server_that_has_its_model() -> None:
    chat, vectors = VllmServer(), VllmServer(models=(EMBEDDINGS,))
    async with remote(vectors, chat) as client:
        assert isinstance(client, AIOrchestratorClient)
        assert (await client.chat(ask())).text == "All is well ."
        assert await client.embed(["four", "seventy"]) == [[4.0, 1.0], [7.0, 1.0]]
        assert asked(chat, vectors) == [1, 1]
        assert [(model.name, set(model.capabilities)) for model in await client.models()] == [
            (CHAT, {"chat", "json"}),
            (EMBEDDINGS, {"embeddings"}),
        ]
        with pytest.raises(ModelNotFoundError, match=f"'gpt' *; there is: {EMBEDDINGS}, {CHAT}"):
            await client.chat(ask(model="gpt"))


async def test_a_single_server_says_itself_what_it_has() -> None:
    async with remote(VllmServer()) as client:
        with pytest.raises(ModelNotFoundError, match="The model `gpt` does not exist"):
            await client.chat(ask(model="gpt"))


async def test_the_first_models_listed_are_taken_where_none_are_named() -> None:
    async with serving(VllmServer(models=("some-model",))) as urls:
        client = RemoteAIOrchestrator(urls, TOKEN, use_proxy=False)
        assert (await client.chat(ask())).model == "some-model"
        with pytest.raises(ModelNotFoundError, match="no embeddings model"):
            await client.embed(["a"])
        await client.close()


async def test_conversations_with_one_assistant_meet_at_one_server() -> None:
    servers = [VllmServer(), VllmServer(), VllmServer()]
    system = ChatMessage(role="system", content="You are Iris.")
    async with remote(*servers) as client:
        for number in range(6):
            await client.chat(
                ChatRequest(messages=(system, ChatMessage(role="user", content=str(number))))
            )
        assert sorted(asked(*servers)) == [0, 0, 6]


async def test_a_server_with_much_to_do_is_passed_over() -> None:
    servers = [VllmServer(), VllmServer()]
    async with remote(*servers) as client:
        favourite, other = await preferred(client, servers)
        favourite.running, favourite.waiting = 6, 3
        await client.health()  # asks for the load, as the background does every few seconds
        await client.chat(ask())
        assert asked(favourite, other) == [0, 1]


async def test_requests_of_ours_count_as_load_at_once() -> None:
    servers = [VllmServer(), VllmServer()]
    async with remote(*servers) as client:
        favourite, other = await preferred(client, servers)
        favourite.gate.clear()
        other.gate.clear()
        waiting = [asyncio.create_task(client.chat(ask())) for _ in range(9)]
        await until(lambda: sum(asked(*servers)) == 9, "all are asked", WAIT_S)
        favourite.gate.set()
        other.gate.set()
        await asyncio.gather(*waiting)
        assert min(asked(*servers)) >= 2


@pytest.mark.parametrize("failure", [429, 500, 502, 503, "drop", "half"])
async def test_before_anything_was_read_another_server_is_tried(failure: Failure) -> None:
    servers = [VllmServer(), VllmServer()]
    async with remote(*servers) as client:
        favourite, other = await preferred(client, servers)
        favourite.always = failure
        assert (await client.chat(ask())).text == "All is well ."
        assert asked(favourite, other) == [1, 1]
        if failure != "half":  # of a stream, half is a piece that was read
            await client.health()
            assert "".join(await words(client, ask())) == "All is well . "


async def test_a_stream_that_was_begun_is_not_begun_again() -> None:
    servers = [VllmServer(), VllmServer()]
    async with remote(*servers) as client:
        favourite, other = await preferred(client, servers)
        favourite.fails = ["half"]
        stream = client.stream(ask())
        assert (await anext(stream)).text == "All "
        with pytest.raises(OrchestratorUnavailableError, match=f"{favourite.url} broke off"):
            await anext(stream)
        assert asked(favourite, other) == [1, 0]


async def test_a_server_that_refuses_connections_is_not_asked_again() -> None:
    servers = [VllmServer(), VllmServer()]
    async with remote(*servers) as client:
        favourite, other = await preferred(client, servers)
        await favourite.stop()
        for _ in range(3):
            assert "".join(await words(client, ask())) == "All is well . "
        assert asked(favourite, other) == [0, 3]
        health = await client.health()
        assert health.ready
        assert health.detail.startswith(f"1 of 2 ready (models: {CHAT}); {favourite.url}: ")
        assert "cannot be reached" in health.detail


async def test_where_all_are_busy_the_caller_hears_what_each_says() -> None:
    servers = [VllmServer(always=429), VllmServer(always=429)]
    async with remote(*servers) as client:
        with pytest.raises(OrchestratorBusyError) as caught:
            await client.chat(ask())
        for server in servers:
            assert f"{server.url} cannot now." in str(caught.value)
        assert asked(*servers) == [1, 1]
        assert (await client.health()).ready  # busy is not dead


async def test_where_all_are_gone_the_caller_hears_that_and_one_that_is_back_is_found() -> None:
    servers = [VllmServer(), VllmServer()]
    async with remote(*servers) as client:
        await client.chat(ask())
        for server in servers:
            await server.stop()
        with pytest.raises(OrchestratorUnavailableError, match="cannot be reached"):
            await client.chat(ask())
        with pytest.raises(OrchestratorUnavailableError, match="do not answer"):
            await client.chat(ask())
        with pytest.raises(OrchestratorUnavailableError):
            await client.models()
        assert not (await client.health()).ready
        await servers[1].start()
        assert (await client.chat(ask())).text


async def test_a_server_whose_engine_died_gets_nothing_though_it_lists_its_models() -> None:
    servers = [VllmServer(), VllmServer()]
    async with remote(*servers, started=True) as client:
        favourite, other = await preferred(client, servers)
        favourite.engine_died = True
        assert (await client.chat(ask())).text == "All is well ."
        assert asked(favourite, other) == [1, 1]

        async def noticed() -> bool:
            return "/health with HTTP status 503" in (await client.health()).detail

        await until_true(noticed)
        await client.chat(ask())
        assert asked(favourite, other) == [1, 2]


async def test_a_request_that_fails_everywhere_takes_no_server_away() -> None:
    servers = [VllmServer(always=500), VllmServer(always=500)]
    async with remote(*servers) as client:
        with pytest.raises(OrchestratorError, match="2 model servers were tried"):
            await client.chat(ask())
        assert "2 of 2 ready" in (await client.health()).detail


async def test_a_request_is_tried_a_few_times_only() -> None:
    servers = [VllmServer(always=503) for _ in range(MAX_TRIES + 2)]
    async with remote(*servers) as client:
        with pytest.raises(OrchestratorUnavailableError, match=f"{MAX_TRIES} model servers"):
            await client.chat(ask())
        assert sum(asked(*servers)) == MAX_TRIES


async def test_a_mistake_of_ours_is_not_repeated_elsewhere() -> None:
    servers = [VllmServer(always=400), VllmServer(always=400)]
    async with remote(*servers) as client:
        with pytest.raises(OrchestratorError, match="cannot now"):
            await client.chat(ask())
        assert sum(asked(*servers)) == 1


async def test_the_deadline_is_one_for_all_tries() -> None:
    servers = [VllmServer(), VllmServer()]
    async with remote(*servers) as client:
        favourite, other = await preferred(client, servers)
        favourite.always = 503
        other.gate.clear()
        with pytest.raises(DeadlineExceededError):
            await client.chat(ask(deadline_s=0.5))
        assert asked(favourite, other) == [1, 1]


async def test_a_server_that_lost_a_model_makes_way() -> None:
    servers = [VllmServer(models=(CHAT, "extra")), VllmServer(models=(CHAT, "extra"))]
    async with remote(*servers) as client:
        await client.chat(ask(model="extra"))
        loser, other = at_work(servers)
        loser.models = (CHAT,)
        assert (await client.chat(ask(model="extra"))).text
        assert asked(loser, other) == [2, 1]


async def test_in_the_background_a_dead_server_is_seen_and_found_again() -> None:
    servers = [VllmServer(), VllmServer()]
    async with remote(*servers, started=True) as client:
        favourite, other = await preferred(client, servers)
        await favourite.stop()
        await client.chat(ask())
        assert "1 of 2 ready" in (await client.health()).detail
        await favourite.start()

        async def back() -> bool:
            return "2 of 2 ready" in (await client.health()).detail

        await until_true(back)
        await client.chat(ask())
        assert asked(favourite, other) == [1, 1]


async def test_a_wrong_token_names_the_setting() -> None:
    async with serving(VllmServer()) as urls:
        client = RemoteAIOrchestrator(urls, "wrong", CHAT, use_proxy=False)
        with pytest.raises(OrchestratorUnavailableError, match="COUNTERSIGN_ORCHESTRATOR_TOKEN"):
            await client.chat(ask())
        await client.close()


class Verdict(BaseModel):
    fine: bool


async def test_constrained_replies_take_the_same_way() -> None:
    servers = [VllmServer(), VllmServer()]
    async with remote(*servers) as client:
        favourite, other = await preferred(client, servers)
        favourite.always, other.says = 503, '{"fine": true}'
        assert (await client.structured(ask(), Verdict)).fine
        other.says = "yes"
        assert await client.choose(ask(), ["no", "yes"]) == "yes"
        other.says = "db-17"
        assert await client.regex(ask(), r"db-\d+") == "db-17"
        assert [body.get("structured_outputs") for body in other.bodies] == [
            None,
            {"choice": ["no", "yes"]},
            {"regex": r"db-\d+"},
        ]
