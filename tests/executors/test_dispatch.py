"""The dispatcher's decisions, without any executor."""

from __future__ import annotations

from executors.example_workers import ExampleTask
from hypothesis import given
from hypothesis import strategies as st

from pipeline.executors.base import Done, Failed, Outcome, Task
from pipeline.executors.dispatch import Dispatch


def tasks(count: int) -> list[Task]:
    return [ExampleTask(f"t{number}") for number in range(count)]


def block(*names: str) -> ExampleTask:
    return ExampleTask("+".join(names), parts=tuple(ExampleTask(name) for name in names))


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
    for _ in range(3):
        assert [dispatch.take(0, hosts=1) for _ in range(2)] == [first, second]
        assert dispatch.lose(0, blame=True, reason="killed") is None
    assert [dispatch.take(0, hosts=1) for _ in range(2)] == [first, None]  # alone now
    failed = dispatch.lose(0, blame=True, reason="killed")
    assert isinstance(failed, Failed)
    assert failed.task is first
    assert "died 4 times on this task" in failed.error
    assert dispatch.take(0, hosts=1) is second
    assert dispatch.unfinished == 5


def test_what_may_kill_its_host_is_not_taken_beside_another() -> None:
    first, second = tasks(2)
    dispatch = Dispatch([first])
    for _ in range(3):
        assert dispatch.take(0, hosts=1) is first
        dispatch.lose(0, blame=True, reason="killed")
    dispatch = Dispatch([second, first])
    assert [dispatch.take(0, hosts=1), dispatch.take(0, hosts=1)] == [second, first]


def outcomes_of(task: Task, bad: set[str], *, dies: bool = False) -> list[Outcome]:
    """Do a task on one host, where parts that are `bad` always raise, or kill the host; return what is reported."""
    dispatch, outcomes = Dispatch([task]), []
    while (next_task := dispatch.take(0, hosts=1)) is not None:
        guilty = bool(bad & set(next_task.id.split("+")))
        if guilty and dies:
            outcome: Outcome | None = dispatch.lose(0, blame=True, reason="killed")
        else:
            outcome = dispatch.settle(0, broken(next_task) if guilty else done(next_task))
        outcomes += [outcome] if outcome else []
    return outcomes


@given(st.integers(1, 20), st.sets(st.integers(0, 19), max_size=3), st.booleans())
def test_a_block_is_halved_down_to_what_is_to_blame(size: int, guilty: set[int], dies: bool) -> None:
    names = [f"u{number}" for number in range(size)]
    bad = {f"u{number}" for number in guilty if number < size}
    outcomes = outcomes_of(block(*names), bad, dies=dies)
    failed = {outcome.task.id for outcome in outcomes if isinstance(outcome, Failed)}
    assert failed == bad
    units = [name for outcome in outcomes for name in outcome.task.id.split("+")]
    assert sorted(units) == sorted(names)


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


@given(st.lists(st.integers(1, 5), max_size=8), st.integers(1, 4), st.randoms(use_true_random=False))
def test_every_unit_ends_exactly_once_whatever_happens(sizes: list[int], hosts: int, random: object) -> None:
    blocks = [block(*(f"b{number}u{part}" for part in range(size))) for number, size in enumerate(sizes)]
    dispatch, outcomes = Dispatch(blocks), []
    held: dict[int, list[Task]] = {host: [] for host in range(hosts)}
    for _ in range(5000):
        if not dispatch.unfinished:
            break
        for host in range(hosts):
            while (task := dispatch.take(host, hosts)) is not None:
                held[host].append(task)
            assert len(held[host]) <= 2
        host = random.choice([host for host in held if held[host]])  # type: ignore[attr-defined]
        event = random.choice(["done", "raises", "dies", "taken away"])  # type: ignore[attr-defined]
        if event in ("dies", "taken away"):
            outcome = dispatch.lose(host, blame=event == "dies", reason="")
            held[host].clear()
        else:
            outcome = dispatch.settle(host, (done if event == "done" else broken)(held[host].pop(0)))
        outcomes += [outcome] if outcome else []
    assert not dispatch.unfinished
    ended = [name for outcome in outcomes for name in outcome.task.id.split("+")]
    assert sorted(ended) == sorted(name for one in blocks for name in one.id.split("+"))
