"""A Dagger in a pipe of another one."""

from __future__ import annotations

import pytest

from numap import IMap
from papy import Dagger, DaggerError, Piper, Plumber


def plus(number: int) -> int:
    return number + 1


def double(number: int) -> int:
    return 2 * number


@pytest.mark.parametrize("kind", ["linear", "serial", "thread", "process"])
def test_its_pipers_run_in_its_place(kind: str) -> None:
    imap = None if kind == "linear" else IMap(worker_type=kind, worker_num=2)
    one, two = Piper(plus, imap, unpack=True, branch=1), Piper(double, imap, unpack=True, branch=2)
    inner = Dagger([one, two])
    read = Piper(plus, imap, unpack=True)
    join = Piper(lambda a, b: (a, b), unpack=True)
    outer = Plumber(pipes=[(read, inner, join)])
    assert list(outer.results([range(3)])) == [(2, 2), (3, 4), (4, 6)]
    assert set(outer) == {read, one, two, join}
    # Both are descriptions still, and run one after the other.
    assert list(inner.results([[1], [5]])) == [(2, 10)]
    assert list(outer.results([[1]])) == [(3, 4)]


def test_a_nested_one_may_have_nested_ones() -> None:
    inner = Dagger(pipes=[(Piper(plus, unpack=True), Piper(double, unpack=True))])
    middle = Dagger(pipes=[(inner, Piper(plus, unpack=True))])
    assert list(Dagger(pipes=[(middle,)]).results([[1]])) == [5]
    assert list(Dagger(pipes=[(Piper(double, unpack=True), middle)]).results([[1]])) == [7]


def test_what_can_not_be_is_refused_and_changes_nothing() -> None:
    last = Piper(plus, unpack=True)
    dagger = Dagger([last])
    inner = Dagger(pipes=[(Piper(plus), Piper(double))], on_error="skip", retries=1)
    with pytest.raises(DaggerError, match="says on_error and retries for a run"):
        dagger.add_pipe((inner, last))
    with pytest.raises(DaggerError, match="has no pipers"):
        dagger.add_pipe((Dagger(), last))
    with pytest.raises(DaggerError, match="a cycle"):
        dagger.add_pipe((dagger, last))
    with pytest.raises(DaggerError, match=r"a cycle: .* feeds .*"):
        dagger.add_pipe((last, Dagger([Piper(plus)]), last))
    assert list(dagger) == [last]
    assert dagger.edges() == ()


def test_both_can_not_run_at_once() -> None:
    inner = Dagger([Piper(plus, unpack=True)])
    outer = Dagger(pipes=[(inner, Piper(double, unpack=True))])
    with outer:
        outer.start([[1]])
        with pytest.raises(DaggerError, match="in a running Dagger already"):
            inner.start([[1]])
