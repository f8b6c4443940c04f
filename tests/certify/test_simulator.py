"""The simulated till: the same seed, the same customers, and its sums are those of the journal."""

import random
from pathlib import Path

from checklane.certify.record import Journal
from checklane.certify.run import Session
from checklane.certify.shop import SHOP
from checklane.certify.simulator import COUNT_MAX, make_visit, serve_visits

VISITS = 60


def test_visits_are_of_their_seed_and_bounded() -> None:
    def drawn(seed: int) -> list[object]:
        chance = random.Random(seed)
        return [make_visit(chance, SHOP) for _ in range(1000)]

    visits = drawn(1)
    assert visits == drawn(1)
    assert visits != drawn(2)
    for visit in visits:
        assert 1 <= len(visit.lines) <= len(SHOP.products)
        assert len({product for product, _ in visit.lines}) == len(visit.lines)
        assert all(1 <= count <= COUNT_MAX for _, count in visit.lines)
        assert 0 <= visit.brings_back <= visit.lines[0][1]
        assert visit.is_totalled or not visit.is_suspended
        assert not (visit.is_voided and visit.brings_back)
    for course in ("has_card", "is_totalled", "is_suspended", "is_voided", "brings_back"):
        assert 0 < sum(bool(getattr(visit, course)) for visit in visits) < len(visits)


class Everyone(frozenset):
    def __contains__(self, till: object) -> bool:
        return True


def test_what_the_till_did_is_what_the_journal_has(session: Session, tmp_path: Path) -> None:
    assert isinstance(session.journal, Journal)
    session.journal.news(Everyone())
    tally = serve_visits(session.door.address, session.shop, VISITS, 1)
    entries = session.journal.news(Everyone())
    kinds = [entry.kind for entry in entries]
    assert tally.sales == VISITS
    assert [kinds.count(kind) for kind in (1, 2, 3, 5)] == [
        tally.sales, tally.voids, tally.returns, tally.totals,
    ]  # fmt: skip
    assert min(tally.voids, tally.returns, tally.totals) > 0
    assert sum(entry.due_minor for entry in entries if entry.kind in (1, 2, 3)) == tally.due_minor
