"""Offers that can compete: which share products, and which hang together through others."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from checklane import _layout
from checklane.program.compile import Tables, array_of
from checklane.tables.open_addressing import IntArray


@dataclass(frozen=True)
class Reach:
    """Pairs of classes of products and the offers that want them, by class, then offer.

    Attributes
    ----------
    classes, offers : numpy.ndarray of int64
        Each pair once. Offers for every product are in `universal`, not here.
    universal : numpy.ndarray of int64
    first : numpy.ndarray of int64
        Where each class begins, and at the end the number of pairs.
    sizes : numpy.ndarray of int64
        Products of each class.
    """

    classes: IntArray
    offers: IntArray
    universal: IntArray
    first: IntArray
    sizes: IntArray

    def of_class(self, number: int) -> IntArray:
        """Return the offers that want the products of a class, for every product or not."""
        own = self.offers[self.first[number] : self.first[number + 1]]
        return np.concatenate([own, self.universal])


def reach_of(tables: Tables) -> Reach:
    """Return which classes of products each offer wants."""
    offer_of_slot = array_of(tables["slots"])["offer"].astype(np.int64)
    lists = array_of(tables["classes"])
    counts = lists["count"].astype(np.int64) + lists["gated_count"]
    classes = np.repeat(np.arange(len(lists), dtype=np.int64), counts)
    offers = offer_of_slot[array_of(tables["postings"])]
    universal = np.unique(offer_of_slot[array_of(tables["universal"])])
    # Slots of a progress stand last and belong to no offer.
    universal = universal[universal != _layout.NONE_32]
    is_offer = offers != _layout.NONE_32
    classes, offers = classes[is_offer], offers[is_offer]
    everywhere = np.zeros(len(array_of(tables["offers"])) + 1, dtype=bool)
    everywhere[universal] = True
    kept = ~everywhere[offers]
    classes, offers = classes[kept], offers[kept]
    # Slots of one offer stand together, so equal pairs are neighbours.
    fresh = np.ones(len(offers), dtype=bool)
    fresh[1:] = (classes[1:] != classes[:-1]) | (offers[1:] != offers[:-1])
    classes, offers = classes[fresh], offers[fresh]
    first = np.searchsorted(classes, np.arange(len(lists) + 1))
    sizes = np.bincount(array_of(tables["class_of_product"]), minlength=len(lists))
    return Reach(classes, offers, universal, first, sizes)


def steps_of(offers: npt.NDArray[Any]) -> IntArray:
    """Return the step (layer and class) in which each offer competes; -1: it does not."""
    keys = offers["layer"].astype(np.int64) << 32 | (offers["class_order"].astype(np.int64) + 2**31)
    stacks = (offers["flags"] & _layout.OFFER_FLAG_STACKABLE) != 0
    alone = np.isin(offers["layer"], (_layout.LAYER_EARN, _layout.LAYER_REDEMPTION))
    return np.where(stacks | alone, -1, keys)


def components_of(reach: Reach, steps: IntArray) -> IntArray:
    """Return the component of each offer: the least number of the offers that hang together.

    Parameters
    ----------
    reach : Reach
    steps : numpy.ndarray of int64
        As `steps_of` says. Offers of different steps never compete.

    Returns
    -------
    numpy.ndarray of int64
        -1 for offers that do not compete, and for those that reach no product.
    """
    count = len(steps)
    competing = steps[reach.offers] >= 0
    classes, offers = reach.classes[competing], reach.offers[competing]
    order = np.lexsort((steps[offers], classes))
    classes, offers = classes[order], offers[order]
    joined = (classes[1:] == classes[:-1]) & (steps[offers[1:]] == steps[offers[:-1]])
    one, other = offers[:-1][joined], offers[1:][joined]
    # An offer for every product meets all offers of its step: a star from the first of them.
    wants = np.zeros(count, dtype=bool)
    wants[reach.offers] = wants[reach.universal] = True
    for step in np.unique(steps[reach.universal]):
        if step >= 0:
            middle = reach.universal[steps[reach.universal] == step][0]
            peers = np.flatnonzero((steps == step) & wants)
            one = np.append(one, np.full(len(peers), middle))
            other = np.append(other, peers)
    labels = connect(count, one, other)
    labels[(steps < 0) | ~wants] = -1
    return labels


def connect(count: int, one: IntArray, other: IntArray) -> IntArray:
    """Return for each of `count` nodes the least node that edges connect it with.

    Every round hangs the greater root of each edge below the lesser one and shortens all paths,
    until no edge joins two roots.
    """
    labels = np.arange(count, dtype=np.int64)
    edges = np.unique(one * count + other)
    one, other = edges // max(count, 1), edges % max(count, 1)
    while len(one):
        low, high = np.minimum(labels[one], labels[other]), np.maximum(labels[one], labels[other])
        apart = low != high
        one, other, low, high = one[apart], other[apart], low[apart], high[apart]
        np.minimum.at(labels, high, low)
        while not np.array_equal(labels, labels[labels]):
            labels = labels[labels]
    return labels
