"""Which objects have names, and which definition may refer to which other one."""

from __future__ import annotations

import types

import pytest

from numap._modules.dependencies import DependencyCycle, DependencyGraph
from numap._modules.identities import ObjectNames

A, B, C, D = (("module", name) for name in "abcd")


def module(**names: object) -> types.ModuleType:
    made = types.ModuleType("module")
    vars(made).update(names)
    return made


def test_an_object_has_the_first_of_its_names() -> None:
    shared: list[int] = []
    there = module(first=shared, second=shared, other=[])
    names = ObjectNames()
    names.add(there)
    assert names.of(shared) == (there, "first")
    assert names.of([]) is None


def test_a_name_that_is_bound_anew_is_none() -> None:
    value: list[int] = []
    there = module(name=value)
    names = ObjectNames()
    names.add(there)
    there.name = []  # type: ignore[attr-defined]
    assert names.of(value) is None


def test_names_that_are_left_out() -> None:
    value: list[int] = []
    names = ObjectNames()
    names.add(module(mine=value), but=["mine"])
    assert names.of(value) is None


@pytest.mark.parametrize(
    "value", [1, 2.5, "text", b"bytes", None, (1,), len, test_names_that_are_left_out, types, int, True]
)
def test_what_nobody_knows_by_its_identity(value: object) -> None:
    names = ObjectNames()
    names.add(module(name=value))
    assert names.of(value) is None


def test_data_that_need_each_other_are_copied_once() -> None:
    order = DependencyGraph()
    assert order.data(A, B)
    assert order.data(B, C)
    assert not order.data(C, A)
    assert order.data(A, C)
    assert not order.data(A, A)


def test_functions_and_classes_may_need_each_other() -> None:
    order = DependencyGraph()
    order.code(A, B)
    order.code(B, A)
    order.code(A, A)


def test_data_in_a_circle_of_functions_are_copied_the_next_time() -> None:
    order = DependencyGraph()
    order.code(A, B)
    assert order.data(B, C)
    order.code(C, D)
    with pytest.raises(DependencyCycle) as found:
        order.code(D, A)
    assert (found.value.user, found.value.used) == (B, C)
    order.copy(found.value)
    order.forget([A, B, C, D])
    order.code(A, B)
    assert not order.data(B, C)
    order.code(C, D)
    order.code(D, A)
