"""The pages for users and developers name all that exists, and nothing else."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from network_atlas.config.dataset import LABELS, DatasetConfig
from network_atlas.config.sweep import VariantConfig
from network_atlas.store import schemas
from network_atlas.units import OBJECTIVE_NAMES

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "pipeline" / "network_atlas"
CONFIGURATION = (ROOT / "conf" / "README.md").read_text(encoding="utf-8")
ANALYSIS = (ROOT / "pipeline" / "ANALYSIS.md").read_text(encoding="utf-8")
EXTENDING = (ROOT / "pipeline" / "EXTENDING.md").read_text(encoding="utf-8")
SOURCES = get_args(get_type_hints(DatasetConfig)["source"])
VARIANTS = get_args(get_type_hints(VariantConfig)["objective"])


@pytest.mark.parametrize("objective", VARIANTS)
def test_every_objective_has_a_unit_and_is_in_the_table_of_variants(objective: str) -> None:
    assert objective in OBJECTIVE_NAMES, f"no unit in units.py has objective={objective!r}"
    assert f"| `{{objective: {objective}" in CONFIGURATION, "conf/README.md: add a row to the table of variants"
    assert objective in (ROOT / "conf" / "sweep" / "select.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("source", SOURCES)
def test_every_dataset_source_has_labels_a_file_and_a_line_in_the_table(source: str) -> None:
    assert source in LABELS, "config/dataset.py: say in LABELS which values of dataset.label it takes"
    assert (ROOT / "conf" / "dataset" / f"{source}.yaml").is_file()
    # The photos are the default of the demo, with nothing to choose.
    assert source == "photos" or f"dataset={source}" in CONFIGURATION, "conf/README.md: add a row to the first table"


@pytest.mark.parametrize("column", schemas.ATLAS.names)
def test_every_column_of_the_atlas_is_in_the_page_for_analysts(column: str) -> None:
    rows = [line for line in ANALYSIS.splitlines() if line.startswith("| ")]
    names = " ".join(name for row in rows for name in re.findall(r"`([^`]+)`", row))
    assert re.search(rf"\b{column}\b", names), f"pipeline/ANALYSIS.md: say in the table what {column} holds"


def test_every_name_in_capitals_of_the_page_on_extending_exists() -> None:
    """Such a name stands behind its module, in the same step or row."""
    known = "\n".join(
        path.read_text(encoding="utf-8") for path in [*PACKAGE.rglob("*.py"), *ROOT.glob("tests/**/*.py")]
    )
    names = set(re.findall(r"`([A-Z][A-Z_]+)`", EXTENDING)) - {"CHANGELOG"}
    assert [
        name for name in sorted(names) if not re.search(rf"^[A-Z_, ]*\b{name}\b[^=]* = ", known, re.MULTILINE)
    ] == []


def test_every_file_that_the_page_on_extending_names_exists() -> None:
    paths = re.findall(r"`([\w./]+\.(?:py|yaml|md|js))`", EXTENDING)
    assert paths
    assert [path for path in paths if not (PACKAGE / path).exists() and not (ROOT / path).exists()] == []


@pytest.mark.parametrize("dotted", sorted(set(re.findall(r"`((?:config|plan)(?:\.\w+)+)`", EXTENDING))))
def test_every_dotted_name_of_the_page_on_extending_exists(dotted: str) -> None:
    module, name = dotted.rsplit(".", 1)
    assert hasattr(import_module(f"network_atlas.{module}"), name)
