"""Lines have at most 100 columns, in every language of the house."""

from tests.house.tree import hand_written, name_of

COLUMNS_MAX = 100
SUFFIXES = (".c", ".h", ".proto", ".pxd", ".py", ".pyi", ".pyx", ".toml")


def long_lines(text: str) -> list[int]:
    """Return the numbers, from 1, of the lines that are too long."""
    return [
        number
        for number, line in enumerate(text.splitlines(), start=1)
        if len(line.expandtabs(4)) > COLUMNS_MAX
    ]


def test_lines_fit():
    faults = [
        f"{name_of(path)}:{number}"
        for path in hand_written(*SUFFIXES)
        for number in long_lines(path.read_text())
    ]
    assert faults == []


def test_the_check_sees_a_long_line():
    assert long_lines("a" * 100) == []
    assert long_lines("fits\n" + "a" * 101) == [2]
    assert long_lines("\t" + "a" * 97) == [1]
