"""papy.Dagger as a description: adding, deleting, refusing, and the order of things."""

from __future__ import annotations

import copy
import pickle
import random
from itertools import pairwise, permutations
from typing import Any

import pytest

from papy import Dagger, DaggerError, Pipeline, Piper, Plumber, Worker
from tests.papy import work


def pipers(names: str) -> list[Piper]:
    return [Piper(work.pair, unpack=True, name=name) for name in names]


def shape(dagger: Dagger) -> tuple[set[str], set[str]]:
    return {piper.name for piper in dagger}, {f"{up.name}{down.name}" for down, up in dagger.edges()}


def names(found: list[Piper]) -> str:
    return "".join(piper.name for piper in found)


# adding --------------------------------------------------------------------------


@pytest.mark.parametrize("thing", [work.total, Worker(work.total), [work.total, str]])
def test_whatever_is_no_piper_becomes_one(thing: Any) -> None:
    dagger = Dagger()
    created, piper = dagger.add_piper(thing)
    assert created and piper.worker == Worker(thing) and dagger.nodes() == [piper]


def test_a_piper_is_added_once_and_found_by_itself_and_its_id() -> None:
    dagger, (piper,) = Dagger(), pipers("a")
    assert dagger.add_piper(piper, {"x": 1}) == (True, piper)
    assert dagger.add_piper(piper) == dagger.add_piper(id(piper)) == (False, piper)
    assert dagger.add_piper(piper, create=False) == (False, piper)
    assert dagger[piper].xtra == {"x": 1}
    assert dagger.resolve(piper) is dagger.resolve(id(piper)) is piper


def test_equal_workers_are_two_pipers() -> None:
    worker = Worker(work.total)
    dagger = Dagger([worker, worker])
    assert len(dagger) == 2


def test_what_can_not_be_added() -> None:
    dagger, (piper,) = Dagger(), pipers("a")
    with pytest.raises(DaggerError, match="no Piper can be made of"):
        dagger.add_piper("a")
    with pytest.raises(DaggerError, match="not in this Dagger"):
        dagger.add_piper(piper, create=False)
    with pytest.raises(DaggerError, match="not in this Dagger"):
        dagger.resolve(piper)
    assert dagger.resolve(piper, forgive=True) is None
    with pytest.raises(DaggerError, match="node: must be a Piper"):
        dagger.add_node(work.total)  # type: ignore[arg-type]
    assert not dagger


def test_every_piper_gets_its_own_extras() -> None:
    a, b = pipers("ab")
    dagger = Dagger([a, b], xtras=[{"n": 1}, {"n": 2}])
    assert (dagger[a].xtra, dagger[b].xtra) == ({"n": 1}, {"n": 2})
    with pytest.raises(DaggerError, match="xtras: 2 given; must be one for each of 1"):
        Dagger([a], xtras=[{}, {}])


def test_a_pipe_is_in_the_order_of_the_data_and_an_edge_against_it() -> None:
    a, b, c = pipers("abc")
    dagger = Dagger(pipes=[(a, b, c)])
    assert dagger.edges() == ((b, a), (c, b))
    assert names(dagger.postorder()) == "abc"
    assert (names(dagger.get_inputs()), names(dagger.get_outputs())) == ("a", "c")


def test_a_pipe_of_functions() -> None:
    dagger = Dagger()
    dagger.add_pipe((work.total, work.total))
    assert len(dagger) == 2 and len(dagger.edges()) == 1


def test_a_lone_piper_is_input_and_output() -> None:
    (a,) = pipers("a")
    dagger = Dagger([a])
    assert dagger.get_inputs() == dagger.get_outputs() == [a]
    dagger = Dagger(pipes=[(a,)])
    assert dagger.get_inputs() == dagger.get_outputs() == [a]


def test_the_branch_of_a_pipe_goes_to_its_new_pipers() -> None:
    a, b, c = pipers("abc")
    dagger = Dagger([a])
    dagger.add_pipe((b, a), branch=2)
    dagger.add_pipe((c, a), branch=0)
    assert [dagger[piper].branch for piper in (a, b, c)] == [None, 2, 0]
    assert names(dagger.get_inputs()) == "cb"


