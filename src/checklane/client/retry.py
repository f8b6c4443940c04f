"""What is sent again, when, and for how long.

Every call of a lane is either a read or carries a key under which the service enters it once. So
each may be sent again after a failure that says nothing about the request itself: the service could
not be reached, was draining, was busy, or did not answer in time. Waits grow by two, are spread by
chance so that the tills of a store do not come back in step, and end with the budget of the call.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from checklane.clock import Clock
from checklane.errors import BusyError, ChecklaneError, DeadlineError, UnavailableError

__all__ = ["Attempts", "Policy", "is_retryable"]

# INTERNAL, UNKNOWN and CANCELLED without our details come from the transport: a connection that was
# lost in the middle. The key makes sending again safe.
LOST_CONNECTION_CODES = frozenset({1, 2, 13})


@dataclass(frozen=True, slots=True)
class Policy:
    """Times of a lane, in milliseconds.

    Attributes
    ----------
    quote_deadline_ms : int
        One attempt at a call that changes nothing.
    change_deadline_ms : int
        One attempt at a call that changes something.
    quote_budget_ms : int
        All attempts at a read together: a till that waits longer shows the shelf price.
    change_budget_ms : int
        All attempts at a change together.
    first_wait_ms, longest_wait_ms : int
        Between attempts; each wait is drawn from its upper half.
    """

    quote_deadline_ms: int = 250
    change_deadline_ms: int = 2_000
    quote_budget_ms: int = 1_000
    change_budget_ms: int = 10_000
    first_wait_ms: int = 20
    longest_wait_ms: int = 1_000


def is_retryable(error: ChecklaneError) -> bool:
    """Tell whether the same call may succeed when it is sent again, with the same key."""
    if isinstance(error, UnavailableError | DeadlineError | BusyError):
        return True
    return not error.reason and error.grpc_code in LOST_CONNECTION_CODES


class Attempts:
    """The attempts at one call.

    Parameters
    ----------
    policy : Policy
    clock : Clock
    chance : random.Random
    deadline_ms, budget_ms : int

    Examples
    --------
    Iterate over the timeouts of the attempts; after a failure ask for the wait::

        for timeout_s in attempts:
            try: return send(timeout_s)
            except ChecklaneError as error: wait_s = attempts.wait_s(error)  # or raises it
    """

    def __init__(
        self,
        policy: Policy,
        clock: Clock,
        chance: random.Random,
        deadline_ms: int,
        budget_ms: int,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._chance = chance
        self._deadline_s = deadline_ms / 1000
        self._end_s = clock.monotonic_s() + budget_ms / 1000
        self.count = 0

    def __iter__(self) -> Iterator[float]:
        while True:
            # The first attempt has the whole deadline, whatever the budget.
            left_s = self._end_s - self._clock.monotonic_s()
            yield self._deadline_s if self.count == 0 else min(self._deadline_s, left_s)
            self.count += 1

    def wait_s(self, error: ChecklaneError) -> float:
        """Return how long to wait before the next attempt, or raise what the last one met."""
        if not is_retryable(error):
            raise error
        longest = min(
            self._policy.first_wait_ms * 2 ** min(self.count, 20), self._policy.longest_wait_ms
        )
        wait_s: float = longest * self._chance.uniform(0.5, 1.0) / 1000
        if self._clock.monotonic_s() + wait_s >= self._end_s:
            raise error
        return wait_s
