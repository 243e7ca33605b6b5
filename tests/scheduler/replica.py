"""A replica's clock as a process of its own, whose time is what its parent says.

It reads moments from its standard input, one a line; at each it lets everything happen that is
due, and says so. The timer is APScheduler's own: the event loop's time is the simulated one.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import time_machine

from core.automation import AISchedule
from core.schedules import ScheduleStore
from core.security.audit import AuditLog
from core.store.database import Database
from core.store.inbox import SqlInbox
from scheduler.book import ScheduleBook
from scheduler.clock import Clock


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Timers follow the simulated time; what waits for the database does not need any."""

    def time(self) -> float:
        return time.time()


async def settled(clock: Clock) -> None:
    """Wait until the clock has done all that is due now."""
    scheduler = clock._scheduler
    executor = scheduler._lookup_executor("default")
    while True:
        await asyncio.sleep(0)
        if pending := list(executor._pending_futures):
            await asyncio.wait(pending)
        elif all(job.next_run_time > datetime.now(UTC) for job in scheduler.get_jobs()):
            return


async def main(url: str, schedules: Path, traveller: time_machine.Traveller) -> None:
    """Be a replica until the input ends."""
    files = [AISchedule.model_validate(one) for one in json.loads(schedules.read_text())]
    database = Database(url)
    store = ScheduleStore(database, AuditLog(database))
    book = ScheduleBook({one.id: one for one in files}, store)
    clock = Clock(book, SqlInbox(database, "replica"))
    await clock.start()
    await settled(clock)
    print("ready", flush=True)
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := (await lines.readline()).decode().strip():
        traveller.move_to(datetime.fromisoformat(line))
        await settled(clock)
        print(f"done {line}", flush=True)
    clock.close()
    await database.close()


if __name__ == "__main__":
    with (
        time_machine.travel(datetime.fromisoformat(sys.argv[3]), tick=False) as travelling,
        asyncio.Runner(loop_factory=SimulatedLoop) as runner,
    ):
        runner.run(main(sys.argv[1], Path(sys.argv[2]), travelling))
