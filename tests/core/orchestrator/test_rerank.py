"""`/v1/rerank` by a cross-encoder and by embeddings, over the real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio
import torch
from openai import AsyncOpenAI
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
)

from core.orchestrator import LocalAIOrchestrator
from core.orchestrator.files import catalog, weights
from core.orchestrator.files.manifest import ModelFileError, read_manifest
from core.orchestrator.server.models.rerank_model import RerankModel
from tests.support.model_server import ModelServer

EMBEDDINGS = catalog.DEFAULT_EMBEDDING_MODEL
QUERY = "The disk of the database is full"
DOCUMENTS = [
    "Pancakes need milk, eggs and flour.",
    "Free space on the database's volume: delete old dumps.",
    "No storage left on the DB server.",
    "word " * 600,
    "",
]


def save_cross_encoder(folder: Path, tokenizer: Any, labels: int = 1) -> None:
    """A small BERT with random weights, as `save_pretrained` writes it."""
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=128,
        num_labels=labels,
        initializer_range=0.5,
    )
    model = BertForSequenceClassification(config).eval()
    with torch.no_grad():  # scores apart from each other, and not at the sigmoid's ends
        model.classifier.weight *= 0.3
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture(scope="module")
def own(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models' folder with a cross-encoder of the team's own in it."""
    source = tmp_path_factory.mktemp("own")
    save_cross_encoder(source, AutoTokenizer.from_pretrained(str(models_dir / EMBEDDINGS)))
    home = tmp_path_factory.mktemp("models")
    asyncio.run(weights.import_folder(source, "our-reranker", home))
    return home


def expected(folder: Path) -> list[float]:
    """Transformers' own scores, a pair at a time, so without any padding."""
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    model = AutoModelForSequenceClassification.from_pretrained(str(folder))
    scores = []
    for document in DOCUMENTS:
        inputs = tokenizer(
            [QUERY], [document], truncation=True, max_length=128, return_tensors="pt"
        )
        with torch.no_grad():
            scores.append(float(model(**inputs).logits.sigmoid()))
    return scores


@pytest_asyncio.fixture
async def official(model_server: ModelServer) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        base_url=model_server.base_url, api_key=model_server.token, max_retries=0
    ) as client:
        yield client


async def post(official: AsyncOpenAI, **fields: Any) -> Any:
    body = {"model": EMBEDDINGS, "query": QUERY, "documents": DOCUMENTS[:3]} | fields
    return await official.post("/rerank", cast_to=object, body=body)


def test_the_kind_of_a_folder_is_found_out(own: Path) -> None:
    assert read_manifest(own / "our-reranker").kind == "rerank"


def test_pairs_go_to_the_models_device(own: Path) -> None:
    model = RerankModel.load(own / "our-reranker", "meta")  # see test_devices.py
    with torch.inference_mode(), pytest.raises(RuntimeError, match="meta tensor"):
        model.forward(model.encode(QUERY, DOCUMENTS))


def test_scores_are_transformers_own(own: Path) -> None:
    model = RerankModel.load(own / "our-reranker")
    pairs = model.encode(QUERY, DOCUMENTS)
    with torch.inference_mode():
        together = model.forward(pairs)[:, 0]
    assert together.tolist() == pytest.approx(expected(own / "our-reranker"), abs=1e-5)
    assert len({round(float(score), 4) for score in together}) == len(DOCUMENTS)
    assert max(len(pair) for pair in pairs) == 128


async def test_a_cross_encoder_of_the_teams_own_is_served(own: Path) -> None:
    local = LocalAIOrchestrator(
        own, chat_model=None, embedding_model=None, others={"our-reranker": "rerank"}
    )
    await local.start()
    try:
        (info,) = await local.models()
        assert (info.name, set(info.capabilities)) == ("our-reranker", {"rerank"})
        scores = await local.rerank(QUERY, DOCUMENTS)
        several = await asyncio.gather(*(local.rerank(QUERY, [document]) for document in DOCUMENTS))
    finally:
        await local.close()
    assert scores == pytest.approx(expected(own / "our-reranker"), abs=1e-5)
    assert [score for (score,) in several] == pytest.approx(scores, abs=1e-5)


async def test_an_embedding_model_scores_by_cosine(official: AsyncOpenAI) -> None:
    reply = await post(official)
    results = reply["results"]
    assert {result["index"] for result in results[:2]} == {1, 2}  # the pancakes come last
    vectors = await official.embeddings.create(model=EMBEDDINGS, input=[QUERY, *DOCUMENTS[:3]])
    query, *documents = (torch.tensor(item.embedding) for item in vectors.data)
    for result in results:
        cosine = float(query @ documents[result["index"]])
        assert result["relevance_score"] == pytest.approx(cosine, abs=1e-5)
        assert "document" not in result
    assert vectors.usage is not None
    assert reply["usage"]["total_tokens"] == vectors.usage.total_tokens


async def test_the_best_ones_with_their_texts(official: AsyncOpenAI) -> None:
    documents = [DOCUMENTS[0], {"text": DOCUMENTS[2]}]
    reply = await post(official, documents=documents, top_n=1, return_documents=True)
    (result,) = reply["results"]
    assert (result["index"], result["document"]) == (1, {"text": DOCUMENTS[2]})


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"documents": []}, 400, "documents"),
        ({"documents": ["a"] * 1001}, 400, "documents"),
        ({"top_n": 0}, 400, "top_n"),
        ({"rank_fields": ["a"]}, 400, "rank_fields"),
        ({"model": catalog.DEFAULT_CHAT_MODEL}, 404, "no rerank model"),
    ],
)
async def test_what_cannot_be_asked_is_refused(
    official: AsyncOpenAI, fields: dict[str, Any], status: int, words: str
) -> None:
    with pytest.raises(openai.APIStatusError, match=words) as caught:
        await post(official, **fields)
    assert caught.value.status_code == status


async def test_a_classifier_of_several_labels_is_no_rerank_model(
    models_dir: Path, tmp_path: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(str(models_dir / EMBEDDINGS))
    save_cross_encoder(tmp_path / "own", tokenizer, labels=3)
    assert json.loads((tmp_path / "own" / "config.json").read_text())["id2label"]
    await weights.import_folder(tmp_path / "own", "moods", tmp_path / "models")
    with pytest.raises(ModelFileError, match="3 labels"):
        RerankModel.load(tmp_path / "models" / "moods")
