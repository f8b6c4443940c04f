"""Which offers can stand in line together: for one customer, in one store, at one time.

Offers that never meet do not compete: regional sets of stores, seasons and tiers split a program.
A *scene* is a store, an instant and who stands at the till; hours, weekdays, channels and segments
are left out, so a count over a scene is never too low.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from checklane import _layout
from checklane.program.compile import Tables, array_of
from checklane.program.parts import ALWAYS_FROM, ALWAYS_UNTIL, WORD_BITS
from checklane.tables.open_addressing import IntArray

Bools = npt.NDArray[np.bool_]

#: How many of the offers behind a gate one basket can open. An offer with two stands behind the
#: first of these that it has.
OPEN, COUPON, CHOSEN, WALLET = range(4)
GATES = 4
#: Offers * stores * instants of one look. Past it only the fullest stores and instants are seen.
LOOK_MAX = 100_000_000
NOBODY = -1


@dataclass(frozen=True)
class Scene:
    """Where most of some offers meet.

    Attributes
    ----------
    count : int
        Offers that may compete in it.
    at_most : int
        No scene has more; `count` when every scene was looked at.
    store, minute, tier : int
        Number of the store; local minutes since 1970; tier, `NOBODY` without a member.
    offers : numpy.ndarray of int64
        Numbers of the offers that meet.
    """

    count: int
    at_most: int
    store: int
    minute: int
    tier: int
    offers: IntArray


class Scenery:
    """The conditions of a program's offers, column by column.

    Parameters
    ----------
    tables : dict
        Of a compiled program.
    store_count : int
        Stores of its catalogue.
    wallet_offers : int
        Wallet offers that one member is taken to hold.
    """

    def __init__(self, tables: Tables, store_count: int, wallet_offers: int) -> None:
        offers = array_of(tables["offers"])
        self.offers = offers
        self.count = len(offers)
        self.gates = _gates(offers["flags"])
        self.caps = np.array(
            [self.count, _opened_by_coupons(tables), _layout.SELECTIONS_MAX, wallet_offers]
        )
        self._store_count = max(1, store_count)
        words = int(array_of(tables["header"])[0]["store_set_words"])
        self._store_sets = array_of(tables["store_sets"]).reshape(-1, words)
        self._audiences = array_of(tables["audiences"])
        self._begin, self._end = _spans(offers["schedule"], array_of(tables["schedules"]))
        tiers = array_of(tables["tiers"])
        self._tiers = [int(n) for n in np.flatnonzero(tiers["key"])] or [0]

    def bound(self, counts: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return how many offers compete at most, from counts by gate in the last axis."""
        return np.asarray(np.minimum(counts, self.caps).sum(axis=-1))

    def counts_by_gate(self, numbers: IntArray) -> IntArray:
        """Return how many of some offers stand behind each gate."""
        return np.bincount(self.gates[numbers], minlength=GATES).astype(np.int64)

    def worst(self, numbers: IntArray) -> Scene:
        """Return the scene in which most of some offers meet."""
        if len(numbers) == 0:
            return Scene(0, 0, 0, 0, NOBODY, numbers)
        people, tiers = self._people(numbers)
        room = LOOK_MAX // len(numbers)
        stores, store_numbers, all_stores = self._stores(numbers, room)
        times, minutes, all_times = self._times(numbers, room // len(store_numbers))
        best, at = -1, (0, 0, 0)
        for person in range(len(tiers)):
            met = np.zeros((len(store_numbers), len(minutes)))
            for gate in range(GATES):
                here = (self.gates[numbers] == gate) & people[:, person]
                shared = stores[here].T.astype(np.float32) @ times[here].astype(np.float32)
                met += np.minimum(shared, self.caps[gate])
            place = int(np.argmax(met))
            if met.flat[place] > best:
                best = int(met.flat[place])
                at = (place // len(minutes), place % len(minutes), person)
        store, minute, person = at
        offers = numbers[stores[:, store] & times[:, minute] & people[:, person]]
        at_most = best
        if not (all_stores and all_times):
            at_most = int(self.bound(self.counts_by_gate(numbers)))
        return Scene(
            best, at_most, int(store_numbers[store]), int(minutes[minute]), tiers[person], offers
        )

    def _stores(self, numbers: IntArray, room: int) -> tuple[Bools, IntArray, bool]:
        """Return which offers run in which stores, one column for stores that are alike.

        Also the number of a store for each column, and whether no store was left out.
        """
        sets = self.offers["store_set"][numbers]
        words = self._store_sets.shape[1]
        whole = np.full((1, words), 2**WORD_BITS - 1, dtype=np.uint64)
        rows = np.concatenate([self._store_sets, whole])
        used, inverse, counts = np.unique(
            np.where(sets == _layout.NONE_32, len(rows) - 1, sets),
            return_inverse=True,
            return_counts=True,
        )
        octets = np.ascontiguousarray(rows[used]).view(np.uint8).reshape(len(used), -1)
        bits = np.unpackbits(octets, axis=1, bitorder="little")[:, : self._store_count]
        columns, first = np.unique(bits, axis=1, return_index=True)
        fullest = np.argsort(-(counts @ columns), kind="stable")[: max(1, room)]
        chosen = columns[:, fullest][inverse].astype(bool)
        return chosen, first[fullest], len(fullest) == len(first)

    def _times(self, numbers: IntArray, room: int) -> tuple[Bools, IntArray, bool]:
        """Return which offers run at which instants; most of them meet when some offer begins.

        Also the instants, and whether none was left out.
        """
        begin, end = self._begin[numbers], self._end[numbers]
        instants = np.unique(begin)
        running = np.searchsorted(np.sort(begin), instants, side="right") - np.searchsorted(
            np.sort(end), instants, side="right"
        )
        fullest = instants[np.argsort(-running, kind="stable")[: max(1, room)]]
        inside = (begin[:, None] <= fullest) & (fullest < end[:, None])
        return inside, fullest, len(fullest) == len(instants)

    def _people(self, numbers: IntArray) -> tuple[Bools, list[int]]:
        """Return which offers are for which people: nobody known, then a member of each tier."""
        offers = self.offers[numbers]
        none = np.zeros(1, dtype=_layout.AUDIENCE)
        audiences = np.concatenate([self._audiences, none])
        rows = audiences[
            np.where(offers["audience"] == _layout.NONE_32, len(audiences) - 1, offers["audience"])
        ]
        flags, masks = rows["flags"], rows["tier_mask"]
        asks = (flags & _layout.AUDIENCE_FLAG_MEMBERS) != 0
        asks |= (offers["layer"] == _layout.LAYER_EARN) | (self.gates[numbers] == WALLET)
        shuns = (flags & _layout.AUDIENCE_FLAG_NON_MEMBERS) != 0
        columns = [~asks]
        columns += [~shuns & ((masks == 0) | ((masks >> tier & 1) != 0)) for tier in self._tiers]
        return np.stack(columns, axis=1), [NOBODY, *self._tiers]


def _gates(flags: npt.NDArray[Any]) -> IntArray:
    """Return the gate that each offer stands behind."""
    gates = np.full(len(flags), OPEN, dtype=np.int64)
    for gate, flag in (
        (WALLET, _layout.OFFER_FLAG_WALLET),
        (CHOSEN, _layout.OFFER_FLAG_CHOSEN),
        (COUPON, _layout.OFFER_FLAG_COUPON),
    ):
        gates[(flags & flag) != 0] = gate
    return gates


def _opened_by_coupons(tables: Tables) -> int:
    """Return the offers that the coupons of one basket can open."""
    coupons = array_of(tables["coupons"])
    keys = coupons["coupon_key"][coupons["coupon_key"] != 0]
    opened = np.sort(np.unique(keys, return_counts=True)[1])[::-1]
    return int(opened[: _layout.COUPONS_MAX].sum())


def _spans(numbers: npt.NDArray[Any], schedules: npt.NDArray[Any]) -> tuple[IntArray, IntArray]:
    """Return from when and until when each offer runs."""
    begin = np.append(schedules["from_minute"], ALWAYS_FROM).astype(np.int64)
    end = np.append(schedules["until_minute"], ALWAYS_UNTIL).astype(np.int64)
    at = np.where(numbers == _layout.NONE_32, len(schedules), numbers)
    return begin[at], end[at]
