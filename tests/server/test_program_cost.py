"""The server tells what a program costs, and keeps none that costs more than it may."""

import pytest

from checklane.config import Settings
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


def worked(folder, catalogue, offers, program=PROGRAM, **settings):
    written = write_program(folder, offers, program)
    content, path = work(written, catalogue, folder / "data", Settings.model_validate(settings))
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


def test_a_basket_that_the_lanes_refuse_is_not_kept(tmp_path, catalogue):
    response, path = worked(tmp_path, catalogue, offers_each(15))
    assert response.cost.basket_candidates_max == 256
    assert "cost.basket_candidates" in " ".join(found.message for found in response.findings)
    assert path is None


def test_a_program_past_the_lanes_time_is_not_kept(tmp_path, catalogue):
    dear = PROGRAM + "policies: {step_budget: 2000000}\n"
    response, path = worked(tmp_path / "dear", catalogue, offers_each(2), dear)
    assert path is None
    assert response.cost.decision_us > 4_000
    error = response.findings[0]
    assert error.message.startswith("cost.decision_us: deciding 40 lines may take 4,")
    assert error.remedy.startswith("lower policies.step_budget to ")
    named = {found.offer_id for found in response.findings}
    assert named == {found.offer_id for found in response.cost.costly_offers}
    assert {found.product_count for found in response.cost.costly_offers} == {1}
    usual, path = worked(tmp_path / "usual", catalogue, offers_each(2))
    assert path is not None
    limit = usual.cost.decision_us - 1
    _, path = worked(tmp_path / "slow", catalogue, offers_each(2), program_decision_us=limit)
    assert path is None
    own = PROGRAM + f"cost: {{decision_us: {limit + 1}}}\n"
    _, path = worked(tmp_path / "own", catalogue, offers_each(2), own, program_decision_us=1)
    assert path is not None


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
