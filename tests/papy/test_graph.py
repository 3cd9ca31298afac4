"""papy.graph: the marks, the edges and the orders, by hand and against brute force."""

from __future__ import annotations

import random
from collections import deque
from itertools import combinations

import pytest

from papy.graph import DictGraph, DictNode, branch_key

Edge = tuple[int, int]


def random_dag(rng: random.Random, size: int) -> DictGraph[int]:
    """A graph whose edges go from greater to smaller, added in random order."""
    names = list(range(size))
    edges = [(b, a) for a, b in combinations(range(size), 2) if rng.random() < 2 / size]
    rng.shuffle(names)
    rng.shuffle(edges)
    graph = DictGraph(names, edges)
    for node in names:
        if rng.random() < 0.3:
            graph[node].branch = rng.choice([0, 1, "a", "b"])
    return graph


def reachable(graph: DictGraph[int], start: int) -> set[int]:
    """What can be reached in at least one step, by adding neighbours until nothing changes."""
    found: set[int] = set(graph[start])
    while True:
        more = found.union(*(graph[node] for node in found))
        if more == found:
            return found
        found = more


# nodes -----------------------------------------------------------------------


@pytest.mark.parametrize("entity", [1, "1", (), 0, False])
def test_a_node_with_one_neighbour(entity: object) -> None:
    assert DictNode(entity) == {entity: {}}


def test_a_node_without_neighbours() -> None:
    node: DictNode[str] = DictNode()
    assert node == {} and node.nodes() == [] and node.deep_nodes() == [] and not node
    assert (node.discovered, node.examined, node.branch, node.xtra) == (False, False, None, {})


def test_extras_are_kept_with_the_leaf() -> None:
    assert DictNode(xtra={"a": 1}).xtra == {"a": 1}
    node = DictNode("leaf", {"a": 1})
    assert node.xtra == {} and node["leaf"].xtra == {"a": 1}


@pytest.mark.parametrize("entity", [{}, []])
def test_an_unhashable_node_is_refused(entity: object) -> None:
    with pytest.raises(TypeError):
        DictNode(entity)
    with pytest.raises(TypeError):
        DictGraph().add_node(entity)


def test_deep_nodes_ends_on_cycles() -> None:
    graph = DictGraph(edges=[("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")])
    assert graph.deep_nodes("a") == ["b", "c", "a", "d"]
    assert graph["d"].deep_nodes() == []
    assert list(graph["c"].iternodes()) == ["a", "d"]


# changes -----------------------------------------------------------------------


def test_nodes_are_added_once() -> None:
    graph: DictGraph[int] = DictGraph()
    assert graph.add_node(1, {"a": 1}) is True
    assert graph.add_node(1, {"a": 2}, branch=3) is False
    assert graph[1].xtra == {"a": 1} and graph[1].branch is None
    assert graph == {1: {}} and graph.nodes() == [1] and list(graph.iter_nodes()) == [1]


def test_deleting_a_node_takes_its_edges() -> None:
    graph = DictGraph(edges=[("sum", "power"), ("sum", "double"), ("double", "power")])
    assert graph.del_node("power") is True
    assert graph == {"sum": {"double": {}}, "double": {}}
    assert graph.del_node("double") is True
    assert graph == {"sum": {}}
    with pytest.raises(KeyError):
        graph.del_node("power")


def test_deleting_a_node_with_a_loop() -> None:
    graph = DictGraph(edges=[(1, 1), (1, 2), (2, 1)])
    graph.del_node(1)
    assert graph == {2: {}} and graph.incoming_edges(2) == ()


def test_edges_make_their_nodes_and_leave_them_behind() -> None:
    graph: DictGraph[int] = DictGraph()
    graph.add_edge((1, 2))
    graph.add_edge((1, 2))
    assert graph.edges() == ((1, 2),)
    graph.del_edge((1, 2))
    assert graph.edges() == () and graph.nodes() == [1, 2]
    with pytest.raises(KeyError):
        graph.del_edge((1, 2))


