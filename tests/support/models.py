"""The default models, pulled and converted once for all tests.

The folder is `COUNTERSIGN_TEST_MODELS`, else one in the platform's cache.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from core.orchestrator.files import catalog, weights


def models_cache() -> Path:
    """Where the tests keep the converted models."""
    if named := os.environ.get("COUNTERSIGN_TEST_MODELS"):
        return Path(named)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return cache / "countersign-tests" / "models"


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """Folder with the default chat and embedding model, real and verified."""
    folder = models_cache()
    for source in catalog.CATALOG:
        asyncio.run(weights.pull(source, folder, print))
    return folder