def test_outputs_are_in_the_order_of_branches_then_of_adding() -> None:
    a, b, c, d, e = pipers("abcde")
    dagger = Dagger([b, a])
    dagger.add_pipe((d,), branch="x")
    dagger.add_pipe((c,), branch=1)
    dagger.add_pipe((e,), branch=1)
    assert names(dagger.get_outputs()) == names(dagger.get_inputs()) == "baced"


# refusing ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pipe", ["a", "aa", "ba", "ca", "cxa", "cxyb", "xax", "xcya", "xyx", "abca", "axcyb"], ids=lambda it: it
)
def test_a_pipe_that_closes_a_cycle_changes_nothing(pipe: str) -> None:
    known = {piper.name: piper for piper in pipers("abcxy")}
    dagger = Dagger(pipes=[[known[name] for name in "abc"]])
    before = shape(dagger)
    if pipe == "a":
        dagger.add_pipe([known["a"]])
    else:
        with pytest.raises(DaggerError, match="a cycle"):
            dagger.add_pipe([known[name] for name in pipe])
    assert shape(dagger) == before


def test_an_edge_that_closes_a_cycle_is_refused() -> None:
    a, b, c = pipers("abc")
    dagger = Dagger(pipes=[(a, b)])
    for edge, double in [((a, b), False), ((a, a), False), ((b, a), True), ((b, c), True)]:
        with pytest.raises(DaggerError, match="a cycle"):
            dagger.add_edge(edge, double)
    assert shape(dagger) == ({"a", "b"}, {"ab"})


def test_a_pipe_with_something_impossible_in_it_changes_nothing() -> None:
    a, b = pipers("ab")
    dagger = Dagger()
    with pytest.raises(DaggerError, match="no Piper can be made of 3"):
        dagger.add_pipe((a, b, 3))
    with pytest.raises(DaggerError, match="at least one"):
        dagger.add_pipe(())
    assert not dagger


@pytest.mark.parametrize("seed", range(30))
def test_random_pipes_are_refused_exactly_if_they_close_a_cycle(seed: int) -> None:
    rng = random.Random(seed)
    known = pipers("abcdefgh")
    dagger = Dagger()
    edges: set[tuple[str, str]] = set()
    for _ in range(30):
        pipe = rng.sample(known, rng.randrange(1, 5))
        if rng.random() < 0.1:
            pipe.append(rng.choice(pipe))
        more = edges | {(up.name, down.name) for up, down in pairwise(pipe)}
        before = shape(dagger)
        if has_cycle(more):
            with pytest.raises(DaggerError, match="a cycle"):
                dagger.add_pipe(pipe)
            assert shape(dagger) == before
        else:
            dagger.add_pipe(pipe)
            edges = more
            assert shape(dagger)[1] == {up + down for up, down in edges}


def has_cycle(edges: set[tuple[str, str]]) -> bool:
    """Take away what nothing leads to until nothing is left, or only cycles."""
    while edges:
        targets = {down for _, down in edges}
        rest = {(up, down) for up, down in edges if up in targets}
        if rest == edges:
            return True
        edges = rest
    return False


def test_long_chains_are_no_problem() -> None:
    chain = [Piper(work.double, unpack=True) for _ in range(5000)]
    assert Dagger(pipes=[chain]).postorder() == chain
    assert Dagger(pipes=pairwise(chain)).postorder() == chain
    backwards = Dagger(pipes=list(pairwise(chain))[::-1])
    assert backwards.postorder() == chain
    with pytest.raises(DaggerError, match="a cycle"):
        backwards.add_pipe((chain[-1], chain[0]))


# deleting ------------------------------------------------------------------------


def test_a_piper_that_feeds_others_is_deleted_only_by_force() -> None:
    a, b = pipers("ab")
    dagger = Dagger(pipes=[(a, b)])
    with pytest.raises(DaggerError, match="a feeds other pipers"):
        dagger.del_piper(a)
    dagger.del_piper(id(a), forced=True)
    assert shape(dagger) == ({"b"}, set())
    with pytest.raises(DaggerError, match="not in this Dagger"):
        dagger.del_piper(a)


