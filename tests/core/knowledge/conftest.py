"""The real embedding model, started once; and the starter's runbooks, indexed once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, NamedTuple

import pytest
import pytest_asyncio

from core.knowledge import KnowledgeBase
from core.orchestrator import LocalAIOrchestrator
from tests.support.models import models_dir  # noqa: F401  a fixture

RUNBOOKS = Path(__file__).parents[3] / "core" / "starter" / "config" / "runbooks"


class Question(NamedTuple):
    """A line of `questions.jsonl`. Tune on `calibration` only, never on `held-out`."""

    split: Literal["calibration", "held-out"]
    kind: Literal["on-topic", "off-topic", "near-topic"]
    input: str
    expected: str | None


@pytest.fixture(scope="session")
def questions() -> list[Question]:
    lines = Path(__file__).with_name("questions.jsonl").read_text().splitlines()
    return [Question(**json.loads(line)) for line in lines]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def embed(models_dir):  # noqa: F811
    orchestrator = LocalAIOrchestrator(models_dir, chat_model=None, threads=1)
    await orchestrator.start()
    known: dict[str, list[float]] = {}

    async def remembering(texts):
        # The vectors are the model's; each text is only computed once for all tests.
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        if missing:
            known.update(zip(missing, await orchestrator.embed(missing), strict=True))
        return [known[text] for text in texts]

    yield remembering
    await orchestrator.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def runbooks(embed):
    knowledge = KnowledgeBase([RUNBOOKS], "http://localhost/runbooks", embed)
    report = await knowledge.refresh()
    assert report.problems == ()
    assert report.searches_by_meaning
    return knowledge
