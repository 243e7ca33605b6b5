"""Constrained decoding: always one of the choices, always JSON of the schema."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Literal

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel, Field

from core.orchestrator import RemoteAIOrchestrator
from core.orchestrator.client.schema import closed_schema
from core.orchestrator.files import catalog
from core.services.ai import ChatMessage, ChatRequest, OrchestratorError
from tests.support.model_server import ModelServer

Short = Annotated[str, Field(max_length=24)]


class Severity(StrEnum):
    LOW = "low"
    HIGH = "high"


class Person(BaseModel):
    name: Short
    age: int = Field(ge=0, le=120)


class Routed(BaseModel):
    assistant: Literal["planner", "incident", "governance"]
    confident: bool


class Incident(BaseModel):
    title: Short
    severity: Severity
    owner: Person | None
    tags: list[Short] = Field(max_length=3)
    score: Annotated[int, Field(ge=1, le=5)]


class Version(BaseModel):
    tag: str = Field(pattern=r"^v[0-9]{1,2}\.[0-9]{1,2}$")
    kind: Literal["major", "minor"] = "minor"


def ask(text: str, **fields: object) -> ChatRequest:
    return ChatRequest(messages=(ChatMessage(role="user", content=text),), **fields)


@pytest.mark.parametrize("schema", [Person, Routed, Incident, Version])
@pytest.mark.parametrize("temperature", [0.0, 1.5])
async def test_json_satisfies_its_schema(
    client: RemoteAIOrchestrator, schema: type[BaseModel], temperature: float
) -> None:
    request = ask("Answer as JSON.", max_tokens=250, temperature=temperature)
    assert isinstance(await client.structured(request, schema), schema)


@pytest.mark.parametrize(
    "choices",
    [
        ["restart-pod", "rollback", "none"],
        ["deploy", "deploy-canary", "deploy-canary-eu"],
        ["only one"],
        ['with "quotes"', "back\\slash", "two\nlines", "a|b", "/regex.*/"],
        ["größer", "你好", "🚀"],
        [str(number) for number in range(200)],
    ],
)
async def test_a_choice_is_one_of_the_set(client: RemoteAIOrchestrator, choices: list[str]) -> None:
    for temperature in (0.0, 2.0):
        request = ask("Choose one.", max_tokens=1, temperature=temperature)
        assert await client.choose(request, choices) in choices


async def test_the_prompt_decides_the_choice(client: RemoteAIOrchestrator) -> None:
    choices = ["apple", "car"]
    fruit = await client.choose(ask("Say the word apple. Say only: apple"), choices)
    vehicle = await client.choose(ask("Say the word car. Say only: car"), choices)
    assert (fruit, vehicle) == ("apple", "car")


async def test_a_choice_from_nothing_is_refused(client: RemoteAIOrchestrator) -> None:
    with pytest.raises(OrchestratorError, match="nothing to choose"):
        await client.choose(ask("Choose."), [])


async def test_json_that_was_cut_short_says_what_to_change(client: RemoteAIOrchestrator) -> None:
    with pytest.raises(OrchestratorError, match="max_tokens=3"):
        await client.structured(ask("A person as JSON.", max_tokens=3), Person)


@pytest.mark.parametrize(
    "schema",
    [{"type": "nonsense"}, {"type": "string", "not": {"const": "x"}}, {"$ref": "#/nowhere"}],
)
async def test_a_schema_that_cannot_be_compiled_is_a_400(
    model_server: ModelServer, schema: dict[str, object]
) -> None:
    async with AsyncOpenAI(
        base_url=model_server.base_url, api_key=model_server.token, max_retries=0
    ) as official:
        with pytest.raises(openai.BadRequestError, match="cannot be compiled"):
            await official.chat.completions.create(
                model=catalog.DEFAULT_CHAT_MODEL,
                messages=[{"role": "user", "content": "JSON"}],
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": "bad", "schema": schema},
                },
            )


async def structured_outputs(server: ModelServer, wanted: dict[str, object]) -> str:
    async with AsyncOpenAI(
        base_url=server.base_url, api_key=server.token, max_retries=0
    ) as official:
        reply = await official.chat.completions.create(
            model=catalog.DEFAULT_CHAT_MODEL,
            messages=[{"role": "user", "content": "When was it deployed?"}],
            max_tokens=100,
            temperature=1.5,
            extra_body={"structured_outputs": wanted},
        )
    return reply.choices[0].message.content or ""


async def test_a_reply_matches_the_pattern(model_server: ModelServer) -> None:
    pattern = r"(Mon|Tues|Wednes)day at [0-2][0-9]:[0-5][0-9]"
    for _ in range(3):
        text = await structured_outputs(model_server, {"regex": pattern})
        assert re.fullmatch(pattern, text)


async def test_json_can_be_asked_for_as_vllm_names_it(model_server: ModelServer) -> None:
    text = await structured_outputs(model_server, {"json": closed_schema(Person)})
    assert Person.model_validate_json(text)


@pytest.mark.parametrize("wanted", [{}, {"regex": "a", "choice": ["a"]}])
async def test_one_constraint_at_a_time(
    model_server: ModelServer, wanted: dict[str, object]
) -> None:
    with pytest.raises(openai.BadRequestError, match="exactly one of choice, regex and json"):
        await structured_outputs(model_server, wanted)


async def test_a_pattern_that_cannot_be_compiled_is_a_400(model_server: ModelServer) -> None:
    with pytest.raises(openai.BadRequestError, match="cannot be compiled"):
        await structured_outputs(model_server, {"regex": "(unclosed"})


def test_every_object_of_a_schema_is_closed() -> None:
    schema = closed_schema(Incident)
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["Person"]["additionalProperties"] is False


def test_an_object_that_says_it_is_open_stays_open() -> None:
    class Open(BaseModel):
        labels: dict[str, str]

    assert closed_schema(Open)["properties"]["labels"]["additionalProperties"] == {"type": "string"}
