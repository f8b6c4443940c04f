"""The server tells what a program costs, and keeps none that costs more than it may."""

import pytest

from checklane.server.compiling import work
from checklane.snapshot.catalogue import CatalogueFeeds, build_catalogue
from checklane.v1 import program_pb2
from tests.program.samples import PROGRAM, write_program

SOUPS = 20


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    folder = tmp_path_factory.mktemp("catalogue")
    products = folder / "products.csv"
    rows = "".join(f"sku,soup-{n},SOUP\n" for n in range(SOUPS))
    products.write_text("code_kind,code,category\n" + rows)
    stores = folder / "stores.csv"
    stores.write_text("store_id\nS1\n")
    return build_catalogue(CatalogueFeeds([products], [stores]), folder / "snapshots").path


def worked(folder, catalogue, offers, program=PROGRAM):
    content, path = work(write_program(folder, offers, program), catalogue, folder / "data")
    return program_pb2.CheckProgramResponse.FromString(content), path


def offers_each(count):
    """Return `count` offers for each soup."""
    return "".join(
        f'- {{id: i{n}-{m}, discount: {{of: {{items: ["sku:soup-{n}"]}}, percent: {m + 1}}}}}\n'
        for n in range(SOUPS)
        for m in range(count)
    )


def test_candidates_are_counted_and_not_guessed(tmp_path, catalogue):
    response, path = worked(tmp_path, catalogue, offers_each(2))
    assert path is not None
    assert response.publishable
    cost = response.cost
    assert (cost.offer_count, cost.product_candidates_max, cost.basket_candidates_max) == (
        40,
        2,
        40,
    )
    assert cost.step_budget == 400_000
    assert cost.snapshot_bytes > 0


def test_candidates_of_a_basket_end_at_the_ceiling(tmp_path, catalogue):
    response, _ = worked(tmp_path, catalogue, offers_each(15))
    assert response.cost.basket_candidates_max == 256
    assert "cost.basket_candidates" in " ".join(found.message for found in response.findings)
    assert response.publishable


def test_a_program_past_its_budget_is_not_kept(tmp_path, catalogue):
    head = PROGRAM + "cost: {product_candidates: 2}\n"
    response, path = worked(tmp_path, catalogue, offers_each(3), head)
    assert path is None
    assert not response.publishable
    errors = [f for f in response.findings if f.severity == program_pb2.FINDING_SEVERITY_ERROR]
    lines = [found.line for found in errors]
    # The three offers of one soup, which stand together.
    assert (len(lines), lines[2] - lines[0], lines[0] % 3) == (3, 2, 1)
    assert {found.path for found in errors} == {"offers/offers.yaml"}
    assert response.cost.product_candidates_max == 3
