"""The load generator in C; see native/generator/generator.h."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

CEILINGS: dict[str, int]

class _Method(Protocol):
    @property
    def path(self) -> bytes: ...
    @property
    def levels(self) -> tuple[tuple[tuple[int, ...], int], ...]: ...

def masked(method: _Method, answer: bytes) -> tuple[bytes, int]:
    """Return what is compared of an answer, and its degraded level."""

class Plan:
    """Methods, requests and options of one run."""

    def __init__(self, methods: Sequence[_Method], requests: Sequence[Any], options: Any) -> None:
        """Describe the run.

        Raises
        ------
        ValueError
            Something is out of its range.
        """

    def run(
        self,
        arrivals: npt.NDArray[Any] | None,
        results: npt.NDArray[Any],
        progress: npt.NDArray[np.uint64],
    ) -> dict[str, Any]:
        """Run to the end, with the interpreter's lock given up."""
