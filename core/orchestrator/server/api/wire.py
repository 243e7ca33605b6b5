"""Bodies of requests: the part of OpenAI's API that is served, with vLLM's `structured_outputs`.

https://platform.openai.com/docs/api-reference/chat,
https://platform.openai.com/docs/guides/function-calling and
https://docs.vllm.ai/en/latest/features/structured_outputs.html
A field that is not served is refused by name, so that nothing is ignored in silence.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_CHARACTERS = 400_000
MAX_TOOLS = 128
Text = Annotated[str, Field(max_length=MAX_CHARACTERS)]
FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Priority = Annotated[int, Field(ge=-1000, le=1000)]
"""As in vLLM: lower goes first. 0 is a person who waits, above 0 is background work."""
CallId = Annotated[str, Field(min_length=1, max_length=200)]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TextPart(_Body):
    """A piece of a message's content."""

    type: Literal["text"]
    text: Text


class CalledFunction(_Body):
    """What an assistant called; `arguments` is the text that it wrote, JSON as a rule."""

    name: FunctionName
    arguments: Text


class ToolCall(_Body):
    """A call in an assistant's turn."""

    id: CallId
    type: Literal["function"] = "function"
    function: CalledFunction


class Message(_Body):
    """One turn; `developer` is OpenAI's newer word for `system`."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Text | tuple[TextPart, ...] | None = None
    name: str | None = Field(default=None, max_length=200)
    tool_calls: tuple[ToolCall, ...] | None = Field(
        default=None, min_length=1, max_length=MAX_TOOLS
    )
    tool_call_id: CallId | None = None

    @model_validator(mode="after")
    def _fits_its_role(self) -> Message:
        if self.tool_calls and self.role != "assistant":
            raise ValueError("tool_calls belong to the role assistant")
        if (self.tool_call_id is not None) != (self.role == "tool"):
            raise ValueError("tool_call_id belongs to the role tool, and is needed there")
        if self.content is None and not self.tool_calls:
            raise ValueError(f"a message of the role {self.role} needs content")
        return self

    @property
    def template_role(self) -> str:
        """The role as chat templates know it."""
        return "system" if self.role == "developer" else self.role

    @property
    def text(self) -> str:
        """The content as one text; empty where there is none."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "".join(part.text for part in self.content)


class Function(_Body):
    """A function that the model may call; without `parameters` it takes none.

    Arguments satisfy the schema whether `strict` is set or not.
    """

    name: FunctionName
    description: str | None = Field(default=None, max_length=20_000)
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(_Body):
    """A tool; functions are the only kind."""

    type: Literal["function"]
    function: Function


class FunctionReference(_Body):
    """The name of a function."""

    name: FunctionName


class NamedTool(_Body):
    """The one function that must be called."""

    type: Literal["function"]
    function: FunctionReference


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
    """What a stream carries besides text; `include_queue_place` is ours."""

    include_usage: bool = False
    include_queue_place: bool = False


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
    tools: tuple[Tool, ...] | None = Field(default=None, min_length=1, max_length=MAX_TOOLS)
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    priority: Priority = 0
    user: str | None = Field(default=None, max_length=200)

    @model_validator(mode="after")
    def _one_constraint(self) -> ChatBody:
        if self.structured_outputs and self.response_format:
            raise ValueError("give response_format or structured_outputs, not both")
        return self

    @model_validator(mode="after")
    def _tools_fit(self) -> ChatBody:
        if self.tools is None:
            if self.tool_choice is not None or self.parallel_tool_calls is not None:
                raise ValueError("tool_choice and parallel_tool_calls need tools")
            return self
        names = [tool.function.name for tool in self.tools]
        if len(set(names)) < len(names):
            raise ValueError("tools: two have the same name")
        if isinstance(self.tool_choice, NamedTool) and self.tool_choice.function.name not in names:
            raise ValueError("tool_choice names a function that is not among tools")
        if self.may_call and self.structured_outputs:
            raise ValueError("structured_outputs cannot be combined with tools that may be called")
        if self.may_call and self.stop is not None:
            raise ValueError("stop cannot be combined with tools that may be called")
        return self

    @model_validator(mode="after")
    def _results_answer_calls(self) -> ChatBody:
        made: set[str] = set()
        for message in self.messages:
            made.update(call.id for call in message.tool_calls or ())
            if message.tool_call_id is not None and message.tool_call_id not in made:
                raise ValueError(
                    f"messages: tool_call_id {message.tool_call_id!r} answers no call before it"
                )
        return self

    @property
    def may_call(self) -> tuple[Function, ...]:
        """The functions that this reply may call."""
        if self.tools is None or self.tool_choice == "none":
            return ()
        functions = tuple(tool.function for tool in self.tools)
        if isinstance(self.tool_choice, NamedTool):
            only = self.tool_choice.function.name
            return tuple(function for function in functions if function.name == only)
        return functions

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


class Document(_Body):
    """A document to be scored."""

    text: Text


class RerankBody(_Body):
    """`POST /v1/rerank`, as Jina (https://jina.ai/reranker) and vLLM have it."""

    model: str = Field(max_length=200)
    query: Text
    documents: Annotated[tuple[Text | Document, ...], Field(min_length=1, max_length=1000)]
    top_n: int | None = Field(default=None, ge=1)
    return_documents: bool = False
    priority: Priority = 0
    user: str | None = Field(default=None, max_length=200)

    @property
    def texts(self) -> tuple[str, ...]:
        """The documents' texts."""
        return tuple(item if isinstance(item, str) else item.text for item in self.documents)


class EmbeddingsBody(_Body):
    """`POST /v1/embeddings`."""

    model: str = Field(max_length=200)
    input: Text | Annotated[tuple[Text, ...], Field(min_length=1, max_length=2048)]
    encoding_format: Literal["float", "base64"] = "float"
    priority: Priority = 0
    user: str | None = Field(default=None, max_length=200)

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts to embed."""
        return (self.input,) if isinstance(self.input, str) else self.input
