"""Pictures of graphs and pipelines."""

from __future__ import annotations

from pathlib import Path

from numap import IMap
from papy import Dagger, Pipeline, Piper, Plumber


def negative(x: int) -> int:
    return -x


def test_a_dagger_shows_what_reads_what() -> None:
    pool = IMap(worker_type="thread", worker_num=2, name="pool")
    read = Piper(abs, unpack=True, name="read")
    left = Piper(negative, unpack=True, parallel=pool, name="left")
    right = Piper(str, unpack=True, name="right")
    both = Piper(lambda a, b: (a, b), unpack=True, name="both")
    dagger = Dagger(pipes=[(read, left, both), (read, right, both)])
    picture = dagger._picture()
    names = [node.lines[0] for node in picture.nodes]
    assert sorted(names) == ["both", "input", "left", "read", "results", "right"]
    assert {(names[edge.start], names[edge.end]) for edge in picture.edges} == {
        *[("input", "read"), ("read", "left"), ("read", "right")],
        *[("left", "both"), ("right", "both"), ("both", "results")],
    }
    found = picture.nodes[names.index("left")]
    assert (list(found.lines), found.shape) == (["left", "negative", "on pool"], "parallel")
    assert picture.nodes[names.index("right")].shape == "serial"


def test_a_dagger_shows_its_last_run() -> None:
    inverse = Piper(lambda x: 1 / x, unpack=True, name="inverse")
    dagger = Dagger([inverse])
    dagger.run([[1, 0, 2]])
    assert "3 done, 1 failed" in dagger.to_dot()
    assert "3 done, 1 failed" in dagger.to_mermaid()


def test_a_plumber_is_drawn_while_it_runs(tmp_path: Path) -> None:
    plumber = Plumber(pipes=[(Piper(abs, unpack=True, name="first"), Piper(str, unpack=True, name="second"))])
    plumber.start([[1, 2, 3]])
    plumber.run()
    assert plumber.wait(30)
    plumber.draw(tmp_path / "plumber.svg")
    plumber.stop()
    text = (tmp_path / "plumber.svg").read_text(encoding="utf-8")
    assert text.count("3 done") == 4  # two nodes, each with a text and what is shown where the pointer rests


def test_a_pipeline_is_a_row_of_steps() -> None:
    pipeline = Pipeline((abs, 4), (negative, 2, {"worker_type": "process"}), (str, 1), quiet=True)
    assert sorted(pipeline.results([1, 2])) == ["-1", "-2"]
    picture = pipeline._picture()
    assert [list(node.lines) for node in picture.nodes] == [
        ["abs", "4 threads", "2 done"],
        ["negative", "2 processes", "2 done"],
        ["str", "1 thread", "2 done"],
        ["input"],
        ["results"],
    ]
    assert [(edge.start, edge.end) for edge in picture.edges] == [(0, 1), (1, 2), (3, 0), (2, 4)]
    assert pipeline._repr_mimebundle_()["text/plain"] == repr(pipeline)
