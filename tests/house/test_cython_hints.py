"""The check that `make lint` runs over our Cython can fail; the modules themselves it checks."""

import pytest

from tests.house.cython_hints import complaints

CLEAN = "cdef int twice(int n) noexcept nogil:\n    return 2 * n\n\ndef door(int n):\n"


def test_a_clean_module_passes(tmp_path):
    pyx = tmp_path / "clean.pyx"
    pyx.write_text(CLEAN + "    return twice(n)\n")
    assert complaints(pyx, tmp_path) == []


@pytest.mark.parametrize(
    "body",
    [
        "cdef void hidden(int n) nogil:\n    pass\n\ndef door(int n):\n    with nogil:\n"
        "        hidden(n)\n",
        "cdef int broken(int n:\n    return\n",
    ],
)
def test_a_hint_or_an_error_is_seen(tmp_path, body):
    pyx = tmp_path / "canary.pyx"
    pyx.write_text(body)
    assert complaints(pyx, tmp_path) != []
