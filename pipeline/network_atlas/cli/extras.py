"""Say which extra to install, where a command needs a library that is not there.

Without extras the package reads atlases. What makes them, torch and Ray above all, is its extra `run` (pyproject.toml).
"""

from __future__ import annotations

from importlib.util import find_spec

from network_atlas.cli.arguments import OF_A_CONFIGURATION
from network_atlas.errors import SetupError

EXTRA = "run"
LIBRARIES = ("numba", "ray", "scipy", "sklearn", "threadpoolctl", "torch", "torchvision", "umap")
"""What the extra installs, by the names by which it is imported."""


def check_libraries(command: str) -> None:
    """Raise SetupError, before any work, for a command that loads a network where torch is not installed."""
    if command in OF_A_CONFIGURATION and find_spec("torch") is None:
        raise _refusal(command, "torch")


def refusal_of(error: ModuleNotFoundError, command: str) -> SetupError:
    """Return the error for a library of the extra that a command could not import; any other error is raised again."""
    library = (error.name or "").partition(".")[0]
    if library not in LIBRARIES:
        raise error
    return _refusal(command, library)


def _refusal(command: str, library: str) -> SetupError:
    return SetupError(
        f"atlas {command} needs {library}, which is not installed: this installation only reads atlases. "
        f"Install what makes them: pip install 'network-atlas[{EXTRA}]' (in a checkout: pip install '.[{EXTRA}]')"
    )
