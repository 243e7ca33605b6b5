"""The workspace's one SQLite file.

Every change is committed before the caller goes on (write-through), so that a killed process
loses nothing that was acknowledged. Statements take microseconds on a local file, so they run in
the event loop and a change needs no lock. Messages are rows; everything else is one JSON document
a record.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bot.workspace.errors import StorageError
from bot.workspace.records import MessageRecord, Record

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS messages (
    channel TEXT NOT NULL, ts TEXT NOT NULL, thread_ts TEXT, for_user TEXT, author TEXT NOT NULL,
    broadcast INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (channel, ts)
);
CREATE INDEX IF NOT EXISTS messages_by_thread ON messages (channel, thread_ts, ts);
CREATE INDEX IF NOT EXISTS messages_by_ts ON messages (ts);
"""

R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class ThreadSummary:
    """Replies of one parent: how many, by whom (in order of first reply), the newest `ts`."""

    count: int
    users: tuple[str, ...]
    latest: str


class Storage:
    """Reads and writes the file; only one process can hold it.

    Args:
        path: the file; its folder is made when missing.

    Raises:
        StorageError: it is in use, not a workspace's file, or not writable.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=1.0)
            # Held exclusively: a second workspace on the same file is an error, not a mixture.
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
            if version not in (0, _SCHEMA_VERSION):
                raise StorageError(
                    f"{path} was written by another version of the workspace (schema {version}, "
                    f"this one has {_SCHEMA_VERSION}); move the file away to start a new workspace"
                )
            self._db.executescript(_SCHEMA)
            self._db.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"The workspace's storage {path} cannot be used: {error}. Is another workspace "
                "running on it, or is it not a file of the workspace?"
            ) from error

    @property
    def files_dir(self) -> Path:
        """Folder of uploaded files, beside the database."""
        return self.path.with_name(self.path.name + ".files")

    def close(self) -> None:
        """Closes the file; further use is an error."""
        self._db.close()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Groups writes: all or none of them are kept. No `await` inside."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # --- records ---

    def put(self, kind: str, key: str, record: Record) -> None:
        """Stores a record under its kind and key, in place of the one before."""
        self._db.execute(
            "INSERT INTO records VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body",
            (kind, key, record.model_dump_json()),
        )

    def get(self, kind: str, key: str, model: type[R]) -> R | None:
        """Reads one record, None when there is none."""
        row = self._db.execute(
            "SELECT body FROM records WHERE kind = ? AND key = ?", (kind, key)
        ).fetchone()
        return model.model_validate_json(row[0]) if row else None

    def all(self, kind: str, model: type[R]) -> dict[str, R]:
        """Reads all records of a kind, by key."""
        rows = self._db.execute("SELECT key, body FROM records WHERE kind = ?", (kind,))
        return {key: model.model_validate_json(body) for key, body in rows}

    def delete(self, kind: str, key: str) -> None:
        """Forgets a record; that it does not exist is no error."""
        self._db.execute("DELETE FROM records WHERE kind = ? AND key = ?", (kind, key))

    # --- messages ---

    def put_message(self, message: MessageRecord) -> None:
        """Stores a message, in place of the one with the same channel and `ts`."""
        self._db.execute(
            "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (channel, ts) DO UPDATE SET body = excluded.body, "
            "broadcast = excluded.broadcast",
            (
                message.channel,
                message.ts,
                message.thread_ts,
                message.for_user,
                message.user,
                message.broadcast,
                message.model_dump_json(),
            ),
        )

    def message(self, channel: str, ts: str) -> MessageRecord | None:
        """Reads one message, ephemeral ones too."""
        row = self._db.execute(
            "SELECT body FROM messages WHERE channel = ? AND ts = ?", (channel, ts)
        ).fetchone()
        return MessageRecord.model_validate_json(row[0]) if row else None

    def delete_message(self, channel: str, ts: str) -> None:
        """Removes one message."""
        self._db.execute("DELETE FROM messages WHERE channel = ? AND ts = ?", (channel, ts))

    def top_level(
        self,
        channel: str,
        *,
        viewer: str | None,
        after: str = "",
        before: str = "9",
        limit: int,
    ) -> list[MessageRecord]:
        """Reads the newest top-level messages (broadcast replies too), newest first.

        Args:
            viewer: whose ephemeral messages are included; None: nobody's.
            after: only messages with a greater `ts`; `before`: with a smaller one.
            limit: at most so many.
        """
        rows = self._db.execute(
            "SELECT body FROM messages WHERE channel = ? AND (thread_ts IS NULL OR broadcast) "
            "AND (for_user IS NULL OR for_user = ?) AND ts > ? AND ts < ? "
            "ORDER BY ts DESC LIMIT ?",
            (channel, viewer, after, before, limit),
        )
        return [MessageRecord.model_validate_json(body) for (body,) in rows]

    def thread(
        self,
        channel: str,
        parent: str,
        *,
        viewer: str | None,
        after: str = "",
        before: str = "9",
        limit: int,
    ) -> list[MessageRecord]:
        """Reads the replies of a parent, oldest first, without the parent."""
        rows = self._db.execute(
            "SELECT body FROM messages WHERE channel = ? AND thread_ts = ? "
            "AND (for_user IS NULL OR for_user = ?) AND ts > ? AND ts < ? ORDER BY ts LIMIT ?",
            (channel, parent, viewer, after, before, limit),
        )
        return [MessageRecord.model_validate_json(body) for (body,) in rows]

    def summaries(self, channel: str, parents: list[str]) -> dict[str, ThreadSummary]:
        """Counts the replies of each parent that has any; ephemeral ones do not count."""
        found: dict[str, ThreadSummary] = {}
        for start in range(0, len(parents), 500):
            some = parents[start : start + 500]
            marks = ",".join("?" * len(some))
            rows = self._db.execute(
                "SELECT thread_ts, ts, author FROM messages WHERE channel = ? AND for_user IS NULL "  # noqa: S608 - only question marks are formatted in
                f"AND thread_ts IN ({marks}) ORDER BY thread_ts, ts",
                (channel, *some),
            )
            for parent, ts, author in rows:
                before = found.get(parent)
                users = before.users if before else ()
                found[parent] = ThreadSummary(
                    count=before.count + 1 if before else 1,
                    users=users if author in users else (*users, author),
                    latest=ts,
                )
        return found

    def newest_ts(self) -> str | None:
        """The greatest `ts` of all messages, None in a new workspace."""
        return self._db.execute("SELECT MAX(ts) FROM messages").fetchone()[0]  # type: ignore[no-any-return]

    def latest_in(self, channel: str) -> str | None:
        """The `ts` of a channel's newest top-level message that everyone sees."""
        row = self._db.execute(
            "SELECT MAX(ts) FROM messages WHERE channel = ? AND for_user IS NULL "
            "AND (thread_ts IS NULL OR broadcast)",
            (channel,),
        ).fetchone()
        return row[0]  # type: ignore[no-any-return]

    def everything_in(self, channel: str) -> list[MessageRecord]:
        """Reads all messages of a channel, everyone's ephemeral ones too, oldest first."""
        rows = self._db.execute(
            "SELECT body FROM messages WHERE channel = ? ORDER BY ts", (channel,)
        )
        return [MessageRecord.model_validate_json(body) for (body,) in rows]

    def open_streams(self) -> list[MessageRecord]:
        """Reads the messages whose stream was not stopped; a scan, for the start."""
        rows = self._db.execute(
            "SELECT body FROM messages WHERE json_extract(body, '$.stream.open')"
        )
        return [MessageRecord.model_validate_json(body) for (body,) in rows]
