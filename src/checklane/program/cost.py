"""What a program costs at worst, from its tables alone.

Everything is counted over classes of products, never over products, so a million products cost no
more than the few thousand classes that they fall into. Measuring is elsewhere: :mod:`worst` builds
the baskets that come near these figures.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from checklane import _layout
from checklane.program.codes import code_text
from checklane.program.compile import Compiled, array_of
from checklane.program.components import Reach, components_of, reach_of, steps_of
from checklane.program.lane_budget import Work
from checklane.program.model import CostBudget
from checklane.program.scenes import GATES, Scene, Scenery
from checklane.tables.catalogue_tables import CatalogueTables
from checklane.tables.open_addressing import IntArray

LAYERS = {
    _layout.LAYER_ITEM: "item",
    _layout.LAYER_BASKET: "basket",
    _layout.LAYER_TENDER: "tender",
    _layout.LAYER_EARN: "earn",
}
#: Components that are told one by one, and offers of each that are named.
COMPONENTS_TOLD = 5
NAMES_TOLD = 10
#: An offer in the list of a class of products: the number of its slot.
POSTING_BYTES = 4
#: Offers of classes whose scenes are looked at one by one before the rest is only bounded: about a
#: second. A look costs as much as `LOOK_COST` offers by itself.
OFFERS_LOOKED_AT = 2_000_000
LOOK_COST = 200


@dataclass(frozen=True)
class ProductCost:
    """The product for which most offers stand in line.

    Attributes
    ----------
    candidates : int
        Offers that can compete for it at one time for one customer.
    at_most : int
        No product has more.
    product : int
        Its number in the catalogue; -1: any product, known or not.
    code : str
        Its code; empty without a product.
    products : int
        Products for which the same offers stand in line.
    offers : list of str
    """

    candidates: int
    at_most: int
    product: int
    code: str
    products: int
    offers: list[str]


@dataclass(frozen=True)
class BasketCost:
    """The basket that most offers touch.

    Attributes
    ----------
    lines : int
        Different products that it may have.
    candidates : int
        Offers that a basket built for it has.
    at_most : int
        No basket of so many lines has more.
    ceiling_lines : int
        Lines after which the built basket is past the engine's ceiling; 0: it never is.
    offers : list of str
        The widest that can meet in it.
    """

    lines: int
    candidates: int
    at_most: int
    ceiling_lines: int
    offers: list[str]


@dataclass(frozen=True)
class ComponentCost:
    """Offers of one layer and class that can compete for the same products, or through others.

    Attributes
    ----------
    layer : str
    class_order : int
    offers : int
    at_once : int
        Those that can meet: at one time, in one store, for one customer.
    products : int
        Products that they want; -1: every product.
    names : list of str
        The first of those that can meet, widest first.
    """

    layer: str
    class_order: int
    offers: int
    at_once: int
    products: int
    names: list[str]


@dataclass(frozen=True)
class Cost:
    """What a program costs the engine at worst.

    Attributes
    ----------
    offers, slots, classes, postings, table_bytes : int
    step_budget : int
        Steps after which a decision is bounded.
    decision : Work
        Of the dearest basket.
    decision_us : int
        How long that takes.
    product : ProductCost
    basket : BasketCost
    competing : int
        Offers that compete with another one.
    component_count : int
        Components of two offers and more.
    components : list of ComponentCost
        The largest, largest first.
    largest : list of str
        Offers whose products, rows and coupons take most of the tables, largest first.
    """

    offers: int
    slots: int
    classes: int
    postings: int
    table_bytes: int
    step_budget: int
    decision: Work
    decision_us: int
    product: ProductCost
    basket: BasketCost
    competing: int
    component_count: int
    components: list[ComponentCost]
    largest: list[str]

    @property
    def costliest(self) -> list[str]:
        """The offers that make decisions dear, widest first."""
        names = self.components[0].names if self.components else self.product.offers
        return names[:NAMES_TOLD]


@dataclass(frozen=True)
class Spot:
    """Where a program is dear: a scene and classes of products, dearest first.

    Attributes
    ----------
    name : str
    scene : Scene
    classes : numpy.ndarray of int64
    """

    name: str
    scene: Scene
    classes: IntArray


class Analysis:
    """The worst of a compiled program.

    Parameters
    ----------
    compiled : Compiled
    ids : sequence of str
        Of the offers, by their numbers in the tables.
    budget : CostBudget
        Says how large a basket and a wallet may be.
    catalogue : CatalogueTables
        That it was compiled against.
    """

    def __init__(
        self,
        compiled: Compiled,
        ids: Sequence[str],
        budget: CostBudget,
        catalogue: CatalogueTables,
    ) -> None:
        self._compiled = compiled
        self._budget = budget
        self.ids = ids
        self.reach: Reach = reach_of(compiled.tables)
        self.scenery = Scenery(compiled.tables, len(catalogue.stores), budget.wallet_offers)
        self._codes = catalogue.products["code"]
        self._everywhere = self.scenery.worst(self.reach.universal)
        self._steps = steps_of(self.scenery.offers)
        self._labels = components_of(self.reach, self._steps)
        self.spots: list[Spot] = []
        self.cost = self._cost()

    def _cost(self) -> Cost:
        tables = self._compiled.tables
        counts = {name: len(array_of(table)) for name, table in tables.items()}
        sizes = np.bincount(self._labels[self._labels >= 0], minlength=self.scenery.count)
        step_budget = int(array_of(tables["header"])[0]["step_budget"])
        product, basket = self._product(), self._basket()
        decision = self._dearest(product, basket, step_budget)
        return Cost(
            offers=counts["offers"],
            slots=counts["slots"],
            classes=counts["classes"],
            postings=counts["postings"],
            table_bytes=self._compiled.table_bytes,
            step_budget=step_budget,
            decision=decision,
            decision_us=decision.time_us,
            product=product,
            basket=basket,
            competing=int(sizes[sizes > 1].sum()),
            component_count=int((sizes > 1).sum()),
            components=self._components(sizes),
            largest=self._largest(),
        )

    def _dearest(self, product: ProductCost, basket: BasketCost, step_budget: int) -> Work:
        """Return the work of a basket in which every line is the worst product and no step left."""
        candidates = min(basket.candidates, _layout.CANDIDATES_MAX)
        steps = step_budget + _layout.STEPS_BEYOND if candidates > 0 else 0
        return Work(basket.lines, candidates, product.candidates, self._stacked(), steps)

    def _stacked(self) -> int:
        """Return how many offers that stack can meet at the product that most of them want."""
        stacks = (self.scenery.offers["flags"] & _layout.OFFER_FLAG_STACKABLE) != 0
        universal = self.reach.universal[stacks[self.reach.universal]]
        own = stacks[self.reach.offers]
        offers = self.reach.offers[own]
        if len(offers):
            counts = np.bincount(self.reach.classes[own], minlength=len(self.reach.sizes))
            offers = offers[self.reach.classes[own] == np.argmax(counts * (self.reach.sizes > 0))]
        return self.scenery.worst(np.concatenate([offers, universal])).count

    def _largest(self) -> list[str]:
        """Return the offers that take most bytes: of lists of products, rows and coupons."""
        rows, coupons = (array_of(self._compiled.tables[name]) for name in ("rows", "coupons"))
        sizes = np.zeros(self.scenery.count, dtype=np.int64)
        for offers, each_bytes in (
            (self.reach.offers, POSTING_BYTES),
            (rows["offer"][rows["product"] != _layout.NONE_32], rows.itemsize),
            (coupons["offer"][coupons["coupon_key"] != 0], coupons.itemsize),
        ):
            sizes += np.bincount(offers, minlength=self.scenery.count) * each_bytes
        order = np.argsort(-sizes, kind="stable")[:NAMES_TOLD]
        return [self.ids[number] for number in order]

    def names(self, numbers: IntArray) -> list[str]:
        """Return the ids of offers, those that reach most products first."""
        ids = [self.ids[number] for number in numbers]
        reach = self._compiled.reach
        everything = len(array_of(self._compiled.tables["class_of_product"])) + 1
        return sorted(
            ids, key=lambda name: (-(reach[name] if reach[name] >= 0 else everything), name)
        )

    # ---------------------------------------------------------------- a product -----------------

    def _own_bounds(self) -> IntArray:
        """Return for each class how many of its own offers compete at most, whatever the scene."""
        gates = self.scenery.gates
        keys = self.reach.classes * GATES + gates[self.reach.offers]
        counts = np.bincount(keys, minlength=len(self.reach.sizes) * GATES).reshape(-1, GATES)
        return self.scenery.bound(counts).astype(np.int64)

    def _product(self) -> ProductCost:
        """Look at classes from the greatest bound down, until no bound is above what was found."""
        bounds = self._own_bounds() + self._everywhere.at_most
        held = np.flatnonzero(self.reach.sizes > 0) if len(self.reach.sizes) else np.arange(0)
        order = held[np.argsort(-bounds[held], kind="stable")]
        best, best_class = self._everywhere, -1
        at_most, looked_at = best.at_most, 0
        for number in order:
            if bounds[number] <= best.count:
                break
            offers = self.reach.of_class(int(number))
            looked_at += LOOK_COST + len(offers)
            if looked_at > OFFERS_LOOKED_AT:
                at_most = max(at_most, int(bounds[number]))
                break
            scene = self.scenery.worst(offers)
            at_most = max(at_most, scene.at_most)
            if scene.count > best.count:
                best, best_class = scene, int(number)
        product, code, products = -1, "", 0
        classes = order[:1]
        if best_class >= 0:
            of_product = array_of(self._compiled.tables["class_of_product"])
            product = int(np.argmax(of_product == best_class))
            code = code_text(int(self._codes[product]))
            products = int(self.reach.sizes[best_class])
            classes = self._neighbours(best_class, best)
        self.spots.append(Spot("product", best, classes))
        return ProductCost(best.count, at_most, product, code, products, self.names(best.offers))

    def _neighbours(self, number: int, scene: Scene) -> IntArray:
        """Return a class, then the classes that share most of its offers."""
        weights = self._weights(scene.offers)
        weights[number] = self.scenery.count + 1
        return _heaviest(weights)

    def _weights(self, offers: IntArray) -> IntArray:
        """Return how many of some offers want each class of products."""
        chosen = np.zeros(self.scenery.count, dtype=bool)
        chosen[offers] = True
        pairs = self.reach.classes[chosen[self.reach.offers]]
        weights = np.bincount(pairs, minlength=len(self.reach.sizes)).astype(np.int64)
        weights[self.reach.sizes == 0] = 0
        return weights

    # ---------------------------------------------------------------- a basket ------------------

    def _basket(self) -> BasketCost:
        """Build a basket line by line, each for the class that brings most new offers."""
        wanted = np.unique(np.concatenate([self.reach.offers, self.reach.universal]))
        lines = self._budget.basket_lines
        if len(wanted) == 0:
            return BasketCost(lines, 0, 0, 0, [])
        scene = self.scenery.worst(wanted)
        classes, counts = self._spread(scene)
        ceiling = int(np.searchsorted(counts, _layout.CANDIDATES_MAX, side="right"))
        bounds = np.sort(self._own_bounds()[self.reach.sizes > 0])[::-1]
        at_most = min(scene.at_most, self._everywhere.at_most + int(bounds[:lines].sum()))
        self.spots.append(Spot("spread", scene, classes))
        return BasketCost(
            lines=lines,
            candidates=int(counts[min(lines, len(counts) - 1)]),
            at_most=at_most,
            ceiling_lines=ceiling if ceiling < len(counts) else 0,
            offers=self.names(scene.offers)[:NAMES_TOLD],
        )

    def _spread(self, scene: Scene) -> tuple[IntArray, IntArray]:
        """Return classes in the order of the basket, and its candidates after each line, from 0."""
        gates, caps = self.scenery.gates, self.scenery.caps
        present = np.zeros(self.scenery.count, dtype=bool)
        present[scene.offers] = True
        everywhere = self.reach.universal[present[self.reach.universal]]
        seen = self.scenery.counts_by_gate(everywhere)
        counts = [int(self.scenery.bound(seen))]
        weights = self._weights(scene.offers)
        queue = [(-int(weights[n]), int(n)) for n in np.flatnonzero(weights)]
        heapq.heapify(queue)
        chosen: list[int] = []
        while queue and len(chosen) < _layout.BASKET_LINES_MAX:
            promised, number = heapq.heappop(queue)
            own = self.reach.offers[self.reach.first[number] : self.reach.first[number + 1]]
            own = own[present[own]]
            fresh = np.bincount(gates[own], minlength=GATES)
            gain = int((np.minimum(seen + fresh, caps) - np.minimum(seen, caps)).sum())
            if gain == 0:
                continue
            # What a class brings only falls; the first whose promise holds brings most.
            if queue and gain < -queue[0][0] and gain < -promised:
                heapq.heappush(queue, (-gain, number))
                continue
            chosen.append(number)
            seen = seen + fresh
            present[own] = False
            counts.append(int(self.scenery.bound(seen)))
        return np.array(chosen, dtype=np.int64), np.array(counts, dtype=np.int64)

    # ---------------------------------------------------------------- components ----------------

    def _components(self, sizes: IntArray) -> list[ComponentCost]:
        """Tell the largest components."""
        found = []
        for label in np.argsort(-sizes, kind="stable")[:COMPONENTS_TOLD]:
            if sizes[label] < 2:
                break
            members = np.flatnonzero(self._labels == label)
            scene = self.scenery.worst(members)
            weights = self._weights(members)
            is_wide = bool(np.isin(members, self.reach.universal).any())
            products = -1 if is_wide else int(self.reach.sizes[weights > 0].sum())
            offer = self.scenery.offers[label]
            self.spots.append(
                Spot(
                    f"component of {self.ids[label]}", scene, _heaviest(self._weights(scene.offers))
                )
            )
            found.append(
                ComponentCost(
                    LAYERS[int(offer["layer"])],
                    int(offer["class_order"]),
                    len(members),
                    scene.count,
                    products,
                    self.names(scene.offers)[:NAMES_TOLD],
                )
            )
        return found


def _heaviest(weights: IntArray) -> IntArray:
    """Return the classes of a weight, heaviest first, as many as a basket has lines."""
    order = np.argsort(-weights, kind="stable")[: _layout.BASKET_LINES_MAX]
    return np.asarray(order[weights[order] > 0], dtype=np.int64)
