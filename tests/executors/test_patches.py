"""Functions of Ray's that are replaced are checked first and put back afterwards."""

from __future__ import annotations

import signal

import pytest
import ray

from network_atlas.errors import SetupError
from network_atlas.executors.ray_patches import no_notices, own_sigterm_handler


def test_patches_are_taken_back() -> None:
    utils, worker = ray._private.utils, ray._private.worker
    before = (utils.set_sigterm_handler, worker.connect, worker.print_to_stdstream)
    with own_sigterm_handler(), no_notices():
        assert before[0] is not utils.set_sigterm_handler
        assert before[1] is not worker.connect
        assert before[2] is not worker.print_to_stdstream
    assert (utils.set_sigterm_handler, worker.connect, worker.print_to_stdstream) == before


@pytest.mark.parametrize("name", ["utils.set_sigterm_handler", "worker.connect", "worker.print_to_stdstream"])
def test_a_version_of_ray_without_what_is_replaced_is_refused_in_one_line(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(f"ray._private.{name}")
    line = f"^Ray {ray.__version__} .*ray._private.{name} .*executor=inline$"
    with pytest.raises(SetupError, match=line), own_sigterm_handler(), no_notices():
        pass


def test_a_function_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(handler: object, number: int = signal.SIGTERM) -> None:
        raise AssertionError("never called")

    monkeypatch.setattr(ray._private.utils, "set_sigterm_handler", other)
    with pytest.raises(SetupError, match="set_sigterm_handler"), own_sigterm_handler():
        pass
