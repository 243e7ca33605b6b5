"""Whatever the schema, a constrained reply is JSON of it, also beside free replies in one batch.

`COUNTERSIGN_TEST_SCHEMAS=1000` runs as many random schemas; CI runs fewer.
"""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

from core.orchestrator.files import catalog
from core.orchestrator.server.engine.batch import ChatBatch
from core.orchestrator.server.engine.jobs import ChatJob, Event, Finished, Job, Piece
from core.orchestrator.server.engine.sampling import Sampler
from core.orchestrator.server.models.chat_model import ChatModel
from core.orchestrator.server.models.constraint import Constraint

SCHEMAS = int(os.environ.get("COUNTERSIGN_TEST_SCHEMAS", "48"))
AT_ONCE = 8
WORDS = ("service", "severity", "reason", "hosts", "count", "owner", "window", "ready", "region")


def a_schema(draw: random.Random, depth: int = 0) -> dict[str, Any]:
    """An object of a few bounded fields, as our workflows' arguments and personas' outputs are."""
    names = draw.sample(WORDS, draw.randint(1, 4))
    fields = {name: a_field(draw, depth) for name in names}
    required = [name for name in names if draw.random() < 0.7]
    return {
        "type": "object",
        "properties": fields,
        "required": required,
        "additionalProperties": False,
    }


def a_field(draw: random.Random, depth: int) -> dict[str, Any]:
    kinds = ["string", "enum", "integer", "number", "boolean", "array", "null", "pattern", "const"]
    kind = draw.choice(kinds + ["object"] * (depth < 2))
    match kind:
        case "object":
            return a_schema(draw, depth + 1)
        case "array":
            item = a_field(draw, 2) if depth < 2 else {"type": "boolean"}
            return {"type": "array", "items": item, "minItems": draw.randint(0, 1), "maxItems": 3}
        case "enum":
            return {"enum": draw.sample(["low", "high", "données", 'a "b"', 3, None], 3)}
        case "integer":
            low = draw.randint(-50, 50)
            if draw.random() < 0.3:
                return {"type": "integer"}
            return {"type": "integer", "minimum": low, "maximum": low + draw.randint(0, 500)}
        case "number":
            return {"type": "number"} | draw.choice(({}, {"minimum": 0, "maximum": 100}))
        case "null":
            return {"anyOf": [{"type": "null"}, {"type": "string", "maxLength": 12}]}
        case "pattern":
            return {"type": "string", "pattern": "^[a-z]{2,6}-[0-9]{1,3}$"}
        case "const":
            return {"const": "production"}
        case "boolean":
            return {"type": "boolean"}
        case _:
            return {"type": "string", "maxLength": draw.randint(1, 20)}


@pytest.fixture(scope="module")
def model(models_dir: Path) -> ChatModel:
    return ChatModel.load(models_dir / catalog.DEFAULT_CHAT_MODEL, "int4", slots=AT_ONCE)


def a_job(
    model: ChatModel, batch: ChatBatch, events: list[Event], prompt: str, limit: Constraint | None
) -> ChatJob:
    return ChatJob(
        events.append,
        time.monotonic() + 3600,
        model=model,
        batch=batch,
        prompt=model.encode([{"role": "user", "content": prompt}]),
        sampler=Sampler(1.0, 1.0, 7),
        max_tokens=2000 if limit else 24,
        stops=(),
        constraint=limit,
    )


@pytest.mark.slow
def test_random_schemas_are_kept_to(model: ChatModel) -> None:
    draw = random.Random(11)
    schemas = [a_schema(draw) for _ in range(SCHEMAS)]
    batch = ChatBatch(model.decoder)
    waiting = [
        (schema, "Fill in: " + ", ".join(schema["properties"])) for schema in reversed(schemas)
    ]
    running: dict[Job, tuple[dict[str, Any] | None, list[Event]]] = {}
    checked = 0
    with torch.inference_mode():
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                schema, prompt = waiting.pop()
                events: list[Event] = []
                job = a_job(model, batch, events, prompt, model.grammars.json_schema(schema))
                running[job] = (schema, events)
                if len(running) < AT_ONCE and len(waiting) % 3 == 0:
                    free: list[Event] = []
                    running[a_job(model, batch, free, "Tell me more.", None)] = (None, free)
            for done in batch.step(list(running)):
                asked, told = running.pop(done)
                assert isinstance(told[-1], Finished), told[-1]
                if asked is None:
                    continue
                text = "".join(event.text for event in told if isinstance(event, Piece))
                jsonschema.validate(json.loads(text), asked)
                checked += 1
    assert checked == SCHEMAS
