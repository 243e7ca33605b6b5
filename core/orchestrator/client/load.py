"""How much a model server has to do, as it tells: ours in `/health`, vLLM in `/metrics`.

vLLM's metrics: https://docs.vllm.ai/en/latest/usage/metrics/
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import httpx2
from pydantic import ValidationError

from core.orchestrator.wire import ServerLoad
from core.services.ai import OrchestratorUnavailableError

MAX_METRICS_BYTES = 4 << 20

_RUNNING = "vllm:num_requests_running"
_WAITING = "vllm:num_requests_waiting"


class Told(NamedTuple):
    """Requests that run and wait, and whether the server is one of ours."""

    running: int
    waiting: int
    ours: bool


async def told_load(http: httpx2.AsyncClient, root: str, token: str) -> Told | None:
    """Ask a server for its load; None where it tells none.

    Args:
        root: the server's address without `/v1`.
        token: bearer token; vLLM asks for it under `/v1` only, ours everywhere.

    Raises:
        OrchestratorUnavailableError: it says by `/health` that it is not well. vLLM does where its
            engine has died, and lists its models all the same.
    """
    headers = {"Authorization": f"Bearer {token}"}
    try:
        status, body = await _read(http, f"{root}/health", headers)
        if status >= httpx2.codes.INTERNAL_SERVER_ERROR:
            raise OrchestratorUnavailableError(
                f"The model server {root} answers /health with HTTP status {status}: see its log."
            )
        if status == httpx2.codes.OK and body.strip():
            load = ServerLoad.model_validate_json(body)
            return Told(load.running, load.waiting, ours=True)
    except ValidationError:
        pass  # of another make, which says something of its own
    except httpx2.HTTPError:
        return None
    try:
        status, body = await _read(http, f"{root}/metrics", headers)
    except httpx2.HTTPError:
        return None
    if status != httpx2.codes.OK:
        return None
    return vllm_load(body.decode("utf-8", "replace").splitlines())


def vllm_load(lines: Iterable[str]) -> Told | None:
    """The load in vLLM's metrics, summed over its engines; None where the text has none.

    https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
    """
    found = {_RUNNING: 0, _WAITING: 0}
    seen = False
    for line in lines:
        name = next((name for name in found if line.startswith((f"{name}{{", f"{name} "))), None)
        if name is None:
            continue
        value = _sample(line[len(name) :])
        if value is not None:
            found[name] += value
            seen = True
    return Told(found[_RUNNING], found[_WAITING], ours=False) if seen else None


def _sample(rest: str) -> int | None:
    """The value behind a metric's labels; a label's text may hold blanks and braces."""
    words = rest.rpartition("}")[2].split()
    try:
        value = float(words[0])
    except (IndexError, ValueError):
        return None
    return int(value) if math.isfinite(value) and value >= 0 else None


async def _read(http: httpx2.AsyncClient, url: str, headers: dict[str, str]) -> tuple[int, bytes]:
    """The status and the body, which is empty where it is larger than the limit."""
    async with http.stream("GET", url, headers=headers) as answer:
        body = b""
        async for piece in answer.aiter_bytes():
            body += piece
            if len(body) > MAX_METRICS_BYTES:
                return answer.status_code, b""
        return answer.status_code, body
