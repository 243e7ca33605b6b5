"""`POST /v1/load_lora_adapter` and `POST /v1/unload_lora_adapter`."""

from __future__ import annotations

from aiohttp import web

from core.orchestrator.server.api.http import read
from core.orchestrator.server.registry.adapters import LoadAdapterBody, UnloadAdapterBody
from core.orchestrator.server.registry.models import Models


class AdapterEndpoints:
    """Changes which adapters are served. Replies are vLLM's sentences."""

    def __init__(self, models: Models) -> None:
        self._models = models

    async def load(self, request: web.Request) -> web.Response:
        """Serve an adapter."""
        body = await read(request, LoadAdapterBody)
        await self._models.load_adapter(body.lora_name, body.lora_path, body.base_model)
        return web.Response(text=f"Success: LoRA adapter '{body.lora_name}' added successfully.")

    async def unload(self, request: web.Request) -> web.Response:
        """Serve an adapter no longer."""
        body = await read(request, UnloadAdapterBody)
        self._models.adapters.remove(body.lora_name)
        return web.Response(text=f"Success: LoRA adapter '{body.lora_name}' removed successfully.")