def test_double_edges() -> None:
    graph = DictGraph(edges=[(1, 2)])
    with pytest.raises(KeyError):
        graph.del_edge((1, 2), double=True)
    assert graph.edges() == ((1, 2),)
    graph.add_edges([(1, 2), (3, 4)], double=True)
    assert set(graph.edges()) == {(1, 2), (2, 1), (3, 4), (4, 3)}
    graph.del_edges([(1, 2), (3, 4)], double=True)
    assert graph.edges() == ()
    graph.add_edge((5, 5), double=True)
    graph.del_edge((5, 5), double=True)
    assert graph.edges() == ()


def test_adding_and_deleting_many() -> None:
    graph: DictGraph[int] = DictGraph()
    graph.add_nodes([1, 2, 3], [{"n": 1}, None, {"n": 3}])
    assert [graph[node].xtra for node in graph] == [{"n": 1}, {}, {"n": 3}]
    graph.del_nodes(graph)
    assert not graph
    with pytest.raises(ValueError, match="xtras: 1 given; must be one for each of 2 nodes"):
        graph.add_nodes([1, 2], [{}])


def test_the_branch_of_a_node_is_the_given_one_or_its_own() -> None:
    class Branched(str):
        branch: object = 0

    graph: DictGraph[Branched] = DictGraph()
    own, other = Branched("own"), Branched("other")
    graph.add_node(own)
    graph.add_node(other, branch=1)
    assert (graph[own].branch, graph[other].branch) == (0, 1)


def test_edges_of_some_nodes() -> None:
    graph = DictGraph(edges=[(1, 2), (1, 3), (2, 3)])
    assert graph.edges([2, 1]) == ((2, 3), (1, 2), (1, 3))
    assert graph.outgoing_edges(1) == ((1, 2), (1, 3)) and graph.incoming_edges(3) == ((1, 3), (2, 3))
    assert repr(graph) == "DictGraph(nodes=[1, 2, 3], edges=[(1, 2), (1, 3), (2, 3)])"


@pytest.mark.parametrize("seed", range(20))
def test_random_changes_against_a_set_of_edges(seed: int) -> None:
    rng = random.Random(seed)
    graph: DictGraph[int] = DictGraph()
    nodes: set[int] = set()
    edges: set[Edge] = set()
    for _ in range(200):
        a, b = rng.randrange(8), rng.randrange(8)
        if rng.random() < 0.6:
            graph.add_edge((a, b))
            edges.add((a, b))
            nodes |= {a, b}
        elif (a, b) in edges:
            graph.del_edge((a, b))
            edges.remove((a, b))
        elif a in nodes:
            graph.del_node(a)
            nodes.remove(a)
            edges = {edge for edge in edges if a not in edge}
        assert set(graph) == nodes and set(graph.edges()) == edges
        assert {edge for node in graph for edge in graph.incoming_edges(node)} == edges


# orders ------------------------------------------------------------------------


def test_branches_of_all_types_have_an_order() -> None:
    branches = ["b", None, 2, "a", 1.5, None, True, (1, 2)]
    assert sorted(branches, key=branch_key) == [None, None, True, 1.5, 2, "a", "b", (1, 2)]


def test_a_search_leaves_marks() -> None:
    graph = DictGraph(edges=[(1, 2), (3, 4), (5, 6), (1, 3), (1, 5), (1, 6), (2, 5)])
    assert graph.dfs(4, []) == [4]
    assert graph.dfs(1, []) == [6, 5, 2, 3, 1]
    assert graph.dfs(1, []) == []
    assert all(node.discovered and node.examined for node in graph.values())
    graph.clear_nodes()
    assert not any(node.discovered or node.examined for node in graph.values())
    assert graph.dfs(1, deque(), "appendleft") == deque([1, 3, 4, 2, 5, 6])


def test_a_search_passes_cycles() -> None:
    graph = DictGraph(edges=[(1, 2), (3, 4), (5, 6), (1, 3), (1, 5), (1, 6), (2, 5), (4, 1)])
    assert graph.dfs(1, []) == [6, 5, 2, 4, 3, 1]


