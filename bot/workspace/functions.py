"""Custom workflow functions: executions that the bot completes."""

from __future__ import annotations

from bot.workspace.delivery import Delivery
from bot.workspace.directory import Directory
from bot.workspace.errors import MethodError
from bot.workspace.ids import TsSource, new_id
from bot.workspace.records import FunctionRecord, Json
from bot.workspace.storage import Storage


class Functions:
    """Starts executions of the bot's functions and keeps what came of them."""

    def __init__(
        self, storage: Storage, delivery: Delivery, directory: Directory, ts: TsSource
    ) -> None:
        self._storage = storage
        self._delivery = delivery
        self._directory = directory
        self._ts = ts

    def execute(self, callback_id: str, inputs: Json, bot_token: str) -> FunctionRecord:
        """Starts an execution: the bot gets `function_executed`."""
        record = FunctionRecord(id=new_id("Fx"), callback_id=callback_id, inputs=inputs)
        self._storage.put("function", record.id, record)
        self._delivery.send_event(
            {
                "type": "function_executed",
                "function": {
                    "id": f"Fn{callback_id}",
                    "callback_id": callback_id,
                    "title": callback_id,
                    "type": "app",
                    "app_id": self._directory.bot.app_id,
                    "input_parameters": [],
                    "output_parameters": [],
                },
                "inputs": inputs,
                "function_execution_id": record.id,
                "workflow_execution_id": new_id("Wx"),
                "event_ts": self._ts.next(),
                "bot_access_token": bot_token,
            }
        )
        return record

    def complete(
        self, execution: str, *, outputs: Json | None = None, error: str | None = None
    ) -> None:
        """Ends an execution, with outputs or with an error.

        Raises:
            MethodError: `function_execution_not_found`, or `not_running` when it has ended.
        """
        record = self._storage.get("function", execution, FunctionRecord)
        if record is None:
            raise MethodError("function_execution_not_found")
        if record.state != "running":
            raise MethodError("not_running")
        ended = record.model_copy(
            update={
                "state": "error" if error is not None else "success",
                "outputs": outputs,
                "error": error,
            }
        )
        self._storage.put("function", execution, ended)

    def all(self) -> list[FunctionRecord]:
        """Every execution."""
        return list(self._storage.all("function", FunctionRecord).values())
