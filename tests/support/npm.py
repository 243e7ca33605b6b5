"""Packages of npm that tests need, kept in a cache folder outside the repository."""

import fcntl
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def cache_folder() -> Path:
    """Where downloads of tests are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "countersign-tests"


def installed(package: str, version: str) -> Path:
    """The folder of an npm package, its dependencies beside it in `node_modules`."""
    folder = cache_folder() / f"{package}-{version}"
    with _locked(folder):
        if not (folder / "installed").exists():
            _npm("install", "--prefix", str(folder), f"{package}@{version}")
            (folder / "installed").touch()
    return folder / "node_modules" / package


def unpacked(package: str, version: str, *members: str) -> list[Path]:
    """Some files of an npm package, for those that are too large to install whole."""
    folder = cache_folder() / f"{package.replace('/', '-').lstrip('@')}-{version}"
    paths = [folder / Path(member).name for member in members]
    with _locked(folder):
        if not all(path.exists() for path in paths):
            _npm("pack", f"{package}@{version}", "--silent", "--pack-destination", str(folder))
            (archive,) = folder.glob("*.tgz")
            with tarfile.open(archive) as opened:
                for member, path in zip(members, paths, strict=True):
                    found = opened.extractfile(f"package/{member}")
                    assert found is not None
                    path.write_bytes(found.read())
            archive.unlink()
    return paths


def node() -> str:
    """The path of node."""
    return _program("node", "nodejs")


def _npm(*arguments: str) -> None:
    done = subprocess.run(
        [_program("npm", "npm"), *arguments, "--no-audit", "--no-fund"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"npm {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")


def _program(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is missing: install the package {package}, e.g. apt install {package}")
    return found


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
