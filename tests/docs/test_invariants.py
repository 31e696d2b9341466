"""Everything that docs/invariants.md names exists: functions, tests, and a section for each rule."""

from __future__ import annotations

import ast
import importlib
import operator
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "invariants.md").read_text()
RULES = {f"I{number}" for number in range(1, 12)}

SECTIONS = {
    section.split(maxsplit=1)[0]: section
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
}
PLACE = re.compile(r"`([a-z_.]+):([A-Za-z_.]+)`")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_every_rule_has_its_section():
    assert SECTIONS.keys() == RULES


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_rule_is_enforced_somewhere_and_held_by_tests(rule: str):
    assert PLACE.findall(SECTIONS[rule])
    assert TEST.findall(SECTIONS[rule])


def test_every_name_on_the_page_is_read_as_one():
    """No misspelt name slips through because the patterns do not know it."""
    named = {code for code in re.findall(r"`([^`]+)`", PAGE) if ":" in code}

    assert named == {match[0].strip("`") for match in [*PLACE.finditer(PAGE), *TEST.finditer(PAGE)]}


@pytest.mark.parametrize("place", sorted(set(PLACE.findall(PAGE))), ids=":".join)
def test_what_enforces_a_rule_exists(place: tuple[str, str]):
    module, function = place

    assert callable(operator.attrgetter(function)(importlib.import_module(f"sqlite_s3vfs.{module}")))


@pytest.mark.parametrize("path", sorted({path for path, _ in TEST.findall(PAGE)}))
def test_the_tests_that_hold_a_rule_exist(path: str):
    named = {name for found, name in TEST.findall(PAGE) if found == path}
    tree = ast.parse((ROOT / path).read_text())
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}

    assert named - defined == set()


def test_every_rule_that_the_code_names_is_on_the_page():
    sources = "\n".join(path.read_text() for path in (ROOT / "sqlite_s3vfs").rglob("*.py"))

    assert set(re.findall(r"\bI\d{1,2}\b", sources)) <= RULES
