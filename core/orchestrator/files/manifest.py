"""The manifest in every model folder: which files belong to it, with size and digest.

Nothing is loaded before its folder equals its manifest, file by file and digest by digest.
SHA-256 over the default chat model's 269 MB takes 0.15 s, so the weights are always checked too.
"""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.orchestrator.files.source import NAME_PATTERN, ModelKind, Sha256
from core.services.ai import OrchestratorError

MANIFEST_NAME = "countersign-model.json"
_MAX_MANIFEST_BYTES = 1 << 20
_MAX_HEADER_BYTES = 100 << 20  # the safetensors format's own bound


class ModelFileError(OrchestratorError):
    """A model's file is missing, altered or of a kind that is not loaded; says how to mend it."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileRecord(_Frozen):
    """One file of the model, by its relative path with `/`."""

    path: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)?$")
    size: int = Field(ge=0)
    sha256: Sha256


class Origin(_Frozen):
    """Where the files came from: a wheel (`package==version`) or a folder of the team's own."""

    type: Literal["wheel", "folder"]
    reference: str
    sha256: dict[str, Sha256] = Field(
        default_factory=dict, description="digest of each source file by its path there"
    )


class ModelManifest(_Frozen):
    """What a model folder consists of."""

    version: Literal[1] = 1
    name: str = Field(pattern=NAME_PATTERN)
    kind: ModelKind
    licence: str
    origin: Origin
    files: tuple[FileRecord, ...] = Field(min_length=1)

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of all files, in hexadecimal: the same for the same content."""
        records = sorted(f"{record.sha256} {record.path}\n" for record in self.files)
        return hashlib.sha256("".join(records).encode()).hexdigest()


def mend(name: str) -> str:
    """The sentence that tells a person how to mend the folder of model `name`."""
    return (
        f"Run `countersign models pull {name}` to fetch it again, "
        "or import your own folder again if it is yours."
    )


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record_files(folder: Path) -> tuple[FileRecord, ...]:
    """Record every file below `folder` except the manifest."""
    return tuple(
        FileRecord(
            path=path.relative_to(folder).as_posix(),
            size=path.stat().st_size,
            sha256=file_digest(path),
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST_NAME
    )


def write_manifest(folder: Path, manifest: ModelManifest) -> None:
    """Write the manifest into `folder`."""
    (folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=2) + "\n", "utf-8")


def read_manifest(folder: Path) -> ModelManifest:
    """Read the manifest of `folder` without checking the files.

    Raises:
        ModelFileError: there is none, or it cannot be read.
    """
    path = folder / MANIFEST_NAME
    try:
        with path.open("rb") as file:
            return ModelManifest.model_validate_json(file.read(_MAX_MANIFEST_BYTES))
    except FileNotFoundError as error:
        raise ModelFileError(
            f"There is no model in {folder} ({MANIFEST_NAME} is missing). {mend(folder.name)}"
        ) from error
    except (OSError, ValidationError) as error:
        raise ModelFileError(f"{path} cannot be read: {error}. {mend(folder.name)}") from error


def verify(folder: Path) -> ModelManifest:
    """Check every file of a model folder against its manifest; blocking.

    Raises:
        ModelFileError: a file is missing, extra, altered, or weights are not safetensors.
    """
    manifest = read_manifest(folder)
    recorded = {record.path: record for record in manifest.files}
    present = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if not path.is_dir() and path.name != MANIFEST_NAME
    }
    if extra := sorted(present - recorded.keys()):
        # An added file (an adapter, a template, a pickle) would change what is loaded.
        raise ModelFileError(
            f"{folder / extra[0]} does not belong to model {manifest.name}: it is not in "
            f"{MANIFEST_NAME}. Remove it. {mend(manifest.name)}"
        )
    for record in manifest.files:
        _verify_file(folder / record.path, record, manifest.name)
    if not any(record.path.endswith(".safetensors") for record in manifest.files):
        raise ModelFileError(f"{folder} has no safetensors weights. {mend(manifest.name)}")
    return manifest


def _verify_file(path: Path, record: FileRecord, name: str) -> None:
    try:
        size = path.stat().st_size
        actual = file_digest(path) if size == record.size else None
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}. {mend(name)}") from error
    if actual is None:
        raise ModelFileError(
            f"{path} is {size} bytes long where {record.size} were expected "
            f"(SHA-256 {record.sha256}). {mend(name)}"
        )
    if actual != record.sha256:
        raise ModelFileError(
            f"{path} was altered: its SHA-256 is {actual}, expected {record.sha256}. {mend(name)}"
        )
    if path.suffix == ".safetensors":
        check_safetensors(path)


def check_safetensors(path: Path) -> None:
    """Check that a file is well-formed safetensors: 8 bytes of length, JSON header, data.

    Format: https://github.com/huggingface/safetensors#format

    Raises:
        ModelFileError: it is something else (a pickle, say) or it is cut short.
    """
    refused = f"{path} is not a safetensors file, and nothing else is loaded: "
    total = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        if not 2 <= length <= min(total - 8, _MAX_HEADER_BYTES):
            raise ModelFileError(refused + "its header has no valid length.")
        raw = file.read(length)
    try:
        header = json.loads(raw)
        ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
        data = max(ends, default=0)
        complete = data == total - 8 - length
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise ModelFileError(refused + "its header is not what the format asks for.") from error
    if not complete:
        raise ModelFileError(
            f"{path} is cut short or has a tail: its header describes {data} bytes of data, "
            f"the file has {total - 8 - length}."
        )