def test_pipers_are_deleted_from_the_last_to_the_first() -> None:
    a, b, c = pipers("abc")
    dagger = Dagger(pipes=[(a, b, c)])
    dagger.del_pipers((b, c))
    assert shape(dagger) == ({"a"}, set())


def test_an_empty_pipe_is_none() -> None:
    dagger = Dagger(pipes=[pipers("ab")])
    for call in (dagger.add_pipe, dagger.del_pipe):
        with pytest.raises(DaggerError, match="pipe: none given; must be at least one piper"):
            call(())


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("made", [Dagger(), Plumber(), Pipeline((abs, 1))])
def test_what_runs_can_not_be_pickled_or_copied(way: Any, made: Any) -> None:
    with pytest.raises(
        TypeError, match=f"a {type(made).__name__} can't be pickled or copied: it runs where it was made"
    ):
        way(made)


def test_deleting_a_pipe_leaves_what_others_use() -> None:
    a, b, c, d = pipers("abcd")
    dagger = Dagger(pipes=[(a, b, c), (b, d)])
    with pytest.raises(DaggerError, match="not in this Dagger: a pipe from a to c"):
        dagger.del_pipe((a, c))
    dagger.del_pipe((a, b, c))
    assert shape(dagger) == ({"b", "d"}, {"bd"})
    dagger = Dagger(pipes=[(a, b, c), (b, d)])
    dagger.del_pipe((a, b, c), forced=True)
    assert shape(dagger) == ({"d"}, set())
    dagger = Dagger(pipes=[(a, b, c), (b, d)])
    dagger.del_pipes([(b, c), (b, d)])
    assert shape(dagger) == ({"a"}, set())


# showing -------------------------------------------------------------------------


def test_a_dagger_shows_its_pipers_and_pipes() -> None:
    dagger = Dagger(pipes=[pipers("ab")])
    assert repr(dagger) == "Dagger(2 pipers, 1 pipe, idle)"
    assert str(dagger).splitlines() == [
        repr(dagger),
        "  Piper('a', Worker(pair), linear)",
        "  Piper('b', Worker(pair), linear)",
        "  a >>> b",
    ]


def test_daggers_are_compared_by_identity() -> None:
    assert Dagger() != Dagger() and len({Dagger(), Dagger()}) == 2


def test_children_come_after_parents() -> None:
    a, b, c, d = pipers("abcd")
    dagger = Dagger([d], pipes=[(a, b, c)])
    assert dagger.children_after_parents(a, c) == 1 and dagger.children_after_parents(c, a) == -1
    assert dagger.children_after_parents(a, d) == dagger.children_after_parents(b, b) == 0
    with pytest.raises(DaggerError, match="not in this Dagger"):
        dagger.children_after_parents(a, *pipers("x"))


# the order of an inbox -----------------------------------------------------------


@pytest.mark.parametrize("order", list(permutations("abc")), ids="".join)
def test_an_inbox_is_in_the_order_of_the_pipes(order: tuple[str, ...]) -> None:
    known = {piper.name: piper for piper in pipers("abcj")}
    dagger = Dagger(known[name] for name in "abc")
    dagger.add_pipes([(known[name], known["j"]) for name in order])
    assert names(dagger.inbox_order(known["j"])) == "".join(order)


def test_branches_come_before_the_order_of_the_pipes() -> None:
    a, b, j = pipers("abj")
    dagger = Dagger()
    dagger.add_pipe((a, j), branch=2)
    dagger.add_pipe((b, j), branch=1)
    assert names(dagger.inbox_order(j)) == "ba"


def test_the_younger_comes_before_what_it_depends_on() -> None:
    a, b, c, x, j = pipers("abcxj")
    dagger = Dagger(pipes=[(a, j), (x, j), (a, b, c, j), (b, j)])
    assert names(dagger.inbox_order(j)) == "xcba"
