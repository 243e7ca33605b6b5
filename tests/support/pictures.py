"""Small real PNG files."""

from __future__ import annotations

import struct
from zlib import compress, crc32

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))


def png(width: int = 3, height: int = 2, shade: int = 128, comment: bytes = b"") -> bytes:
    """A grey PNG; `comment` makes it longer."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = compress((b"\x00" + bytes([shade]) * width) * height)
    said = chunk(b"tEXt", b"Comment\x00" + comment) if comment else b""
    return SIGNATURE + chunk(b"IHDR", header) + said + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
