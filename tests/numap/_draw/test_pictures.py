"""Pictures of maps: what is in them, and that each form is what its readers take."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import pytest

from numap import IMap, join
from numap._draw.dot import to_dot
from numap._draw.layout import Layout
from numap._draw.mermaid import to_mermaid
from numap._draw.picture import Edge, Node, Picture
from numap._draw.svg import to_svg

AWKWARD = ['a "quoted" [name]', r"back\slash", "<b>&amp;</b>", "two\nlines", "日本語", "x" * 200, "]]>", "a|b;c#d"]


def awkward() -> Picture:
    nodes = [Node([text, text], "parallel", marked=True) for text in AWKWARD]
    return Picture('a "map" <of> things', nodes, [Edge(a, b, AWKWARD[a]) for a, b in pairwise(range(len(nodes)))])


def texts(svg: str) -> list[str]:
    return ["".join(found.itertext()) for found in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_a_map_shows_inputs_tasks_and_results() -> None:
    imap = IMap(worker_type="serial", name="words")
    lengths = imap.add_task(len, ["a", "bcd"])
    texts_ = imap.add_task(str, lengths)
    paired = imap.add_task(dict, join(imap.add_task(abs, iter([1])), imap.add_task(abs, iter([2]))))
    del texts_, paired
    picture = imap._picture()
    names = [node.lines[0] for node in picture.nodes]
    assert names == ["input", "len", "str", "input", "abs", "input", "abs", "dict", "results", "results"]
    assert picture.nodes[0].lines == ["input", "2 items"]
    edges = [(edge.start, edge.end) for edge in picture.edges]
    assert edges == [(0, 1), (1, 2), (3, 4), (5, 6), (4, 7), (6, 7), (2, 8), (7, 9)]
    assert "digraph" in imap.to_dot()
    assert imap.to_mermaid().startswith("flowchart LR")
    imap.stop()


def test_a_running_map_shows_its_figures() -> None:
    imap = IMap(worker_type="thread", worker_num=2)
    task = imap.add_task(abs, [-1, -2])
    with imap:
        assert list(task) == [1, 2]
        assert ["abs", "2 thread workers", "2 done", "0 waiting, 0 inside"] in [
            list(node.lines) for node in imap._picture().nodes
        ]


def test_a_notebook_is_given_a_picture() -> None:
    imap: IMap[int] = IMap(worker_type="serial")
    imap.add_task(abs, [1])
    bundle = imap._repr_mimebundle_()
    assert bundle["text/plain"] == repr(imap)
    assert texts(bundle["image/svg+xml"])[:2] == ["input", "1 item"]
    assert bundle["text/vnd.mermaid"] == imap.to_mermaid()


@pytest.mark.parametrize(
    ("suffix", "start"), [(".svg", "<svg"), (".dot", "digraph"), (".gv", "digraph"), (".mmd", "flow")]
)
def test_a_file_says_by_its_name_what_it_holds(suffix: str, start: str, tmp_path: Path) -> None:
    imap: IMap[int] = IMap(worker_type="serial")
    imap.add_task(abs, [1])
    imap.draw(tmp_path / f"map{suffix}")
    assert (tmp_path / f"map{suffix}").read_text(encoding="utf-8").startswith(start)


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    imap: IMap[int] = IMap(worker_type="serial")
    with pytest.raises(
        ValueError, match=r"path: .*map\.png' given; must be a name that ends with \.svg, \.dot, \.gv, \.mmd"
    ):
        imap.draw(tmp_path / "map.png")
    assert not list(tmp_path.iterdir())


def test_any_text_may_stand_in_an_svg() -> None:
    found = texts(to_svg(awkward()))
    assert {"<b>&amp;</b>", "]]>", "日本語"} <= set(found)
    assert max(map(len, found)) == 40


def test_any_text_may_stand_in_dot() -> None:
    for line in to_dot(awkward()).splitlines():
        assert len(re.findall(r'(?<!\\)(?:\\\\)*"', line)) % 2 == 0, line


def test_any_text_may_stand_in_mermaid() -> None:
    inside = re.compile(r'^  n\d+(?:\[\["[^"<>\[\]{}|]*<br/>[^"<>\[\]{}|]*"\]\]| -->\|"[^"<>\[\]{}|]*"\| n\d+)$')
    lines = to_mermaid(awkward()).splitlines()[1:-2]
    assert all(map(inside.match, lines)), lines


@pytest.mark.parametrize("seed", range(20))
def test_no_two_nodes_have_one_place_and_edges_go_to_the_right(seed: int) -> None:
    rng = random.Random(seed)
    count = rng.randint(1, 30)
    edges = sorted(
        {(a, b) for _ in range(2 * count) for a, b in [sorted((rng.randrange(count), rng.randrange(count)))] if a != b}
    )
    layout = Layout(count, edges)
    assert sorted(it for column in layout.columns for it in column if it < count) == list(range(count))
    column_of = {it: number for number, column in enumerate(layout.columns) for it in column}
    for (start, end), path in zip(edges, layout.paths, strict=True):
        assert path[0] == start
        assert path[-1] == end
        assert [column_of[it] for it in path] == list(range(column_of[start], column_of[end] + 1))


def test_what_draws_is_imported_with_the_first_picture() -> None:
    code = (
        "import sys; from numap import IMap; imap = IMap(abs, [1], worker_type='serial'); list(imap)\n"
        "assert not {'numap._draw.svg', 'numap._draw.dot', 'numap._draw.picture'} & set(sys.modules)\n"
        "imap.to_dot(); assert 'numap._draw.svg' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
