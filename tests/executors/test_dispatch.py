"""The dispatcher's decisions, without any executor."""

from __future__ import annotations

from executors.example_workers import ExampleTask
from hypothesis import given
from hypothesis import strategies as st

from pipeline.executors.base import Done, Failed, Outcome, Task
from pipeline.executors.dispatch import Dispatch


def tasks(count: int) -> list[Task]:
    return [ExampleTask(f"t{number}") for number in range(count)]


def done(task: Task) -> Outcome:
    return Done(task=task, receipt=None, seconds=0.0)


def broken(task: Task, *, fatal: bool = False) -> Outcome:
    return Failed(task=task, error="no", details="", fatal=fatal)


def test_host_holds_two_tasks_while_there_are_enough_for_all() -> None:
    dispatch = Dispatch(tasks(8))
    assert [dispatch.take(0, hosts=2) is not None for _ in range(3)] == [True, True, False]


def test_few_tasks_are_spread_over_hosts() -> None:
    dispatch = Dispatch(tasks(2))
    assert dispatch.take(0, hosts=2) is not None
    assert dispatch.take(0, hosts=2) is None
    assert dispatch.take(1, hosts=2) is not None


def test_death_blames_only_the_task_that_ran() -> None:
    first, second, *rest = tasks(6)
    dispatch = Dispatch([first, second, *rest])
    for death in range(3):
        assert [dispatch.take(0, hosts=1) for _ in range(2)] == [first, second]
        failed = dispatch.lose(0, blame=True, reason="killed")
        assert (failed is None) == (death < 2)
    assert isinstance(failed, Failed)
    assert failed.task is first
    assert "died 3 times on this task" in failed.error
    assert dispatch.take(0, hosts=1) is second
    assert dispatch.unfinished == 5


def test_machine_taken_away_blames_nobody() -> None:
    dispatch = Dispatch(tasks(1))
    for _ in range(10):
        assert dispatch.take(0, hosts=1) is not None
        assert dispatch.lose(0, blame=False, reason="preempted") is None


def test_fatal_failure_is_not_tried_again() -> None:
    task = tasks(1)[0]
    dispatch = Dispatch([task])
    dispatch.take(0, hosts=1)
    assert dispatch.settle(0, broken(task, fatal=True)) is not None
    assert dispatch.unfinished == 0


@given(st.integers(0, 12), st.integers(1, 4), st.randoms(use_true_random=False))
def test_every_task_has_exactly_one_outcome(count: int, hosts: int, random: object) -> None:
    given_tasks = tasks(count)
    dispatch, outcomes = Dispatch(given_tasks), []
    held: dict[int, list[Task]] = {host: [] for host in range(hosts)}
    while dispatch.unfinished:
        for host in range(hosts):
            while (task := dispatch.take(host, hosts)) is not None:
                held[host].append(task)
        host = random.choice([host for host in held if held[host]])  # type: ignore[attr-defined]
        event = random.choice(["done", "raises", "dies"])  # type: ignore[attr-defined]
        if event == "dies":
            outcome = dispatch.lose(host, blame=True, reason="")
            held[host].clear()
        else:
            outcome = dispatch.settle(host, (done if event == "done" else broken)(held[host].pop(0)))
        outcomes += [outcome] if outcome else []
    assert sorted(outcome.task.id for outcome in outcomes) == sorted(task.id for task in given_tasks)
