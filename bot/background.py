"""What goes on as long as the application runs."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from sqlalchemy.exc import SQLAlchemyError

from bot.assistants.service import AssistantService
from bot.models import adapters, load_adapters
from core.deliveries import DeliveryBook
from core.knowledge import KnowledgeBase
from core.services.ai import AIOrchestratorClient, OrchestratorError
from core.state import AIModel
from core.store.pictures import PictureStore
from core.workflows.reminders import Reminders
from core.workflows.service import WorkflowService

_SWEEP_S = 10.0
_PURGE_S = 3600.0
_REINDEX_S = 30.0
_log = logging.getLogger(__name__)


class Background:
    """Tasks that end with the application.

    One that fails ends the application: whoever supervises the process starts it again, and
    nothing is lost.

    Attributes:
        models_ready: set once the models and the runbooks are loaded.
    """

    def __init__(self) -> None:
        self.models_ready = asyncio.Event()
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Let `work` go on until the end."""
        self._tasks.append(self._group.create_task(work))

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(kind, error, trace)


async def load_models(
    orchestrator: AIOrchestratorClient,
    knowledge: KnowledgeBase,
    assistants: AssistantService,
    background: Background,
    models: Mapping[str, AIModel],
) -> None:
    """Load models and adapters beside everything else, and then follow the runbooks' files."""
    try:
        await orchestrator.start()
    except OrchestratorError as error:
        _log.error("the models are not ready: %s", error)
    await assistants.prepare()
    missing = adapters(models)
    while True:
        missing = await load_adapters(orchestrator, missing, models)
        report = await knowledge.refresh()
        if report.added or report.changed or report.removed:
            _log.info("runbooks: %d documents, %d passages", report.documents, report.passages)
        if not background.models_ready.is_set():
            _spare_collector()
            background.models_ready.set()
        await asyncio.sleep(_REINDEX_S)


def _spare_collector() -> None:
    """What is there now stays: do not let each full collection stop the event loop to look at it.

    Such a pause was 160 to 180 ms with the model at full load (tests/benchmarks/acknowledgement).
    """
    gc.collect()
    gc.freeze()


async def sweep(workflows: WorkflowService, reminders: Reminders) -> None:
    """Move on what waits for nobody, and call people to what waits for them, again and again."""
    while True:
        await workflows.sweep()
        await reminders.look()
        await asyncio.sleep(_SWEEP_S)


async def purge(book: DeliveryBook, pictures: PictureStore, keep: timedelta) -> None:
    """Remove the bodies of old deliveries, and old pictures, again and again."""
    while True:
        try:
            before = datetime.now(UTC) - keep
            if removed := await book.purge(before):
                _log.info("the bodies of %d old deliveries are removed", removed)
            if removed := await pictures.purge(before):
                _log.info("%d old pictures are removed", removed)
        except SQLAlchemyError as error:  # there is time: nothing else waits for it
            _log.warning(
                "old deliveries and pictures could not be removed: %s", type(error).__name__
            )
        await asyncio.sleep(_PURGE_S)
