"""Bodies of requests: the part of OpenAI's API that is served, with vLLM's `structured_outputs`.

https://platform.openai.com/docs/api-reference/chat and
https://docs.vllm.ai/en/latest/features/structured_outputs.html
A field that is not served is refused by name, so that nothing is ignored in silence.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_CHARACTERS = 400_000
Text = Annotated[str, Field(max_length=MAX_CHARACTERS)]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TextPart(_Body):
    """A piece of a message's content."""

    type: Literal["text"]
    text: Text


class Message(_Body):
    """One turn; `developer` is OpenAI's newer word for `system`."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | tuple[TextPart, ...]
    name: str | None = Field(default=None, max_length=200)

    def plain(self) -> dict[str, str]:
        """The message as chat templates take it."""
        content = self.content
        text = content if isinstance(content, str) else "".join(part.text for part in content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class JsonSchema(_Body):
    """A named JSON schema."""

    name: str = Field(max_length=200)
    description: str | None = Field(default=None, max_length=10_000)
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(_Body):
    """`text`, any JSON object, or JSON that satisfies a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _complete(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema belongs to type json_schema, and is needed there")
        return self


class StructuredOutputs(_Body):
    """vLLM's extra field: the reply is one of `choice`, matches `regex`, or is JSON of a schema."""

    choice: (
        Annotated[
            tuple[Annotated[str, Field(min_length=1, max_length=2000)], ...],
            Field(min_length=1, max_length=1000),
        ]
        | None
    ) = None
    regex: str | None = Field(default=None, min_length=1, max_length=10_000)
    json_: dict[str, Any] | None = Field(default=None, alias="json")

    @model_validator(mode="after")
    def _one(self) -> StructuredOutputs:
        given = [self.choice, self.regex, self.json_]
        if sum(item is not None for item in given) != 1:
            raise ValueError("give exactly one of choice, regex and json")
        return self


class StreamOptions(_Body):
    """What a stream carries besides text."""

    include_usage: bool = False


class ChatBody(_Body):
    """`POST /v1/chat/completions`. `max_completion_tokens` is OpenAI's newer `max_tokens`."""

    model: str = Field(max_length=200)
    messages: tuple[Message, ...] = Field(min_length=1, max_length=1000)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float = Field(default=1.0, ge=0.0, le=2.0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    stop: (
        Annotated[str, Field(min_length=1, max_length=200)]
        | Annotated[
            tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(max_length=16)
        ]
        | None
    ) = None
    n: Literal[1] = 1
    stream: bool = False
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    user: str | None = Field(default=None, max_length=200)

    @model_validator(mode="after")
    def _one_constraint(self) -> ChatBody:
        if self.structured_outputs and self.response_format:
            raise ValueError("give response_format or structured_outputs, not both")
        return self

    @property
    def limit(self) -> int | None:
        """Upper bound of generated tokens; None means what the context holds."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def stops(self) -> tuple[str, ...]:
        """Strings at which generation ends; they are not part of the reply."""
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else self.stop


class EmbeddingsBody(_Body):
    """`POST /v1/embeddings`."""

    model: str = Field(max_length=200)
    input: Text | Annotated[tuple[Text, ...], Field(min_length=1, max_length=2048)]
    encoding_format: Literal["float", "base64"] = "float"
    user: str | None = Field(default=None, max_length=200)

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts to embed."""
        return (self.input,) if isinstance(self.input, str) else self.input
