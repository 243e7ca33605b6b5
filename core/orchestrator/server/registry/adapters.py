"""LoRA adapters that requests can name as their model, loaded and removed while the server runs.

vLLM's interface, with `base_model` besides, since this server has several:
https://docs.vllm.ai/en/latest/features/lora/#dynamically-serving-lora-adapters
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from core.orchestrator.files.manifest import ModelFileError
from core.orchestrator.files.source import NAME_PATTERN
from core.orchestrator.server.api.replies import ApiError, model_entry
from core.orchestrator.server.models.lora import (
    CONFIG_NAME,
    WEIGHTS_NAME,
    Adapter,
    Layout,
    read_adapter,
)

logger = logging.getLogger(__name__)

MAX_ADAPTERS = 64


class LoadAdapterBody(BaseModel):
    """`POST /v1/load_lora_adapter`. Without `base_model` it is for the default chat model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lora_name: str = Field(pattern=NAME_PATTERN)
    lora_path: str = Field(min_length=1, max_length=4000)
    base_model: str | None = Field(default=None, max_length=200)


class UnloadAdapterBody(BaseModel):
    """`POST /v1/unload_lora_adapter`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lora_name: str = Field(max_length=200)


class ServedAdapter(NamedTuple):
    """An adapter, the path it was asked for by, and the name of its base model."""

    adapter: Adapter
    path: str
    base: str


class Adapters:
    """The adapters by name. They stay in memory, which is little, also where their base leaves it.

    Args:
        folder: below which all of them must lie; None serves none.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._served: dict[str, ServedAdapter] = {}

    def find(self, name: str) -> ServedAdapter | None:
        """The adapter that is called so."""
        return self._served.get(name)

    def entries(self) -> list[dict[str, Any]]:
        """For the list of models, with vLLM's `root` and `parent`."""
        return [
            model_entry(name, ["chat", "json", "tools"], loaded=True)
            | {"root": served.path, "parent": served.base}
            for name, served in self._served.items()
        ]

    async def add(self, name: str, path: str, base: str, layout: Layout) -> None:
        """Read an adapter of a model with this layout, and serve it.

        Raises:
            ApiError: it is no adapter of that model, lies elsewhere, or the name is taken.
        """
        self._check_room(name)
        try:
            adapter = await asyncio.to_thread(self._read, path, layout)
        except ModelFileError as error:
            raise ApiError(400, "invalid_adapter", str(error)) from error
        self._check_room(name)  # another may have come meanwhile
        self._served[name] = ServedAdapter(adapter, path, base)
        logger.info("Adapter %s of %s is loaded.", name, base)

    def remove(self, name: str) -> None:
        """Serve an adapter no longer: replies that it is in use for go on with it to their end.

        Raises:
            ApiError: there is none of that name.
        """
        if self._served.pop(name, None) is None:
            known = ", ".join(self._served) or "none"
            message = f"There is no adapter called {name!r}. There is: {known}."
            raise ApiError(404, "adapter_not_found", message)
        logger.info("Adapter %s is removed.", name)

    def _check_room(self, name: str) -> None:
        if name in self._served:
            message = f"The adapter {name!r} is loaded already. Unload it first to replace it."
            raise ApiError(400, "adapter_loaded", message)
        if len(self._served) >= MAX_ADAPTERS:
            message = f"There are {MAX_ADAPTERS} adapters, and no more may be. Unload one first."
            raise ApiError(400, "too_many_adapters", message)

    def _read(self, path: str, layout: Layout) -> Adapter:
        if self._folder is None:
            raise ModelFileError("This server was started without a folder of adapters.")
        root = self._folder.resolve()
        folder = root / path
        for file in (folder, folder / CONFIG_NAME, folder / WEIGHTS_NAME):
            try:
                inside = file.resolve().is_relative_to(root)
            except (OSError, ValueError, RuntimeError) as error:  # a zero byte, a loop of links
                raise ModelFileError(f"lora_path {path!r} is no path.") from error
            if not inside:
                raise ModelFileError(
                    f"{path} leads out of the folder of adapters, {self._folder}: put it there."
                )
        return read_adapter(folder, layout)
