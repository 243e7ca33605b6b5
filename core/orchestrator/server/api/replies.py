"""Bodies of replies, as OpenAI's API defines them."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from aiohttp import web

from core.orchestrator.server.engine.jobs import Finished


class ApiError(Exception):
    """A refusal, as it is sent."""

    def __init__(
        self, status: int, code: str, message: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers

    def body(self) -> dict[str, Any]:
        """The error object."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": self.message, "type": kind, "param": None, "code": self.code}}

    def response(self) -> web.Response:
        """The whole reply."""
        return web.json_response(self.body(), status=self.status, headers=self.headers)


class Completion:
    """Identity of one chat reply, shared by its chunks."""

    def __init__(self, model: str, prompt_tokens: int) -> None:
        self._id = f"chatcmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())
        self._model = model
        self._prompt_tokens = prompt_tokens

    def _object(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._model,
            "choices": choices,
        }

    def _usage(self, end: Finished) -> dict[str, Any]:
        return {
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": end.completion_tokens,
            "total_tokens": self._prompt_tokens + end.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": end.cached_tokens},
        }

    def whole(self, message: dict[str, Any], reason: str, end: Finished) -> dict[str, Any]:
        """The body of a reply that is not streamed."""
        choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
        body = self._object("chat.completion", [choice | _probabilities(end)])
        return body | {"usage": self._usage(end)}

    def chunk(
        self, delta: dict[str, Any], reason: str | None = None, end: Finished | None = None
    ) -> dict[str, Any]:
        """One chunk of a streamed reply; `end` is the last one's."""
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return self._object("chat.completion.chunk", [choice | _probabilities(end)])

    def queue_chunk(self, place: int) -> dict[str, Any]:
        """A chunk that says which place in the queue the request has; ours."""
        return self._object("chat.completion.chunk", []) | {"queue": {"place": place}}

    def usage_chunk(self, end: Finished) -> dict[str, Any]:
        """The chunk that carries the usage alone."""
        body = self._object("chat.completion.chunk", [])
        return body | {"usage": self._usage(end)}


def _probabilities(end: Finished | None) -> dict[str, Any]:
    """Of a choice's labels: a field of ours."""
    if end is None or end.label_probabilities is None:
        return {}
    return {"label_probabilities": dict(end.label_probabilities)}


def server_sent(body: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(body, ensure_ascii=False).encode("utf-8", "replace") + b"\n\n"


def embeddings_body(
    model: str, vectors: npt.NDArray[np.float32], tokens: int, *, as_base64: bool
) -> dict[str, Any]:
    """The body of an embeddings reply; base64 is of little-endian float32."""
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(vector.astype("<f4").tobytes()).decode()
            if as_base64
            else vector.tolist(),
        }
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": model, "usage": usage}


def rerank_body(
    model: str, ranked: Sequence[tuple[int, float]], texts: Sequence[str] | None, tokens: int
) -> dict[str, Any]:
    """The body of a rerank reply.

    Args:
        ranked: index and score of each document, the best first.
        texts: all documents, where they are asked for.
    """
    results = [
        {"index": index, "relevance_score": score}
        | ({"document": {"text": texts[index]}} if texts is not None else {})
        for index, score in ranked
    ]
    return {
        "id": f"rerank-{secrets.token_hex(12)}",
        "model": model,
        "results": results,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def model_entry(name: str, capabilities: list[str], *, loaded: bool) -> dict[str, Any]:
    """One entry of the list of models; `capabilities` and `loaded` are ours."""
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": "local",
        "capabilities": capabilities,
        "loaded": loaded,
    }
