"""How much memory models may take, how much each takes, and giving it back.

What a model takes is an estimate from its files: number of weights times bytes a weight. Keys and
values of conversations come on top as they are written, as does, while a model is loaded, a second
copy of what is being packed: so the default budget is half of the memory.
"""

from __future__ import annotations

import ctypes
import gc
import json
import math
import os
import struct
import sys
from pathlib import Path

from core.orchestrator.files.manifest import ModelFileError, check_safetensors
from core.orchestrator.files.source import ModelKind
from core.orchestrator.wire import Precision

_CHAT_BYTES: dict[Precision, float] = {
    "float32": 4.0,
    "bfloat16": 2.0,
    "int8": 3.0,  # the packed weight, and the bfloat16 one that reads prompts
    "int4": 2.7,  # likewise, with scale and zero of each 32 weights
}
_EMBEDDING_BYTES = 4.0
_CGROUP = Path("/sys/fs/cgroup")
_LIMITS = ("memory.max", "memory.limit_in_bytes")  # control groups version 2 and 1


def budget() -> int:
    """Half of the memory, in bytes, that this process may use."""
    return usable() // 2


def usable() -> int:
    """Bytes of the machine, or of a control group around this process where that is less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_group_limits()])


def _group_limits() -> list[int]:
    """https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files"""
    try:
        lines = Path("/proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:  # not Linux
        return []
    limits = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        root = _CGROUP / "memory" if "memory" in controllers.split(",") else _CGROUP
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            limits += [limit for name in _LIMITS if (limit := _limit(folder / name)) is not None]
    return limits


def _limit(file: Path) -> int | None:
    try:
        return int(file.read_text("ascii"))
    except (OSError, ValueError):  # no such file, or `max`
        return None


def estimate(folder: Path, kind: ModelKind, precision: Precision) -> int:
    """Bytes that the weights in `folder` take when loaded.

    Raises:
        ModelFileError: there are no weights, or a file is not safetensors.
    """
    weights = sum(_count(path) for path in folder.glob("*.safetensors"))
    return round(weights * (_CHAT_BYTES[precision] if kind == "chat" else _EMBEDDING_BYTES))


def _count(path: Path) -> int:
    """Numbers in a safetensors file, by its header."""
    check_safetensors(path)
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    try:
        return sum(math.prod(item["shape"]) for key, item in header.items() if key[:2] != "__")
    except (KeyError, TypeError) as error:
        raise ModelFileError(f"{path}: its header gives no shapes.") from error


def give_back() -> None:
    """Free what nothing refers to any more, and return it to the system; takes some 0.1 s."""
    gc.collect()
    if sys.platform == "linux":
        # glibc keeps freed blocks of up to 32 MB for itself; other C libraries have no such call.
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