def test_branches_stay_together() -> None:
    graph = DictGraph(edges=[(1, 8), (8, "k"), (1, "j"), ("j", 3), (3, "z")])
    assert graph.postorder() == ["k", 8, "z", 3, "j", 1]


@pytest.mark.parametrize(
    ("edges", "branches"),
    [
        ([(2, 1), (3, 1), (4, 3), (5, 3), (6, 4), (7, 4), (6, 5)], {7: 0, 6: 1}),
        ([(2, 1), (3, 1), (4, 3), (5, 3), (6, 4), (7, 4), (6, 7), (6, 5)], {}),
        ([(2, 1), (3, 1), (4, 3), (5, 3), (7, 4), (6, 7), (6, 5)], {}),
    ],
)
def test_smaller_branches_come_first(edges: list[Edge], branches: dict[int, object]) -> None:
    graph = DictGraph(edges=edges)
    for node, branch in {2: "C", 3: "D", 4: "A", 5: "B", **branches}.items():
        graph[node].branch = branch
    assert graph.postorder() == [1, 2, 3, 4, 7, 5, 6]


def test_without_branches_the_order_of_adding_decides() -> None:
    assert DictGraph(["c", "a", "b"]).postorder() == ["c", "a", "b"]
    assert DictGraph(edges=[("c", "x"), ("a", "x"), ("b", "x")]).postorder() == ["x", "c", "a", "b"]


def test_postorder_of_a_graph_with_a_cycle_has_every_node() -> None:
    graph = DictGraph(edges=[(1, 2), (2, 3), (3, 1), (4, 1), (3, 5), (6, 6)])
    order = graph.postorder()
    assert sorted(order) == [1, 2, 3, 4, 5, 6] and order == graph.postorder()


@pytest.mark.parametrize("seed", range(50))
def test_random_graphs_against_brute_force(seed: int) -> None:
    rng = random.Random(seed)
    graph = random_dag(rng, rng.randrange(1, 25))
    order = graph.postorder()
    assert sorted(order) == sorted(graph) and order == graph.postorder()
    assert all(order.index(b) < order.index(a) for a, b in graph.edges())
    for node in graph:
        deep = graph.deep_nodes(node)
        assert len(deep) == len(set(deep)) and set(deep) == reachable(graph, node)
        graph.clear_nodes()
        found = graph.dfs(node, [])
        assert found[-1] == node and set(found) == {node, *deep}
        assert all(found.index(b) < found.index(a) for a, b in graph.edges(found))

    def longest(node: int) -> int:
        return 1 + max(map(longest, graph[node]), default=-1)

    def width(node: int) -> int:
        return max(1, sum(map(width, graph[node])))

    assert graph.node_rank() == {node: longest(node) for node in graph}
    assert graph.node_width() == {node: width(node) for node in graph}
    assert sum(graph.rank_width().values()) == len(graph)


def test_ranks() -> None:
    graph = DictGraph(edges=[(1, 2), (3, 4), (5, 6), (1, 5), (1, 6), (2, 5), (4, 6)])
    assert graph.node_rank() == {1: 3, 2: 2, 3: 2, 4: 1, 5: 1, 6: 0}
    graph = DictGraph(edges=[(1, 2), (1, 3), (1, 4), (1, 5), (5, 7), (7, 6), (2, 6), (3, 6), (4, 6)])
    assert graph.rank_width() == {0: 1, 1: 4, 2: 1, 3: 1}
    assert graph.node_width()[1] == 4


def test_depth_is_no_limit() -> None:
    size = 5000
    graph = DictGraph(edges=[(i + 1, i) for i in range(size)])
    assert graph.postorder() == list(range(size + 1))
    assert graph.deep_nodes(size) == list(range(size))[::-1]
    assert graph.dfs(size, []) == list(range(size + 1))
    assert graph.node_rank()[size] == size and graph.node_width()[size] == 1
