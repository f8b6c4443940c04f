"""Hostile and odd YAML is bounded while it is read."""

import pytest

from checklane.program import yaml_tree
from checklane.program.problems import Problems
from checklane.program.yaml_tree import read_tree


def read(tmp_path, text):
    problems = Problems()
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    return read_tree(path, "x.yaml", problems), list(problems)


def test_an_alias_bomb_is_refused(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 12)
    ]
    tree, (problem,) = read(tmp_path, "\n".join(lines))
    assert tree is None
    assert "aliases repeat" in problem.what
    assert problem.line == 5


def test_an_alias_inside_itself_is_refused(tmp_path):
    tree, (problem,) = read(tmp_path, "a: &a [1, *a]")
    assert tree is None
    assert (problem.line, problem.column) == (1, 11)


def test_honest_aliases_work_and_keep_their_places(tmp_path):
    tree, problems = read(tmp_path, "a: &a {x: 1}\nb: *a\n")
    assert problems == []
    assert tree.value == {"a": {"x": 1}, "b": {"x": 1}}
    assert tree.place(("b", "x")) == (1, 11)


@pytest.mark.parametrize("text", ["[" * 5000, "{a: " * 5000, "- " * 5000])
def test_depth_has_a_ceiling(tmp_path, text):
    tree, (problem,) = read(tmp_path, text)
    assert tree is None
    assert f"more than {yaml_tree.DEPTH_MAX} deep" in problem.what


def test_size_has_a_ceiling(tmp_path, monkeypatch):
    monkeypatch.setattr(yaml_tree, "FILE_BYTES_MAX", 10)
    tree, (problem,) = read(tmp_path, "a: 123456789")
    assert tree is None
    assert "more than 10" in problem.what


@pytest.mark.parametrize("depth", [0, 1])
def test_duplicate_keys_are_found_at_any_depth(tmp_path, depth):
    text = "k: 1\nk: 2\n" if depth == 0 else "o:\n  k: 1\n  k: 2\n"
    _, (problem,) = read(tmp_path, text)
    assert (problem.line, problem.column) == (2 + depth, 1 + 2 * depth)


def test_scalars_keep_what_was_written(tmp_path):
    tree, problems = read(tmp_path, "[1.50, 007, '1', 12, true, ~, yes, 2026-01-31, 08:30, -3]")
    assert problems == []
    assert tree.value == [
        "1.50", "007", "1", 12, True, None, "yes", "2026-01-31", "08:30", -3,
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["!!python/object:os.system x", "!!binary aGk=", "!x y"])
def test_tags_are_refused(tmp_path, text):
    _, (problem,) = read(tmp_path, text)
    assert "tag" in problem.what
