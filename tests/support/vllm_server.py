"""A stand-in for vLLM's server: the paths, answers and refusals that our client meets.

Texts and statuses are those of vllm/entrypoints (serve/lora, openai/models/serving.py) and of
vllm/engine for priorities. It can also answer as our own server does where that knows more.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

TOKEN = "team-token-0123456789"
CHAT, EMBEDDINGS = "Qwen/Qwen3-8B", "BAAI/bge-small-en-v1.5"

Failure = int | Literal["drop", "half"]
"""A status, or a connection that is closed before or in the middle of the answer."""


@dataclass
class VllmServer:
    """One server.

    Attributes:
        models: base models, served under these names.
        says: every reply.
        fails: what becomes of the next requests for work, in order; then they are answered.
        always: what becomes of all of them.
        takes_priority: started with `--scheduling-policy priority`.
        takes_adapters: started with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True.
        missing_folders: adapters there are not found.
        running, waiting: what `/metrics` tells.
        engine_died: replies are 500 and `/health` is 503, while the models are still listed.
        ours: answers `/health` with a body, as our own server does.
        places: in the queue, told before a stream where it is asked for.
        gate: replies wait until it is set.
        bodies: what was asked for, in order.
    """

    models: tuple[str, ...] = (CHAT,)
    says: str = "All is well ."
    fails: list[Failure] = field(default_factory=list)
    always: Failure | None = None
    takes_priority: bool = False
    takes_adapters: bool = True
    missing_folders: tuple[str, ...] = ()
    running: int = 0
    waiting: int = 0
    engine_died: bool = False
    ours: bool = False
    places: tuple[int, ...] = ()
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    adapters: dict[str, str] = field(default_factory=dict)
    url: str = ""
    _runner: web.AppRunner | None = None
    _port: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    async def start(self) -> None:
        """Listen, at the same port as before where it was started before; adapters are gone."""
        self.adapters.clear()
        app = web.Application()
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/embeddings", self._embeddings)
        app.router.add_post("/v1/rerank", self._rerank)
        if self.takes_adapters:
            app.router.add_post("/v1/load_lora_adapter", self._load)
            app.router.add_post("/v1/unload_lora_adapter", self._unload)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}/v1"

    async def stop(self) -> None:
        """Refuse connections from now on."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def _health(self, _: web.Request) -> web.Response:
        if self.engine_died:
            return web.Response(status=503)
        if self.ours:
            load = {"status": "ok", "waiting": self.waiting, "running": self.running}
            return web.json_response(load)
        return web.Response()

    async def _metrics(self, _: web.Request) -> web.Response:
        labels = f'{{engine="0",model_name="{self.models[0]}"}}'
        return web.Response(
            text=f"# TYPE vllm:num_requests_running gauge\n"
            f"vllm:num_requests_running{labels} {self.running:.1f}\n"
            f"# TYPE vllm:num_requests_waiting gauge\n"
            f"vllm:num_requests_waiting{labels} {self.waiting:.1f}\n"
        )

    async def _models(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"error": "Unauthorized"}, status=401)
        entries = [{"id": name, "root": name, "parent": None} for name in self.models]
        entries += [
            {"id": name, "root": path, "parent": self.models[0]}
            for name, path in self.adapters.items()
        ]
        common = {"object": "model", "created": 1, "owned_by": "vllm"}
        data = [entry | common for entry in entries]
        return web.json_response({"object": "list", "data": data})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        if answer := await self._failure(request, body):
            return answer
        await self.gate.wait()
        refused = body.get("priority") and not self.takes_priority
        sentence = f"Got priority {body.get('priority')} but Priority scheduling is not enabled."
        if not body.get("stream"):
            if refused:
                return _error(400, sentence, "BadRequestError")
            usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
            usage["prompt_tokens_details"] = {"cached_tokens": 7}  # type: ignore[assignment]
            message = {"role": "assistant", "content": self.says}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            return web.json_response(_whole(body["model"]) | {"choices": [choice], "usage": usage})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        if refused:
            error = {"message": sentence, "type": "BadRequestError", "param": None, "code": 400}
            await _event(response, {"error": error})
        else:
            await self._pieces(response, body)
        await response.write(b"data: [DONE]\n\n")
        return response

    async def _pieces(self, response: web.StreamResponse, body: dict[str, Any]) -> None:
        if (body.get("stream_options") or {}).get("include_queue_place"):
            for place in self.places:
                whole = _piece(body["model"]) | {"choices": [], "queue": {"place": place}}
                await _event(response, whole)
        for word in self.says.split(" "):
            await _event(response, _piece(body["model"], word + " "))
        await _event(response, _piece(body["model"], "", "stop"))

    async def _embeddings(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        if answer := await self._failure(request, body):
            return answer
        data = [
            {"object": "embedding", "index": index, "embedding": [float(len(text)), 1.0]}
            for index, text in enumerate(body["input"])
        ]
        return web.json_response({"object": "list", "model": body["model"], "data": data})

    async def _rerank(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        if answer := await self._failure(request, body):
            return answer
        asked = set(body["query"].split())
        results = [
            {
                "index": index,
                "document": {"text": text},
                "relevance_score": len(asked & set(text.split())) / len(asked),
            }
            for index, text in enumerate(body["documents"])
        ]
        results.sort(key=lambda item: -float(str(item["relevance_score"])))
        return web.json_response({"id": "rerank-1", "model": body["model"], "results": results})

    async def _load(self, request: web.Request) -> web.Response:
        body = await request.json()
        name, path = body["lora_name"], body["lora_path"]
        if name in self.adapters:
            return _error(
                400,
                f"The lora adapter '{name}' has already been loaded. If you want to load the "
                "adapter in place, set 'load_inplace' to True.",
                "InvalidUserInput",
            )
        if path in self.missing_folders:
            message = f"Loading lora {name} failed: No adapter found for {path}"
            return _error(404, message, "NotFoundError")
        self.adapters[name] = path
        return web.Response(text=f"Success: LoRA adapter '{name}' added successfully.")

    async def _unload(self, request: web.Request) -> web.Response:
        name = (await request.json())["lora_name"]
        if name not in self.adapters:
            return _error(404, f"The lora adapter '{name}' cannot be found.", "NotFoundError")
        del self.adapters[name]
        return web.Response(text=f"Success: LoRA adapter '{name}' removed successfully.")

    async def _failure(
        self, request: web.Request, body: dict[str, Any]
    ) -> web.StreamResponse | None:
        if self.engine_died:
            sentence = (
                "EngineCore encountered an issue. See stack trace (above) for the root cause."
            )
            return _error(500, sentence, "InternalServerError")
        failure = self.fails.pop(0) if self.fails else self.always
        if failure is None:
            if body["model"] in (*self.models, *self.adapters):
                return None
            message = f"The model `{body['model']}` does not exist."
            return _error(404, message, "NotFoundError")
        if isinstance(failure, int):
            return _error(failure, f"{self.url} cannot now.", "InternalServerError")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        if failure == "half":
            await response.prepare(request)
            if body.get("stream"):
                await _event(response, _piece(body["model"], "All "))
            else:
                await response.write(b'{"id": "chatcmpl-1", "cho')
        if request.transport is not None:
            request.transport.close()
        return response


@asynccontextmanager
async def serving(*servers: VllmServer) -> AsyncIterator[str]:
    """Run servers; their addresses, separated by commas."""
    for server in servers:
        await server.start()
    try:
        yield ",".join(server.url for server in servers)
    finally:
        for server in servers:
            server.gate.set()
            await server.stop()


def _error(status: int, message: str, kind: str) -> web.Response:
    error = {"message": message, "type": kind, "param": None, "code": status}
    return web.json_response({"error": error}, status=status)


def _whole(model: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model}


def _piece(model: str, text: str = "", reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason}
    return _whole(model) | {"object": "chat.completion.chunk", "choices": [choice]}


async def _event(response: web.StreamResponse, body: dict[str, Any]) -> None:
    await response.write(b"data: " + json.dumps(body).encode() + b"\n\n")
