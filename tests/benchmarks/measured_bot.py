"""One bot in a process of its own, with a meter in its event loop.

`python -m tests.benchmarks.measured_bot application` is the whole of Countersign,
`… bare` a Bolt app with one listener that only acknowledges. Settings come from the environment,
as the application's do.

Each line on standard input is an order and is answered by one line of JSON on standard output:
`generate` (let the model generate), `rest`, `measure` (forget the figures), `report`. The end of
the input ends the bot. The first line of the output says that it is ready, with the figures of
the start.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web
from pydantic import BaseModel, ConfigDict
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.composition import running
from bot.slack.client import open_client
from bot.transport import PATH, transport_of
from core.settings import Settings
from tests.benchmarks.loop_meter import LoopFigures, LoopMeter
from tests.benchmarks.model_load import LoadFigures, ModelLoad


class Report(BaseModel):
    """Answer to every order.

    Attributes:
        load: None where the bot has no model.
    """

    model_config = ConfigDict(frozen=True)

    loop: LoopFigures
    load: LoadFigures | None


@asynccontextmanager
async def _application(settings: Settings, streams: int) -> AsyncIterator[ModelLoad]:
    texts = [path.read_text() for path in sorted((settings.config_dir / "runbooks").glob("*.md"))]
    async with running(settings) as countersign:
        await countersign.background.models_ready.wait()
        yield ModelLoad(countersign.orchestrator, texts, streams)


@asynccontextmanager
async def _bare(settings: Settings) -> AsyncIterator[None]:
    """The least that Bolt can do, on the same adapters."""

    async def acknowledge(ack: AsyncAck) -> None:
        await ack()

    bot_token, app_token = settings.slack_bot_token, settings.slack_app_token
    assert bot_token is not None
    secret = settings.slack_signing_secret
    async with open_client(bot_token.get_secret_value(), settings.slack_api_url) as client:
        app = AsyncApp(client=client, signing_secret=secret.get_secret_value() if secret else None)
        app.command(settings.command)(acknowledge)
        if transport_of(settings) == "http":
            site = app.server(settings.http_port, path=PATH, host=settings.http_host)
            runner = web.AppRunner(site.web_app)
            await runner.setup()
            await web.TCPSite(runner, settings.http_host, settings.http_port).start()
            yield
            await runner.cleanup()
            return
        assert app_token is not None
        handler = AsyncSocketModeHandler(app, app_token.get_secret_value(), web_client=client)
        await handler.connect_async()  # type: ignore[no-untyped-call]
        yield
        await handler.close_async()  # type: ignore[no-untyped-call]


async def _obey(meter: LoopMeter, load: ModelLoad | None) -> None:
    orders = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(orders)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    _answer(meter, load)
    async with AsyncExitStack() as stack:
        while order := (await orders.readline()).decode().strip():
            if order == "generate" and load is not None:
                await stack.enter_async_context(load.generating())
            elif order == "rest" and load is not None:
                await stack.aclose()
                await load.idle()
            elif order == "report" and load is not None:
                await load.look()
            elif order == "measure":
                meter.reset()
                if load is not None:
                    load.reset()
            _answer(meter, load)


def _answer(meter: LoopMeter, load: ModelLoad | None) -> None:
    report = Report(loop=meter.figures(), load=load.figures() if load else None)
    sys.stdout.write(report.model_dump_json() + "\n")
    sys.stdout.flush()


async def _main(arguments: argparse.Namespace) -> None:
    settings = Settings()
    async with LoopMeter(arguments.explain) as meter:
        if arguments.which == "bare":
            async with _bare(settings):
                await _obey(meter, None)
        else:
            async with _application(settings, arguments.streams) as load:
                await _obey(meter, load)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", choices=("application", "bare"))
    parser.add_argument("--streams", type=int, default=12)
    parser.add_argument("--explain", action="store_true")
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    asyncio.run(_main(parser.parse_args()))
