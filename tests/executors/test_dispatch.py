"""The dispatcher's decisions, without any executor."""

from __future__ import annotations

import dataclasses

from executors.example_workers import ExampleTask
from hypothesis import given
from hypothesis import strategies as st

from network_atlas.executors.base import Outcome, Task, TaskDone, TaskFailed
from network_atlas.executors.dispatch import Dispatch


def tasks(count: int) -> list[Task]:
    return [ExampleTask(f"t{number}") for number in range(count)]


def block(*names: str) -> ExampleTask:
    return ExampleTask("+".join(names), parts=tuple(ExampleTask(name) for name in names))


def with_input(name: str, *layers: str) -> list[Task]:
    return [ExampleTask(f"{name}{number}", cached_input=layer) for number, layer in enumerate(layers)]


def done(task: Task) -> Outcome:
    return TaskDone(task=task, receipt=None, seconds=0.0)


def broken(task: Task, *, fatal: bool = False) -> Outcome:
    return TaskFailed(task=task, error="no", details="", fatal=fatal)


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
    assert isinstance(failed, TaskFailed)
    assert failed.task is first
    assert "died 4 times on this task" in failed.error
    assert dispatch.take(0, hosts=1) is second
    assert dispatch.unfinished == 5


def test_a_task_that_may_kill_its_host_is_not_taken_beside_another() -> None:
    first, second = tasks(2)
    dispatch = Dispatch([first])
    for _ in range(3):
        assert dispatch.take(0, hosts=1) is first
        dispatch.lose(0, blame=True, reason="killed")
    dispatch = Dispatch([second, first])
    assert [dispatch.take(0, hosts=1), dispatch.take(0, hosts=1)] == [second, first]


def outcomes_of(task: Task, bad: set[str], *, dies: bool = False) -> list[Outcome]:
    """Do a task on one host, where `bad` parts always raise, or kill the host; return the outcomes."""
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
    failed = {outcome.task.id for outcome in outcomes if isinstance(outcome, TaskFailed)}
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


def test_tasks_are_taken_in_the_order_given_and_again_where_they_were() -> None:
    first, second, third = tasks(3)
    dispatch = Dispatch([first, second, third])
    assert dispatch.take(0, hosts=1) is first
    assert dispatch.settle(0, broken(first)) is None
    assert [dispatch.take(0, hosts=1), dispatch.take(0, hosts=1)] == [first, second]


def test_host_goes_on_with_its_cached_layer_and_begins_one_that_no_other_has() -> None:
    ordered = with_input("t", "a", "a", "a", "b", "b", "b")
    dispatch = Dispatch(ordered)
    taken: dict[int, list[str]] = {0: [], 1: []}
    for _ in range(3):
        for host in taken:
            task = dispatch.take(host, hosts=2)
            assert task is not None
            taken[host].append(task.cached_input)
            dispatch.settle(host, done(task))
    assert taken == {0: ["a"] * 3, 1: ["b"] * 3}


def test_host_for_which_no_layer_is_left_helps_another() -> None:
    dispatch = Dispatch(with_input("t", "a", "a", "a", "a"))
    assert all(dispatch.take(host, hosts=3) is not None for host in range(3))


def test_layer_of_a_lost_host_is_taken_up_by_the_next() -> None:
    dispatch = Dispatch(with_input("t", "a", "b", "b"))
    assert [task.cached_input for host in (0, 1) if (task := dispatch.take(host, hosts=2))] == ["a", "b"]
    dispatch.lose(0, blame=False, reason="preempted")
    again = dispatch.take(2, hosts=2)
    assert again is not None
    assert again.cached_input == "a"


@given(
    st.lists(st.tuples(st.integers(1, 5), st.sampled_from(["", "a", "b"])), max_size=8),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_every_unit_ends_exactly_once_whatever_happens(
    given_blocks: list[tuple[int, str]], hosts: int, random: object
) -> None:
    blocks = [
        dataclasses.replace(block(*(f"b{number}u{part}" for part in range(size))), cached_input=layer)
        for number, (size, layer) in enumerate(given_blocks)
    ]
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
    assert sorted(ended) == sorted(name for block in blocks for name in block.id.split("+"))
