"""The examples in the docstrings run: those fenced by `python`. Those fenced by `py` need a network or a long time."""

import ast
import doctest
import importlib
import pkgutil
import re
import textwrap
from pathlib import Path

import pytest

import hf_mel


MODULES = sorted(module.name for module in pkgutil.walk_packages(hf_mel.__path__, "hf_mel."))
BLOCK = re.compile(r"^( *)```python\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
QUESTION = re.compile(r"(How|What|When|Where|Whether|Which|Who|Whose|Why)\b")
# Rooms of which the docstrings could stand in an API index. It may only grow.


def examples(name: str) -> list[tuple[str, str]]:
    """Where a block stands, and its text. By the source: what is imported from elsewhere is not run twice."""
    found = []
    path = Path(importlib.import_module(name).__file__)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            where = f"{name}.{getattr(node, 'name', '')}".rstrip(".")
            for number, match in enumerate(BLOCK.finditer(ast.get_docstring(node) or "")):
                found.append((f"{where}[{number}]", textwrap.dedent(match[2])))
    return found


EXAMPLES = [example for name in MODULES for example in examples(name)]
RUNNABLE = [(where, text) for where, text in EXAMPLES if ">>>" in text]


def test_there_are_examples():
    assert len(RUNNABLE) >= 20
    assert sum(text.count(">>>") for _, text in RUNNABLE) > 80


def test_every_public_class_and_function_has_an_example_or_says_why_not():
    missing = []
    for name in hf_mel.__all__:
        value = getattr(hf_mel, name)
        if callable(value) and "```py" not in (value.__doc__ or ""):
            missing.append(name)
    # The README shows them and is run; the example of `load_layout` is that of its file; a base class, and what a
    # function returns, has none.
    shown = {"LinkedEntity", "PGMELTrainer", "PGMELTrainingArguments", "FeatureCache", "load_layout"}
    assert set(missing) <= shown | {
        "MatchingModel",
        "UnitsModel",
        "VectorModel",
        "VectorOutput",
        "UnitsOutput",
        "MELData",
        "Diagnosis",
        "Finding",
        "MELTrainingArguments",
    }, missing


@pytest.mark.parametrize(("where", "text"), RUNNABLE, ids=[where for where, _ in RUNNABLE])
def test_example_runs(where, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest(text, {}, where, None, 0)
    report: list[str] = []
    results = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=report.append)
    assert results.attempted > 0 and results.failed == 0, "".join(report)


@pytest.mark.parametrize(("where", "text"), EXAMPLES, ids=[where for where, _ in EXAMPLES])
def test_a_block_without_prompts_is_python(where, text):
    if ">>>" not in text:
        ast.parse(text)


def docstrings(path: Path) -> dict[int, str]:
    """Docstrings of a file by their line, those of attributes included."""
    found = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for each in node.body if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) else ():
            if (
                isinstance(each, ast.Expr)
                and isinstance(each.value, ast.Constant)
                and isinstance(each.value.value, str)
            ):
                found[each.lineno] = each.value.value.strip()
    return found


def test_docstrings_begin_with_a_verb_or_a_noun():
    """Such as "Returns ...", "Loads ..." or "Result of ...", as the lines of an API index do."""
    package = Path(hf_mel.__file__).parent
    checked = {path: docstrings(path) for path in package.rglob("*.py")}
    assert sum(map(len, checked.values())) > 1000
    questions = [
        f"{path}:{line}" for path, all in checked.items() for line, text in all.items() if QUESTION.match(text)
    ]
    assert not questions, questions
