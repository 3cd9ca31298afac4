"""A directed graph in adjacency lists; knows nothing of pipers and streams.

An edge ``(a, b)`` is a dependency: ``a`` needs ``b``. In the graph of a pipeline it points from the consumer to the
producer, against the flow of the data. All algorithms are iterative, so that depth is no limit, and deterministic:
where the edges leave the order open, the branch decides, then the order of adding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from numbers import Real
from typing import Any, TypeVar

from numap.interop import checks
from papy._base.checks import check_flag, check_xtra, counted

__all__ = ["DictGraph", "DictNode", "branch_key"]

N = TypeVar("N", bound=Hashable)
T = TypeVar("T")


def branch_key(branch: object) -> tuple[Any, ...]:
    """Sort branches of whatever types: none first, then numbers, then the others by type and value.

    >>> sorted(["b", 2, None, "a", 1.5], key=branch_key)
    [None, 1.5, 2, 'a', 'b']
    """
    if branch is None:
        return (0,)
    if isinstance(branch, Real):
        return (1, branch)
    return (2, type(branch).__name__, branch)


class DictNode(Mapping[N, "DictNode[N]"]):
    """What a graph knows of one node: a mapping of the nodes it has edges to, its extras, its branch and two marks.

    Args:
        entity: A first neighbour; None: no neighbour.
        xtra: Anything that is to be kept with the neighbour or, without one, with the node itself.

    >>> DictNode("a") == {"a": {}}
    True
    """

    __slots__ = ("_incoming", "_outgoing", "branch", "discovered", "examined", "xtra")

    def __init__(self, entity: N | None = None, xtra: dict[str, Any] | None = None) -> None:
        self._outgoing: dict[N, DictNode[N]] = {}
        # Only the names of the nodes that point here: links both ways would be a reference cycle, and
        # whatever the nodes hold would live until the garbage collector runs.
        self._incoming: dict[N, None] = {}
        self.branch: object = None
        self.discovered = False
        self.examined = False
        self.xtra: dict[str, Any] = {}
        check_xtra("xtra", xtra)
        if entity is not None:
            self._outgoing[entity] = DictNode(xtra=xtra)
        elif xtra:
            self.xtra = xtra

    def __getitem__(self, node: N) -> DictNode[N]:
        return self._outgoing[node]

    def __iter__(self) -> Iterator[N]:
        return iter(self._outgoing)

    def __len__(self) -> int:
        return len(self._outgoing)

    def __repr__(self) -> str:
        return f"DictNode({list(self)})"

    def nodes(self) -> list[N]:
        """The neighbours, in the order in which their edges were added."""
        return list(self._outgoing)

    def iternodes(self) -> Iterator[N]:
        """Iterate over the neighbours."""
        return iter(self._outgoing)

    def deep_nodes(self) -> list[N]:
        """All nodes that can be reached from here, each once, near ones first.

        In a graph with cycles the node itself may be one of them.
        """
        found = dict(self._outgoing)
        ahead = list(found.values())
        for node in ahead:
            for name, target in node._outgoing.items():
                if name not in found:
                    found[name] = target
                    ahead.append(target)
        return list(found)

    def clear(self) -> None:
        """Take back the marks that a search left."""
        self.discovered = self.examined = False


class DictGraph(Mapping[N, DictNode[N]]):
    """A directed graph over hashable nodes: a mapping of each node to its `DictNode`.

    Cycles and loops are allowed. The graph is changed by its methods only.

    Args:
        nodes: The first nodes.
        edges: The first edges, pairs of nodes; the nodes are added where needed.
        xtras: One dictionary for each of the nodes.

    >>> graph = DictGraph(edges=[("print", "sort"), ("sort", "read"), ("print", "count"), ("count", "read")])
    >>> graph.postorder()
    ['read', 'sort', 'count', 'print']
    >>> graph["print"].nodes()
    ['sort', 'count']
    """

    def __init__(
        self,
        nodes: Iterable[N] = (),
        edges: Iterable[tuple[N, N]] = (),
        xtras: Iterable[dict[str, Any] | None] | None = None,
    ) -> None:
        self._nodes: dict[N, DictNode[N]] = {}
        self.add_nodes(nodes, xtras)
        self.add_edges(edges)

    def __getitem__(self, node: N) -> DictNode[N]:
        return self._nodes[node]

    def __iter__(self) -> Iterator[N]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(nodes={self.nodes()}, edges={list(self.edges())})"

    # changes ---------------------------------------------------------------

    def add_node(self, node: N, xtra: dict[str, Any] | None = None, branch: object = None) -> bool:
        """Add a node; one that is already here is left as it is.

        Args:
            node: Any hashable object.
            xtra: Anything that is to be kept with the node.
            branch: Where the node stands among its like; None: the node's own attribute ``branch``, if it has one.

        Returns:
            Whether the node is new.
        """
        if node in self._nodes:
            return False
        check_xtra("xtra", xtra)
        added: DictNode[N] = DictNode(xtra=xtra)
        added.branch = getattr(node, "branch", None) if branch is None else branch
        self._nodes[node] = added
        return True

    def del_node(self, node: N) -> bool:
        """Delete a node with all its edges and return True; KeyError if there is no such node."""
        gone = self._nodes.pop(node)
        for target in gone._outgoing.values():
            target._incoming.pop(node, None)
        for source in gone._incoming:
            if source in self._nodes:
                del self._nodes[source]._outgoing[node]
        return True

    def add_edge(self, edge: tuple[N, N], double: bool = False) -> None:
        """Add an edge, and its nodes where they are new; an edge that is already here changes nothing.

        Args:
            edge: A pair of nodes, the dependent one first.
            double: Also add the edge in the other direction.
        """
        left, right = _pair(edge)
        check_flag("double", double)
        self.add_node(left)
        self.add_node(right)
        for source, target in ((left, right), (right, left)) if double else ((left, right),):
            self._nodes[source]._outgoing[target] = self._nodes[target]
            self._nodes[target]._incoming[source] = None

    def del_edge(self, edge: tuple[N, N], double: bool = False) -> None:
        """Delete an edge (``double``: and the one in the other direction) but not its nodes; KeyError if it is missing.

        Nothing is deleted if one of them is missing.
        """
        left, right = _pair(edge)
        check_flag("double", double)
        doomed = {(left, right), (right, left)} if double else {(left, right)}
        for source, target in doomed:
            if target not in self._nodes[source]:
                raise KeyError((source, target))
        for source, target in doomed:
            del self._nodes[source]._outgoing[target]
            del self._nodes[target]._incoming[source]

    def add_nodes(self, nodes: Iterable[N], xtras: Iterable[dict[str, Any] | None] | None = None) -> None:
        """Add nodes, each with its own dictionary of extras; ValueError unless there are as many of these as nodes."""
        names = _listed("nodes", nodes)
        extras = [None] * len(names) if xtras is None else _listed("xtras", xtras)
        if len(extras) != len(names):
            raise ValueError(f"xtras: {len(extras)} given; must be one for each of {counted(len(names), 'node')}")
        for node, xtra in zip(names, extras, strict=True):
            self.add_node(node, xtra)

    def del_nodes(self, nodes: Iterable[N]) -> None:
        """Delete nodes with all their edges."""
        for node in _listed("nodes", nodes):
            self.del_node(node)

    def add_edges(self, edges: Iterable[tuple[N, N]], double: bool = False) -> None:
        """Add edges."""
        check_flag("double", double)
        for edge in _listed("edges", edges):
            self.add_edge(edge, double)

    def del_edges(self, edges: Iterable[tuple[N, N]], double: bool = False) -> None:
        """Delete edges."""
        check_flag("double", double)
        for edge in _listed("edges", edges):
            self.del_edge(edge, double)

    # questions -------------------------------------------------------------

    def nodes(self) -> list[N]:
        """All nodes in the order of adding."""
        return list(self._nodes)

    def iter_nodes(self) -> Iterator[N]:
        """Iterate over all nodes in the order of adding."""
        return iter(self._nodes)

    def clear_nodes(self) -> None:
        """Take back the marks that searches left on the nodes."""
        for node in self._nodes.values():
            node.clear()

    def deep_nodes(self, node: N) -> list[N]:
        """All nodes that a node depends on, directly or not, near ones first."""
        return self._nodes[node].deep_nodes()

    def edges(self, nodes: Iterable[N] | None = None) -> tuple[tuple[N, N], ...]:
        """The edges that start at the given nodes, by default all edges."""
        starts = self if nodes is None else _listed("nodes", nodes)
        return tuple((node, target) for node in starts for target in self._nodes[node])

    def incoming_edges(self, node: N) -> tuple[tuple[N, N], ...]:
        """The edges that end at a node: one for each node that depends on it."""
        return tuple((source, node) for source in self._nodes[node]._incoming)

    def outgoing_edges(self, node: N) -> tuple[tuple[N, N], ...]:
        """The edges that start at a node: one for each node it depends on."""
        return tuple((node, target) for target in self._nodes[node])

    # orders ----------------------------------------------------------------

    def by_branch(self, nodes: Iterable[N]) -> list[N]:
        """Sort nodes by their branches (see `branch_key`); equals keep their order."""
        names = _listed("nodes", nodes)
        if all(self._nodes[node].branch is None for node in names):
            return names
        return sorted(names, key=lambda node: branch_key(self._nodes[node].branch))

    def dfs(self, node: N, bucket: Any, order: str = "append") -> Any:
        """Put a node into a bucket, behind all it depends on, and return the bucket.

        Nodes that an earlier search has discovered are passed over, until `clear_nodes`.

        Args:
            node: Where the search starts.
            bucket: A list or deque.
            order: The bucket's method that takes a node.
        """

        def enter(name: N) -> bool:
            fresh = not self._nodes[name].discovered
            self._nodes[name].discovered = True
            return fresh

        put = getattr(bucket, order, None)
        if put is None:
            raise checks.wrong_type("order", "the name of a method of the bucket", order)
        for name in _finished([node], enter, lambda name: self.by_branch(self._nodes[name])):
            self._nodes[name].examined = True
            put(name)
        return bucket

    def postorder(self) -> list[N]:
        """All nodes, each behind those it depends on; what is built on one branch stays together.

        Of several nodes built on the same one the smaller branch comes first, then what was added first.
        A cycle has no such order; its nodes come in some order, always the same.

        >>> graph = DictGraph(edges=[("left", "root"), ("right", "root"), ("left leaf", "left")])
        >>> graph.postorder()
        ['root', 'left', 'left leaf', 'right']
        """
        seen: set[N] = set()

        def enter(name: N) -> bool:
            fresh = name not in seen
            seen.add(name)
            return fresh

        def dependents(name: N) -> list[N]:
            return self.by_branch(self._nodes[name]._incoming)[::-1]

        roots = self.by_branch(node for node, links in self._nodes.items() if not links)[::-1]
        # Reversed twice: a search that starts at the last branch finishes it first, which puts it last.
        order = list(_finished(roots, enter, dependents))
        order += _finished(self.nodes(), enter, dependents)  # what only a cycle leads to
        return order[::-1]

    def node_rank(self) -> dict[N, int]:
        """For each node the length of the longest way to a node without dependencies; the graph has no cycles."""
        return self._fold(lambda ranks: 1 + max(ranks, default=-1))

    def node_width(self) -> dict[N, int]:
        """For each node the sum of the widths of those it depends on, at least 1; the graph has no cycles."""
        return self._fold(lambda widths: max(1, sum(widths)))

    def rank_width(self) -> dict[int, int]:
        """How many nodes there are of each rank; the graph has no cycles."""
        return dict(sorted(Counter(self.node_rank().values()).items()))

    def _fold(self, combine: Callable[[list[int]], int]) -> dict[N, int]:
        """Compute a number for each node from those of the nodes it depends on."""
        known: dict[N, int] = {}
        for node in self.postorder():
            known[node] = combine([known[target] for target in self._nodes[node]])
        return known


def _listed(what: str, given: Iterable[T]) -> list[T]:
    if not hasattr(given, "__iter__"):
        raise checks.wrong_type(what, "an iterable", given)
    return list(given)


def _pair(edge: Any) -> tuple[Any, Any]:
    pair = tuple(edge) if hasattr(edge, "__iter__") else ()
    if len(pair) != 2:
        raise (checks.wrong_value if pair else checks.wrong_type)("edge", "a pair of nodes", edge)
    return pair


def _finished(roots: Iterable[N], enter: Callable[[N], bool], ahead: Callable[[N], Iterable[N]]) -> Iterator[N]:
    """Search from the roots, depth first, and yield each node when all behind it have been.

    Args:
        roots: Where to start.
        enter: Marks a node as seen and says whether that is news.
        ahead: The nodes to go to from a node.
    """
    for root in roots:
        if not enter(root):
            continue
        path = [(root, iter(ahead(root)))]
        while path:
            node, rest = path[-1]
            for target in rest:
                if enter(target):
                    path.append((target, iter(ahead(target))))
                    break
            else:
                path.pop()
                yield node
