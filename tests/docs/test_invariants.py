"""Every rule of docs/invariants.md is enforced and tested by what it names: these things exist."""

from __future__ import annotations

import ast
import importlib
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "invariants.md"
FORMAT = ROOT / "docs" / "format.md"
SOURCES = sorted((ROOT / "sqlite_s3vfs").rglob("*.py"))

RULES = {
    title.split(":")[0]: text
    for title, text in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.M | re.S)
}
PLACE = re.compile(r"`(sqlite_s3vfs[\w.]*):([\w.]+)`")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def part(rule: str, title: str) -> str:
    """What a rule's line of this title says."""
    found = re.search(rf"^\* {title}: (.*?)(?=^\* |\Z)", RULES[rule], re.M | re.S)
    return found[1] if found else ""


@cache
def names_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_the_rules_are_eleven():
    assert list(RULES) == [f"I{number}" for number in range(1, 12)]


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_enforced_where_it_says(rule: str):
    places = PLACE.findall(part(rule, "Enforced"))

    assert places
    for module, name in places:
        found = importlib.import_module(module)
        for step in name.split("."):
            found = getattr(found, step)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_tested_where_it_says(rule: str):
    tested, planted = TEST.findall(part(rule, "Tested")), TEST.findall(part(rule, "Planted"))

    assert tested
    for path, name in tested + planted:
        assert name in names_in(path), f"{path} has no {name}"


def test_every_name_in_backticks_was_looked_at():
    """A misspelt place would match no pattern and go unseen."""
    text = PAGE.read_text()
    quoted = {name for name in re.findall(r"`([^`]+)`", text) if "::" in name or "." in name}

    assert quoted == {":".join(found) for found in PLACE.findall(text)} | {
        "::".join(found) for found in TEST.findall(text)
    }


IDS = re.compile(r"\bI(\d+)\b")


@pytest.mark.parametrize("path", [*SOURCES, FORMAT], ids=lambda path: path.name)
def test_an_id_that_is_used_exists(path: Path):
    assert {f"I{number}" for number in IDS.findall(path.read_text())} <= set(RULES)
