"""papy.Piper: what it can be made of, and what it is while no Dagger runs it."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from numap import IMap
from papy import Dagger, Piper, PiperError, Worker
from tests.papy import work


@pytest.mark.parametrize(
    "worker", [work.total, [work.total], Worker(work.total), [Worker(work.total)], Piper(work.total, name="other")]
)
def test_what_a_piper_can_be_made_of(worker: Any) -> None:
    piper = Piper(worker)
    assert piper.worker == Worker(work.total)
    assert (piper.imap, piper.branch) == (None, None) and piper.name.startswith("piper_")


@pytest.mark.parametrize("worker", [1, [1], None, [], "f"])
def test_what_a_piper_can_not_be_made_of(worker: Any) -> None:
    with pytest.raises(PiperError, match="functions") as caught:
        Piper(worker)
    assert isinstance(caught.value.__cause__, TypeError)


@pytest.mark.parametrize("parallel", [-4, IMap, "processes"])
def test_what_can_not_evaluate(parallel: Any) -> None:
    with pytest.raises(PiperError, match="parallel"):
        Piper(work.total, parallel)


def test_false_is_linear() -> None:
    assert Piper(work.total, False).imap is None


def test_pipers_are_compared_by_identity() -> None:
    one, other = Piper(work.total), Piper(work.total)
    assert one != other and len({one, other, one}) == 2 and one.name != other.name


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copy_is_another_piper(again: Any) -> None:
    one, named = Piper(work.inverse, unpack=True), Piper(work.inverse, unpack=True, name="named")
    with Dagger([one, named]) as dagger:
        dagger.start([[0], [0]])
        copies = [again(one), again(named)]
    assert len({it.number for it in (one, named, *copies)}) == 4
    assert copies[0].name == f"piper_{copies[0].number}" and copies[1].name == "named"
    assert not copies[0].connected and copies[0].worker == one.worker and copies[0].unpack
    statistics = Dagger([named, copies[1]]).run([[0], [0]])
    assert [statistics.failures[it] for it in (named, copies[1])] == [1, 1]


def test_a_piper_shows_what_it_is() -> None:
    assert repr(Piper(work.total, name="sum")) == "Piper('sum', Worker(total), linear)"
    assert "parallel" in repr(Piper(work.total, IMap(worker_type="serial")))


def test_branch_zero_is_a_branch() -> None:
    piper = Piper(work.total, branch=0)
    dagger = Dagger([piper])
    assert piper.branch == 0 and dagger[piper].branch == 0


def test_only_outputs_of_a_running_dagger_can_be_read() -> None:
    first, last = Piper(work.double, unpack=True, name="first"), Piper(work.double, unpack=True, name="last")
    with pytest.raises(PiperError, match="last: next is not possible while it is idle"):
        next(last)
    with Dagger(pipes=[(first, last)]) as dagger:
        dagger.start([[1, 2]])
        assert iter(last) is last and next(last) == 4
        with pytest.raises(PiperError, match="first can't be read: it feeds other pipers"):
            next(first)
        assert list(last) == [8] and list(last) == []
    with pytest.raises(PiperError, match="while it is idle"):
        next(last)


@pytest.mark.parametrize("kind", [None, "thread", "process"])
def test_76_a_piper_stays_finished(kind: str | None) -> None:
    piper = Piper(abs, None if kind is None else IMap[Any](worker_type=kind, worker_num=1), unpack=True)
    assert not piper.finished
    for forced in (False, True):
        piper.connect([[1, -2]])
        piper.start()
        assert not piper.finished
        assert list(piper) == [1, 2] and piper.finished
        piper.stop(forced)
        assert piper.finished and not piper.started
        piper.disconnect()
        assert piper.finished
    piper.connect([[1, -2]])
    assert not piper.finished
    piper.start()
    next(piper)
    piper.stop(forced=True)
    assert not piper.finished
    piper.disconnect()
    assert not piper.finished
    with Dagger([piper]) as dagger:
        dagger.start([[1]])
        assert not piper.finished
        assert list(piper) == [1] and piper.finished
    assert piper.finished
