"""What vLLM knows beyond OpenAI's protocol, and what it refuses; and what only our server knows."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from core.orchestrator import RemoteAIOrchestrator
from core.services.ai import ChatMessage, ChatRequest, ModelNotFoundError, OrchestratorError
from tests.support.until import until
from tests.support.vllm_server import CHAT, EMBEDDINGS, TOKEN, VllmServer, serving

ASK = ChatRequest(messages=(ChatMessage(role="user", content="How are you?"),))
BACKGROUND = ASK.model_copy(update={"priority": "background"})
FOLDER = "/srv/adapters/alerts"
WAIT_S = 60.0


@contextlib.asynccontextmanager
async def remote(
    *servers: VllmServer, started: bool = False
) -> AsyncIterator[RemoteAIOrchestrator]:
    async with serving(*servers) as urls:
        client = RemoteAIOrchestrator(urls, TOKEN, CHAT, EMBEDDINGS, use_proxy=False)
        try:
            if started:
                await client.start()
            yield client
        finally:
            await client.close()


async def text(client: RemoteAIOrchestrator, request: ChatRequest) -> str:
    return "".join([chunk.text async for chunk in client.stream(request)])


async def test_background_work_says_so_and_nobody_else_does() -> None:
    server = VllmServer(models=(CHAT, EMBEDDINGS), takes_priority=True)
    async with remote(server) as client:
        await client.chat(ASK)
        await client.chat(BACKGROUND)
        await text(client, BACKGROUND)
        await client.embed(["a"])
        await client.embed(["a"], priority="background")
        assert [body.get("priority") for body in server.bodies] == [None, 10, 10, None, 10]


async def test_a_server_without_priorities_is_asked_without_from_then_on() -> None:
    server = VllmServer()
    async with remote(server) as client:
        assert (await client.chat(BACKGROUND)).text == "All is well ."
        await client.chat(BACKGROUND)
        assert [body.get("priority") for body in server.bodies] == [10, None, None]


async def test_a_refusal_in_the_stream_is_one_as_well() -> None:
    server = VllmServer()
    async with remote(server) as client:
        assert await text(client, BACKGROUND) == "All is well . "
        assert [body.get("priority") for body in server.bodies] == [10, None]


async def test_only_our_own_server_is_asked_for_the_place_in_the_queue() -> None:
    theirs, ours = VllmServer(places=(3,)), VllmServer(places=(2, 1), ours=True)
    async with remote(theirs) as client:
        assert [chunk.place async for chunk in client.stream(ASK)] == [None] * 5
        assert "stream_options" not in theirs.bodies[0]
    async with remote(ours) as client:
        chunks = [chunk async for chunk in client.stream(ASK)]
    assert [(chunk.place, chunk.text) for chunk in chunks[:3]] == [(2, ""), (1, ""), (None, "All ")]
    assert ours.bodies[0]["stream_options"] == {"include_queue_place": True}


async def test_the_reply_tells_what_was_known_of_the_prompt() -> None:
    async with remote(VllmServer()) as client:
        assert (await client.chat(ASK)).usage.cached_tokens == 7


async def test_documents_are_scored_in_their_order() -> None:
    server = VllmServer(models=(CHAT, EMBEDDINGS))
    async with remote(server) as client:
        scores = await client.rerank("disk full", ["the disk", "the moon", "a full disk"])
        assert scores == [0.5, 0.0, 1.0]
        assert server.bodies[0]["model"] == EMBEDDINGS
        assert await client.rerank("disk full", []) == []
        await client.rerank("disk full", ["a"], model=CHAT)
        assert server.bodies[1]["model"] == CHAT


async def test_a_pattern_that_is_none_or_is_not_kept_to_is_an_error() -> None:
    server = VllmServer(says="a" * 40 + "!")
    async with remote(server) as client:
        with pytest.raises(OrchestratorError, match="cannot be compiled"):
            await client.regex(ASK, "db-(")
        assert not server.bodies
        with pytest.raises(OrchestratorError, match="structured_outputs"):
            await client.regex(ASK, r"db-\d+")
        assert await client.regex(ASK, r"a+!") == "a" * 40 + "!"


async def test_a_pattern_that_takes_for_ever_to_check_is_given_up() -> None:
    async with remote(VllmServer(says="a" * 60 + "!")) as client:
        with pytest.raises(OrchestratorError, match="without repetitions inside repetitions"):
            await client.regex(ASK, r"(a|aa)+")


async def test_an_adapter_is_loaded_wherever_its_base_model_is() -> None:
    one, two, vectors = VllmServer(), VllmServer(), VllmServer(models=(EMBEDDINGS,))
    async with remote(one, two, vectors) as client:
        await client.load_adapter("alerts", FOLDER)
        await client.load_adapter("alerts", FOLDER)  # the same again is no error
        assert one.adapters == two.adapters == {"alerts": FOLDER}
        assert not vectors.adapters
        (adapter,) = [model for model in await client.models() if model.name == "alerts"]
        assert adapter.parent == CHAT
        request = ASK.model_copy(update={"model": "alerts"})
        assert (await client.chat(request)).model == "alerts"
        await client.unload_adapter("alerts")
        await client.unload_adapter("alerts")
        assert not one.adapters
        assert not two.adapters
        with pytest.raises(ModelNotFoundError, match="alerts"):
            await client.chat(request)


async def test_a_server_that_comes_back_gets_its_adapters_again() -> None:
    one, two = VllmServer(), VllmServer()
    async with remote(one, two, started=True) as client:
        await two.stop()
        await client.load_adapter("alerts", FOLDER)
        assert one.adapters == {"alerts": FOLDER}
        await two.start()
        await until(lambda: two.adapters == {"alerts": FOLDER}, "it has the adapter", WAIT_S)
        await one.stop()
        await one.start()
        await until(lambda: one.adapters == {"alerts": FOLDER}, "it has it again", WAIT_S)


async def test_a_server_that_takes_no_adapters_says_what_to_start_it_with() -> None:
    one, two = VllmServer(), VllmServer(takes_adapters=False)
    async with remote(one, two) as client:
        with pytest.raises(OrchestratorError, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"):
            await client.load_adapter("alerts", FOLDER)
        assert not one.adapters, "what all cannot serve, none does"


async def test_a_folder_that_a_server_does_not_see_is_named() -> None:
    async with remote(VllmServer(missing_folders=(FOLDER,))) as client:
        with pytest.raises(OrchestratorError, match=f"No adapter found for {FOLDER}"):
            await client.load_adapter("alerts", FOLDER)


async def test_another_folder_under_a_name_that_is_taken_changes_nothing() -> None:
    one, two = VllmServer(), VllmServer()
    async with remote(one, two) as client:
        await client.load_adapter("alerts", FOLDER)
        with pytest.raises(OrchestratorError, match="has already been loaded"):
            await client.load_adapter("alerts", "/srv/adapters/other")
        assert one.adapters == two.adapters == {"alerts": FOLDER}


async def test_an_adapter_of_a_model_that_nobody_has() -> None:
    async with remote(VllmServer()) as client:
        with pytest.raises(ModelNotFoundError, match="No model server has 'llama'"):
            await client.load_adapter("alerts", FOLDER, base_model="llama")
