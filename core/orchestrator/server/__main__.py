"""`python -m core.orchestrator.server`: configuration on stdin, address on stdout, log on stderr.

The end of standard input is the order to stop: it comes when the parent closes the pipe, and
also when the parent dies, however it dies.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
from typing import BinaryIO

import torch
from aiohttp import web
from pydantic import ValidationError
from transformers.utils import logging as transformers_logging

from core.orchestrator.server.api.app import make_application
from core.orchestrator.server.api.replies import ApiError
from core.orchestrator.server.engine.engine import SHORT_RUNNING, Engine
from core.orchestrator.server.registry.adapters import Adapters
from core.orchestrator.server.registry.keeper import Keeper
from core.orchestrator.server.registry.memory import budget
from core.orchestrator.server.registry.models import Models
from core.orchestrator.wire import ServerConfig, ServerReady

logger = logging.getLogger("core.orchestrator.server")

_MAX_CONFIG_BYTES = 1 << 16
_GRACE_S = 3.0
_NO_CUDA = (
    "COUNTERSIGN_MODEL_DEVICE is cuda, and torch finds no such device: install torch's build for "
    "CUDA and look whether `nvidia-smi` shows the GPU, or set it to cpu."
)
_EXIT_CONFIG = 2
_EXIT_MODEL = 3
_EXIT_CRASHED = 70


def main() -> int:
    """Serve until standard input ends; the process's exit status."""
    # Libraries may print: the real standard output is for the ready line alone.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s %(message)s"
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    try:
        config = ServerConfig.model_validate_json(sys.stdin.buffer.readline(_MAX_CONFIG_BYTES))
    except ValidationError as error:
        places = ", ".join(str(item["loc"]) for item in error.errors(include_input=False))
        _answer(answers, ServerReady(error=f"The server's configuration is wrong at {places}."))
        return _EXIT_CONFIG
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    os.nice(config.niceness)
    torch.set_num_threads(config.threads or _default_threads())
    return asyncio.run(_serve(config, answers))


async def _serve(config: ServerConfig, answers: BinaryIO) -> int:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    crashed = asyncio.Event()

    def engine_crashed() -> None:
        loop.call_soon_threadsafe(crashed.set)
        loop.call_soon_threadsafe(ended.set)

    _watch_parent(loop, ended)
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    slots = config.max_running + SHORT_RUNNING
    engine = Engine(config.queue_limit, config.max_running, engine_crashed)
    keeper = Keeper(config.memory or budget(), engine.settle)
    adapters = Adapters(config.adapters)
    device = "cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu"
    if config.device == "cuda" != device:
        _answer(answers, ServerReady(error=_NO_CUDA))
        return _EXIT_CONFIG
    # The packed weights are for the CPU.
    whole = device == "cpu" or config.precision == "float32"
    precision = config.precision if whole else "bfloat16"
    models = Models(
        config.models, keeper, adapters, precision=precision, device=device, slots=slots
    )
    try:
        await models.start()
    except ApiError as error:
        _answer(answers, ServerReady(error=error.message))
        return _EXIT_MODEL
    gc.freeze()  # what is there now stays: looking for garbage after an unloaded model is quick
    engine.start()
    application = make_application(engine, models, config.token.get_secret_value())
    runner = web.AppRunner(
        application, handler_cancellation=True, access_log=None, shutdown_timeout=0.2
    )
    await runner.setup()
    site = web.TCPSite(runner, config.host, config.port)
    try:
        await site.start()
    except OSError as error:
        message = (
            f"The model server cannot listen on {config.host}:{config.port}: {error.strerror}."
        )
        _answer(answers, ServerReady(error=f"{message} Choose another COUNTERSIGN_MODEL_PORT."))
        return _EXIT_CONFIG
    host, port = runner.addresses[0][:2]
    _answer(answers, ServerReady(base_url=f"http://{host}:{port}/v1"))
    logger.info("Serving on %s:%s with %s threads.", host, port, torch.get_num_threads())
    await ended.wait()
    if not await asyncio.to_thread(engine.stop, _GRACE_S):
        logger.warning("The engine is still in a step after %s s: it is left there.", _GRACE_S)
    await runner.cleanup()
    return _EXIT_CRASHED if crashed.is_set() else 0


def _answer(answers: BinaryIO, ready: ServerReady) -> None:
    answers.write(ready.model_dump_json().encode() + b"\n")


def _watch_parent(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    """Wait for the end of standard input in a thread; leave at once if the loop is stuck."""

    def watch() -> None:
        while os.read(0, 4096):
            continue
        loop.call_soon_threadsafe(ended.set)
        threading.Event().wait(2 * _GRACE_S)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _default_threads() -> int:
    """One core is left to the application: threads that wait for a taken core wait for each other.

    Measured on 2 cores, tokens/s of the default model: idle, 47 with 2 threads and 34 with 1;
    while two other processes compute, 4 with 2 threads and 17 with 1.
    """
    usable = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if usable else os.cpu_count() or 1
    return max(1, cores - 1)


if __name__ == "__main__":
    sys.exit(main())
