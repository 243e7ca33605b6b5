"""Pictures that actions give with their results: PNG only, checked, limited in size.

PNG: https://www.w3.org/TR/png-3/#5DataRep. Only the frame is looked at, the pixels are left to
whoever shows them: a signature, a header chunk that says how large the picture is, an end chunk.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from zlib import crc32

from core.errors import CountersignError
from core.records import Frozen, StorableText

MAX_PICTURE_BYTES = 5 * 1024 * 1024
LONGEST_SIDE = 8192
_ALT_CHARACTERS = 1000
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">I4s13sI")
"""The first chunk: length, type, what it holds, checksum."""
_END = struct.pack(">I4sI", 0, b"IEND", crc32(b"IEND"))


class PictureError(CountersignError):
    """These bytes are no picture that is shown; the message says why and what to do."""


@dataclass(frozen=True)
class Picture:
    """A picture in PNG.

    Attributes:
        data: the whole file.
        alt: what it shows, in words, for those who cannot see it; plain text.

    Raises:
        PictureError: it is not a PNG, not whole, or larger than `MAX_PICTURE_BYTES` or
            `LONGEST_SIDE` pixels, or nothing says what it shows.
    """

    data: bytes
    alt: str

    def __post_init__(self) -> None:
        if not self.alt.strip() or len(self.alt) > _ALT_CHARACTERS:
            raise PictureError(
                f"A picture needs an alt text of 1 to {_ALT_CHARACTERS} characters: say what it "
                "shows."
            )
        if len(self.data) > MAX_PICTURE_BYTES:
            raise PictureError(
                f"The picture has {len(self.data)} bytes, and {MAX_PICTURE_BYTES} are taken: ask "
                "for a smaller one."
            )
        if not self.data.startswith(_SIGNATURE):
            raise PictureError("The picture is not a PNG: ask for it as image/png.")
        width, height = self._size()
        if not (1 <= width <= LONGEST_SIDE and 1 <= height <= LONGEST_SIDE):
            raise PictureError(
                f"The picture is {width} by {height} pixels, and 1 to {LONGEST_SIDE} are taken: "
                "ask for another width and height."
            )
        if not self.data.endswith(_END):
            raise PictureError("The picture is cut off, or something follows it: ask for it again.")

    @property
    def digest(self) -> str:
        """The SHA-256 of its bytes, in hex."""
        return hashlib.sha256(self.data).hexdigest()

    def _size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        broken = PictureError("The picture's header is broken: ask for it again.")
        if len(self.data) < len(_SIGNATURE) + _HEADER.size:
            raise broken
        length, kind, header, checksum = _HEADER.unpack_from(self.data, len(_SIGNATURE))
        if (length, kind) != (13, b"IHDR") or checksum != crc32(kind + header):
            raise broken
        width, height = struct.unpack_from(">II", header)
        return width, height


class KeptPicture(Frozen):
    """What a step says of its picture; the bytes are in a table of their own.

    Attributes:
        digest: the SHA-256 of the bytes, in hex.
        size: in bytes.
    """

    digest: str
    alt: StorableText
    size: int


KeepPicture = Callable[[str, Picture], Awaitable[KeptPicture]]
"""Stores a picture of the run of that id; repeatable."""
