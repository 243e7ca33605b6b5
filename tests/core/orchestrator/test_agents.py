"""pydantic-ai's agents on the model server: tools, typed output, streams."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal

import pytest_asyncio
from openai import AsyncOpenAI
from pydantic import BaseModel, Field
from pydantic_ai import Agent, ModelSettings, NativeOutput, RunContext, ToolOutput
from pydantic_ai.messages import ToolReturnPart
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from core.orchestrator.files import catalog
from tests.support.model_server import ModelServer


class Assessment(BaseModel):
    """What the agent concludes."""

    severity: Literal["low", "high"]
    services: list[Literal["checkout", "search"]] = Field(min_length=1, max_length=2)
    minutes: int = Field(ge=1, le=90)


@pytest_asyncio.fixture
async def model(model_server: ModelServer) -> AsyncIterator[OpenAIChatModel]:
    async with AsyncOpenAI(
        base_url=model_server.base_url, api_key=model_server.token, max_retries=0
    ) as client:
        provider = OpenAIProvider(openai_client=client)
        yield OpenAIChatModel(catalog.DEFAULT_CHAT_MODEL, provider=provider)


async def test_an_agent_concludes_in_the_type_that_it_must(model: OpenAIChatModel) -> None:
    agent = Agent(model, output_type=ToolOutput(Assessment), instructions="Judge the incident.")
    result = await agent.run("Checkout answers slowly.", model_settings={"temperature": 1.2})
    assert isinstance(result.output, Assessment)
    assert result.usage.output_tokens > 5


async def test_native_output_is_the_schema_of_the_reply(model: OpenAIChatModel) -> None:
    agent = Agent(model, output_type=NativeOutput(Assessment))
    result = await agent.run("Search is down.", model_settings={"temperature": 0})
    assert isinstance(result.output, Assessment)


async def test_an_agent_calls_its_tool_and_then_concludes(model: OpenAIChatModel) -> None:
    asked: list[str] = []
    agent = Agent(model, output_type=ToolOutput(Assessment), instructions="Look, then judge.")

    @agent.tool_plain
    def error_rate(service: Literal["checkout", "search"]) -> str:
        """The share of failed requests of a service."""
        asked.append(service)
        return f"{service}: 12 percent"

    def settings(context: RunContext[None]) -> ModelSettings:
        """A small model does not know when to look, so it is told in the first step."""
        name = "error_rate" if context.run_step == 1 else "final_result"
        return ModelSettings(temperature=1.0, tool_choice=[name])

    result = await agent.run("Is checkout healthy?", model_settings=settings)
    assert isinstance(result.output, Assessment)
    assert len(asked) >= 1
    parts = [part for message in result.all_messages() for part in message.parts]
    returned = [part.content for part in parts if isinstance(part, ToolReturnPart)]
    assert f"{asked[0]}: 12 percent" in returned


async def test_an_agent_streams_what_it_concludes(model: OpenAIChatModel) -> None:
    agent = Agent(model, output_type=ToolOutput(Assessment))
    async with agent.run_stream("Search is down.", model_settings={"temperature": 0}) as run:
        pieces = [piece async for piece in run.stream_response(debounce_by=None)]
        output = await run.get_output()
    assert isinstance(output, Assessment)
    assert len(pieces) > 2
