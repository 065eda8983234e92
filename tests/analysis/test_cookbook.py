"""The questions in pipeline/ANALYSIS.md are answered by their lines, and COLUMNS.md is what the code says."""

from __future__ import annotations

import ast
import importlib
import os
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import TESTS

from network_atlas import open_atlas
from network_atlas.analysis.describe import document

ROOT = TESTS.parent
TEXT = (ROOT / "pipeline" / "ANALYSIS.md").read_text()
QUESTIONS = re.findall(
    r"\n([A-Z][^\n]*)\n\n```(\w+)\n(.*?)```", TEXT.partition("## Ten questions")[2].partition("\n## ")[0], re.S
)
INSTEAD = {"_blocks.5": "conv1", "_blocks.10": "conv2", "coffee": "05"}
LIBRARIES = ("polars", "numpy", "pandas", "datasets")


def answer(language: str, code: str, root: Path) -> Any:
    """Return the value of the last line, with this root and layers of the tiny network."""
    code = code.replace("atlases/efficientnet_lite0", str(root))
    for name, instead in INSTEAD.items():
        code = code.replace(name, instead)
    if language == "sql":
        return pytest.importorskip("duckdb").sql(code).fetchall()
    names: dict[str, Any] = {"open_atlas": open_atlas}
    names |= {name: pytest.importorskip(name) for name in LIBRARIES if name in code or f".to_{name}" in code}
    *lines, last = ast.parse(code).body
    exec(compile(ast.Module(lines, []), "ANALYSIS.md", "exec"), names)
    assert isinstance(last, ast.Expr)
    return eval(compile(ast.Expression(last.value), "ANALYSIS.md", "eval"), names)


def test_there_are_ten_questions_of_at_most_three_lines() -> None:
    assert len(QUESTIONS) == 10
    assert all(len(code.strip().splitlines()) <= 3 for _, _, code in QUESTIONS)


CHECKS: dict[str, Any] = {
    "Which channels tell": lambda rows: len(rows) == 20,
    "How many": lambda rows: {row[0]: row[1:] for row in rows}["conv2"] == (1, 12),
    "What became": lambda rows: sum(count for *_, count in rows) == 18,
    "Which channels nearly": lambda rows: all(len(row) == 3 for row in rows),
    "Which channels like": lambda frame: (
        set(frame["class_label"]) == {"05"} and frame["class_mean"].is_sorted(descending=True)
    ),
    "Which pictures": lambda frame: 0 < len(frame) < 36,
    "Which images": lambda frame: (
        all(os.path.isfile(path) for path in frame["source"]) and frame["len"].sum() == 26 * 4
    ),
    "How alike": lambda number: 0 < number < 1,
    "What did": lambda frame: set(frame[frame["shift"] > 0]["layer"]) == {"conv3"},
    "Show me": lambda images: len(images) == 12 and images[0].size == (16, 16),
}


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("question", "language", "code"), QUESTIONS, ids=[question for question, *_ in QUESTIONS])
def test_a_question_is_answered(
    question: str, language: str, code: str, retrained_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    if "datasets" in code:
        config = importlib.import_module("datasets").config
        monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path)
    (check,) = (check for begin, check in CHECKS.items() if question.startswith(begin))
    result = answer(language, code, retrained_root)
    assert check(result), result


def test_the_images_of_pictures_are_joined_by_their_key(retrained_root: Path) -> None:
    (sql,) = re.findall(r"```sql\n(.*?)```", TEXT.partition("## Images")[2].partition("\n## ")[0], re.S)
    rows = answer("sql", sql, retrained_root)
    assert len(rows) == 36
    assert all(image["bytes"].startswith(b"\x89PNG") for _, image in rows)


@pytest.mark.parametrize(
    "begin", ["SELECT layer, channel, visualizations", "SELECT layer, channel, name", "SELECT layer, basis"]
)
def test_further_queries_of_the_document_run(begin: str, retrained_root: Path) -> None:
    (sql,) = re.findall(rf"```sql\n({begin}.*?)```", TEXT, re.S)
    pytest.importorskip("duckdb").execute(sql.replace("atlases/efficientnet_lite0", str(retrained_root))).fetchall()


def test_the_document_of_columns_is_current() -> None:
    written = (ROOT / "pipeline" / "COLUMNS.md").read_text()
    assert written == document(), "run scripts/columns"
