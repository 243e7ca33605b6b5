"""What people sign: SHA-256 over the plan's canonical JSON (RFC 8785)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from core.canonical import canonical, canonical_digest
from core.workflows.plan import Plan, PlannedEscalation, Sequence
from core.workflows.planning import Planner
from tests.core.workflows.parts import ALICE, policy, registry, step, typed, workflow


@pytest.fixture
async def plan(tmp_path: Path) -> Plan:
    window = {"name": "quiet", "from": "Fri 16:00", "to": "Mon 08:00"}
    made = workflow(
        step(line="${parameters.text}", number=3),
        step(step_id="second", line="${steps.first.line}"),
        parameters={
            "text": {"description": "a"},
            "ratio": {"type": "number", "description": "b", "default": 5},
        },
        targets=["text"],
        guardrails=[
            {"type": "approval", "roles": ["lead"]},
            {"type": "freeze", "windows": [window]},
            {"type": "environment", "allowed": ["production"]},
        ],
    )
    planner = Planner(policy(), registry(tmp_path / "lines"))
    return await planner.plan("run1", made, typed(text="héllo €"), ALICE)


def test_canonical_json_is_that_of_the_standard() -> None:
    """The example of RFC 8785, section 3.2.2, and its sorting of keys by UTF-16 code units."""
    value: dict[str, JsonValue] = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    canonical = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    assert canonical_digest(value) == f"sha256:{digest}"
    assert canonical_digest({"b": 1, "a": 2}) == canonical_digest({"a": 2, "b": 1})
    assert canonical_digest({"\U0001f600": 1, "\ufb33": 2}) == (
        "sha256:" + hashlib.sha256('{"\U0001f600":1,"\ufb33":2}'.encode()).hexdigest()
    )


def test_the_digest_is_the_same_after_the_plan_was_stored_as_json(plan: Plan) -> None:
    stored = json.dumps(plan.model_dump(mode="json", by_alias=True))
    read = Plan.model_validate(json.loads(stored))
    assert read == plan
    assert read.digest == plan.digest
    shuffled = dict(reversed(json.loads(stored).items()))
    assert Plan.model_validate(shuffled).digest == plan.digest


def test_the_digest_is_a_plain_sha_256_that_anybody_can_compute(plan: Plan) -> None:
    document = plan.model_dump(mode="json", by_alias=True)
    by_hand = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    by_hand = by_hand.replace(":300.0", ":300").replace(":5.0", ":5")
    assert plan.digest == "sha256:" + hashlib.sha256(by_hand.encode()).hexdigest()


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Paths of all values that hold no others."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path


def changed(value: Any, path: tuple[str | int, ...]) -> Any:
    """`value` with something else at `path`."""
    if not path:
        others = {bool: not value, int: 7, float: 7.5, str: f"{value}!", type(None): "was nothing"}
        return others.get(type(value), ["not empty any more"])
    copy = value.copy()
    copy[path[0]] = changed(value[path[0]], path[1:])
    return copy


def test_the_digest_changes_with_every_single_value_of_the_plan(plan: Plan) -> None:
    document = plan.model_dump(mode="json", by_alias=True)
    paths = list(leaves(document))
    digests = {canonical_digest(changed(document, path)) for path in paths}
    assert len(paths) > 40
    assert len(digests) == len(paths)
    assert plan.digest not in digests


def test_every_field_of_a_plan_is_under_the_digest(plan: Plan) -> None:
    assert set(plan.model_dump(mode="json")) == set(Plan.model_fields)
    nothing = Sequence(nodes=())
    others = {
        "flow": nothing,
        "on_failure": nothing,
        "escalation": PlannedEscalation(after_s=1, roles=()),
    }
    for name in Plan.model_fields:
        other = plan.model_copy(
            update={name: others[name] if name in others else type(getattr(plan, name))()}
        )
        assert other.digest != plan.digest, name


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53) + 1, 2**53 - 1)
        | st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15)
        | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
        ),
    )
)
def test_any_json_has_the_digest_of_its_copy(value: Any) -> None:
    assert canonical_digest(json.loads(json.dumps(value))) == canonical_digest(value)
    assert canonical(value) == rfc8785.dumps(value)


def test_what_cannot_be_held_exactly_has_no_digest() -> None:
    for wrong in (2**53, -(2**53), [float("inf")], {"a": float("nan")}):
        with pytest.raises(rfc8785.CanonicalizationError):
            canonical(wrong)
