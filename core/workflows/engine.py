"""Durable execution of runs on DBOS Transact (https://docs.dbos.dev/python).

One generic DBOS workflow interprets the stored plan, so that a change of our code or of a YAML
file never breaks a run that is under way. Its id is the run's id: starting it twice is one run.
"""

from __future__ import annotations

import asyncio

from dbos import (
    DBOS,
    DBOSConfig,
    DBOSConfiguredInstance,
    DBOSPortableJSONSerializer,
    SetWorkflowID,
)

from core.store.database import Database
from core.workflows.execution import Execution, Resolution
from core.workflows.run import StepProgress, StepState

_PROTOCOL = "countersign-runs-1"  # change only when `execute` asks for other steps than before
_MONTH_S = 30 * 24 * 3600.0
_LISTEN_S = 0.2  # for a person who has pressed a button


@DBOS.dbos_class()
class RunEngine(DBOSConfiguredInstance):
    """Starts and recovers runs. DBOS is one for the process, so this is, too.

    Args:
        execution: what to do in each step.
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

        It creates its tables at the first start, so this blocks for a moment.
        """
        config = DBOSConfig(
            name="countersign",
            system_database_url=_system_url(self._database),
            executor_id=self._replica,
            application_version=_PROTOCOL,
            enable_otlp=False,
            serializer=DBOSPortableJSONSerializer(),  # the default one is pickle
            log_level="WARNING",
            notification_listener_polling_interval_sec=_LISTEN_S,
        )
        DBOS(config=config)
        DBOS.launch()

    def close(self) -> None:
        """Stop DBOS; runs under way are recovered at the next launch."""
        DBOS.destroy()

    async def recover(self, replicas: list[str]) -> None:
        """Take over the runs that were under way in replicas which are dead; repeatable."""
        await asyncio.to_thread(DBOS._recover_pending_workflows, replicas)

    async def start(self, run_id: str) -> None:
        """Begin an approved run; does nothing where it has begun already."""
        with SetWorkflowID(_workflow_id(run_id)):
            await DBOS.start_workflow_async(self.execute, run_id)

    async def resolve(
        self, run_id: str, step: StepProgress, resolution: Resolution, user: str
    ) -> None:
        """Pass on a person's word about a step that was cut off; for each attempt the first
        word counts."""
        await DBOS.send_async(
            _workflow_id(run_id),
            {"resolution": str(resolution), "user": user},
            topic=step.step_id,
            idempotency_key=f"{run_id}/{step.step_id}/{step.attempts}",
        )

    async def failure(self, run_id: str) -> str | None:
        """Why the engine itself gave up on a run, or None where it did not."""
        status = await DBOS.get_workflow_status_async(_workflow_id(run_id))
        if status is None or status.status not in {"ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"}:
            return None
        return f"{type(status.error).__name__}: {status.error}"

    @DBOS.workflow()
    async def execute(self, run_id: str) -> str:
        """The generic workflow: authorise, then step after step, then the end."""
        steps = await DBOS.run_step_async({"name": "authorise"}, self._authorise, run_id)
        state = StepState.SUCCEEDED
        for position, step_id in enumerate(steps):
            state = await self._step(run_id, position, step_id)
            if state is not StepState.SUCCEEDED:
                break
        if steps:
            await DBOS.run_step_async({"name": "finish"}, self._finish, run_id, str(state))
        return str(state)

    async def _step(self, run_id: str, position: int, step_id: str) -> StepState:
        """One step; where it was cut off and must not be repeated, wait for a person's word."""
        excused = 0
        while True:
            state = StepState(
                await DBOS.run_step_async(
                    {"name": f"step:{step_id}"}, self._perform, run_id, position, excused
                )
            )
            if state is not StepState.UNKNOWN:
                return state
            word = None
            while word is None:
                word = await DBOS.recv_async(step_id, timeout_seconds=_MONTH_S)
            resolution = Resolution(word["resolution"])
            attempts = await DBOS.run_step_async(
                {"name": f"resolve:{step_id}"},
                self._resolve,
                run_id,
                position,
                str(resolution),
                word["user"],
            )
            if resolution is Resolution.DONE:
                return StepState.SUCCEEDED
            if resolution is Resolution.STOP:
                return StepState.SKIPPED
            excused = attempts

    async def _authorise(self, run_id: str) -> list[str]:
        return await self._execution.authorise(run_id)

    async def _perform(self, run_id: str, position: int, excused: int) -> str:
        return str(await self._execution.perform(run_id, position, excused))

    async def _resolve(self, run_id: str, position: int, resolution: str, user: str) -> int:
        return await self._execution.resolve(run_id, position, Resolution(resolution), user)

    async def _finish(self, run_id: str, state: str) -> None:
        await self._execution.finish(run_id, StepState(state))


def _workflow_id(run_id: str) -> str:
    return f"run:{run_id}"


def _system_url(database: Database) -> str:
    """DBOS's own database: a file beside ours on SQLite, a schema in ours on PostgreSQL."""
    if not database.is_sqlite:
        return database.sync_url
    return database.sync_url.removesuffix(".db") + "-engine.db"
