"""Durable execution of runs on DBOS Transact (https://docs.dbos.dev/python).

Each generation of a run is one DBOS workflow: from the run's state in our tables until it has
ended or waits for a person. What was done is in our tables, in the transactions that say so, and
not once more in DBOS's: a workflow that is recovered after a crash reads them. A change of our
code or of a YAML file never breaks a run that is under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

from dbos import (
    DBOS,
    DBOSConfig,
    DBOSConfiguredInstance,
    DBOSPortableJSONSerializer,
    SetWorkflowID,
)
from dbos import error as errors

from core.errors import ConfigurationError
from core.store.database import Database
from core.store.schema import PREPARE
from core.workflows.execution import Execution
from core.workflows.run import Run

_PROTOCOL = "countersign-runs-2"  # change only when `execute` takes other arguments than before
LET_GO = "let go"
_GIVEN_UP = {"ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"}
_CONNECTIONS = 10  # of DBOS; a server takes 100 as it comes, from all replicas together
_CRASHES = 1000  # in one generation, before DBOS gives it up

# The task that carries a run out inherits what is set where it is started.
_KNOWN: ContextVar[Run | None] = ContextVar("known run", default=None)


@DBOS.dbos_class()
class RunEngine(DBOSConfiguredInstance):
    """Starts and recovers runs. DBOS is one for the process, so this is, too.

    Args:
        execution: carries them out.
        database: DBOS keeps its own tables in the same place.
        replica: executor id; runs that a dead process of this name left behind are recovered.
    """

    def __init__(self, execution: Execution, database: Database, replica: str) -> None:
        super().__init__("runs")
        self._execution = execution
        self._database = database
        self._replica = replica

    def launch(self) -> None:
        """Open DBOS on the running event loop and recover what was under way.

        It creates its tables at the first start, so this blocks for a moment. Where our role may
        not, `countersign database prepare` has done it.

        Raises:
            ConfigurationError: DBOS's tables are of an older version, and our role may not
                change them.
        """
        config = DBOSConfig(
            name="countersign",
            system_database_url=_system_url(self._database),
            executor_id=self._replica,
            application_version=_PROTOCOL,
            enable_otlp=False,
            serializer=DBOSPortableJSONSerializer(),  # the default one is pickle
            log_level="WARNING",
            sys_db_pool_size=_CONNECTIONS,
            run_migrations=self._database.may_migrate,
        )
        DBOS(config=config)
        try:
            DBOS.launch()
        except errors.DBOSInitializationError as error:
            if self._database.may_migrate:
                raise
            DBOS.destroy()
            raise ConfigurationError(
                "The durable engine's tables (schema dbos) are older than this version needs, and "
                f"this role may not change them: run `{PREPARE}` as the owner of the tables."
            ) from error

    def close(self) -> None:
        """Stop DBOS; runs under way are recovered at the next launch.

        DBOS has made its own threads the event loop's default ones and ends them here: the loop
        gets new ones, so that what is closed after this can still use `asyncio.to_thread`.
        """
        DBOS.destroy()
        threads = ThreadPoolExecutor(thread_name_prefix="asyncio")
        asyncio.get_running_loop().set_default_executor(threads)

    async def recover(self, replicas: list[str]) -> None:
        """Take over the runs that were under way in replicas which are dead; repeatable."""
        await asyncio.to_thread(DBOS._recover_pending_workflows, replicas)

    async def start(self, run_id: str, generation: int, known: Run | None = None) -> None:
        """Give a generation of a run to the engine; does nothing where it has it already.

        Args:
            known: the run as it was just written, which then need not be read again.
        """
        token = _KNOWN.set(known)
        try:
            with SetWorkflowID(_workflow_id(run_id, generation)):
                await DBOS.start_workflow_async(self.execute, run_id, generation)
        finally:
            _KNOWN.reset(token)

    async def missing(self, asked: Sequence[tuple[str, int]]) -> list[tuple[str, int, str]]:
        """Which of these runs, by id and generation, the engine does not have or not any more.

        Returns:
            Each with the reason for which it was given up; empty where it was never given, and
            `LET_GO` where the engine was done with it, so that only a new generation helps.
        """
        ids = {
            _workflow_id(run_id, generation): (run_id, generation) for run_id, generation in asked
        }
        if not ids:
            return []
        known = await DBOS.list_workflows_async(
            workflow_ids=list(ids), load_input=False, load_output=True
        )
        there = {status.workflow_id: status for status in known}
        lost = []
        for workflow_id, run in ids.items():
            status = there.get(workflow_id)
            if status is None:
                lost.append((*run, ""))
            elif status.status == "SUCCESS":
                lost.append((*run, LET_GO))
            elif status.status in _GIVEN_UP:
                lost.append((*run, f"{type(status.error).__name__}: {status.error}"))
        return lost

    @DBOS.workflow(max_recovery_attempts=_CRASHES)
    async def execute(self, run_id: str, generation: int) -> None:
        """The one workflow: whatever the run, and whatever was done of it before."""
        await self._execution.carry_out(run_id, generation, _KNOWN.get())


def _workflow_id(run_id: str, generation: int) -> str:
    return f"run:{run_id}:{generation}"


def _system_url(database: Database) -> str:
    """DBOS's own database: a file beside ours on SQLite, a schema in ours on PostgreSQL."""
    if not database.is_sqlite:
        return database.sync_url
    return database.sync_url.removesuffix(".db") + "-engine.db"
