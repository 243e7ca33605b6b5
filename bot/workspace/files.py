"""Uploaded files: records in the storage, bytes in a folder beside it."""

from __future__ import annotations

import mimetypes
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

from bot.workspace.errors import MethodError
from bot.workspace.ids import new_id
from bot.workspace.page_records import File
from bot.workspace.records import FileRecord, Json
from bot.workspace.storage import Storage

_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\\"]")


class Address:
    """Where the server is reached; known once it listens."""

    def __init__(self) -> None:
        self.base_url = ""


class FileStore:
    """Takes uploads in two steps, as Slack's external upload does.

    Args:
        max_bytes: the largest file that is taken.
    """

    def __init__(self, storage: Storage, address: Address, *, max_bytes: int) -> None:
        self._storage = storage
        self._address = address
        self.max_bytes = max_bytes

    def announce(self, filename: str, length: int, alt_txt: str) -> FileRecord:
        """Makes a record for a file that will be uploaded.

        Raises:
            MethodError: `invalid_arguments` (no length) or `file_upload_size_restricted`.
        """
        if length <= 0:
            raise MethodError("invalid_arguments", ["[ERROR] length must be greater than 0"])
        if length > self.max_bytes:
            raise MethodError("file_upload_size_restricted")
        name = _UNSAFE.sub("_", filename)[:255] or "file"
        record = FileRecord(
            id=new_id("F"),
            name=name,
            title=name,
            mimetype=mimetypes.guess_type(name)[0] or "application/octet-stream",
            length=length,
            alt_txt=alt_txt[:1_000],
            created=int(time.time()),
        )
        self._put(record)
        return record

    def path(self, file: str) -> Path:
        """Where a file's bytes lie."""
        return self._storage.files_dir / file

    async def receive(self, record: FileRecord, chunks: AsyncIterator[bytes]) -> FileRecord:
        """Writes an upload to disk as it comes.

        Raises:
            MethodError: `file_upload_size_restricted`, when it is longer than announced.
        """
        self._storage.files_dir.mkdir(parents=True, exist_ok=True)
        target = self.path(record.id)
        partial = target.with_suffix(".partial")
        size = 0
        try:
            with partial.open("wb") as out:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > record.length:
                        raise MethodError("file_upload_size_restricted")
                    out.write(chunk)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        stored = record.model_copy(update={"size": size})
        self._put(stored)
        return stored

    def get(self, file: str) -> FileRecord | None:
        """Reads a record, None when there is none."""
        return self._storage.get("file", file, FileRecord)

    def share(self, file: str, title: str | None, channels: tuple[str, ...]) -> FileRecord:
        """Ends an upload and says where the file is shown.

        Raises:
            MethodError: `file_not_found`, also when its bytes have not come.
        """
        record = self.get(file)
        if record is None or record.size is None:
            raise MethodError("file_not_found")
        shared = record.model_copy(
            update={"title": title or record.title, "shared": True, "channels": channels}
        )
        self._put(shared)
        return shared

    def _put(self, record: FileRecord) -> None:
        self._storage.put("file", record.id, record)

    def wire(self, record: FileRecord) -> Json:
        """A file object in Slack's shape."""
        url = f"{self._address.base_url}/files/{record.id}"
        return {
            "id": record.id,
            "created": record.created,
            "timestamp": record.created,
            "name": record.name,
            "title": record.title,
            "mimetype": record.mimetype,
            "filetype": Path(record.name).suffix.lstrip(".") or "text",
            "size": record.size or 0,
            "mode": "hosted",
            "is_external": False,
            "is_public": True,
            "alt_txt": record.alt_txt,
            "channels": list(record.channels),
            "url_private": url,
            "url_private_download": url,
            "permalink": url,
        }

    def page(self, record: FileRecord) -> File:
        """A file as pages draw it."""
        return File(
            id=record.id,
            name=record.name,
            title=record.title,
            mimetype=record.mimetype,
            size=record.size or 0,
            url=f"/page/files/{record.id}",
            alt_txt=record.alt_txt,
        )
