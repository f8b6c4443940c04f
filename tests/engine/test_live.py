"""What is live: activation under load, stops, what is refused, and the end of an engine."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from checklane._engine import METHODS, EngineError
from checklane.v1 import program_pb2
from tests.engine.shop import NAMES, WIDE, Shop, basket, open_engine

QUOTE = "CheckoutService.QuoteBasket"
COMMIT = "CheckoutService.CommitTransaction"


def content(path):
    return bytes.fromhex(path.stem.rpartition("-")[2])


def refusal(call, *arguments):
    with pytest.raises(EngineError) as caught:
        call(*arguments)
    return NAMES[caught.value.status]


def test_without_a_program(built, tmp_path):
    shutil.copytree(built.data, tmp_path / "data")
    engine = open_engine(tmp_path / "data")
    try:
        for number in METHODS.values():
            assert NAMES[engine.call(number, b"")[0]] == "PROGRAM_MISSING"
        assert NAMES[engine.call(0, b"")[0]] == "METHOD_UNKNOWN"
        assert engine.stats() == {}
        assert refusal(engine.read_entries, 1, 1, 1) == "PROGRAM_MISSING"
        assert refusal(engine.checkpoint) == "PROGRAM_MISSING"
        for paths in (
            (None, None, str(built.members)),
            (str(built.program), None, None),
            (None, str(built.catalogue), None),
        ):
            assert refusal(engine.activate, *paths) == "PROGRAM_MISSING"
        wrong = (str(built.program), str(built.other_catalogue), None)
        assert refusal(engine.activate, *wrong) == "SNAPSHOT_MISMATCH"
        assert engine.stats() == {}
        assert refusal(open_engine, tmp_path / "data") == "DATA_DIRECTORY_BUSY"
        engine.activate(str(built.program), str(built.catalogue), None)
        assert NAMES[engine.call(2, b"")[0]] != "PROGRAM_MISSING"
    finally:
        engine.close()


def test_a_first_activation_that_fails_leaves_the_way_free(built, tmp_path):
    """The journal is of the first program. Another one is refused, and then the first goes live."""
    shop = Shop(built, tmp_path)
    sale = shop.sale(basket((100, 1, 1000), member="ben"))
    first = shop.call(COMMIT, sale)
    shop.stop("plain")
    shop.engine.close()
    shop.engine = open_engine(shop.data)
    try:
        stranger = (built.stranger, built.catalogue, built.members)
        assert refusal(shop.activate, *stranger) == "JOURNAL_MISMATCH"
        assert shop.engine.stats() == {}
        assert NAMES[shop.engine.call(2, b"")[0]] == "PROGRAM_MISSING"
        shop.activate(built.program, built.catalogue, built.members)
        assert shop.call(COMMIT, sale) == first
        assert shop.quote(basket((100, 1, 1000))).totals.discount_minor == 0
    finally:
        shop.engine.close()


def test_what_is_live_stays_when_an_activation_is_refused(shop):
    built = shop.built
    wanted = basket((100, 1, 1000))
    before = shop.call(QUOTE, shop.quote_request(wanted))
    lsn = shop.lsn
    for paths in (
        (None, built.other_catalogue, None),
        (built.stranger, None, None),
        (built.snapshots / f"program-{'0' * 32}.lmdb", None, None),
    ):
        with pytest.raises(EngineError):
            shop.activate(*paths)
        assert shop.call(QUOTE, shop.quote_request(wanted)) == before
    with pytest.raises(ValueError, match="32 digits"):
        shop.activate(built.snapshots / "program-00.lmdb")
    assert shop.lsn == lsn
    shop.activate(built.cheaper)
    assert shop.quote(wanted).totals.discount_minor == 200
    assert shop.lsn == lsn + 1


def test_swaps_under_load(shop):
    built = shop.built
    discounts = {content(built.program): 100, content(built.cheaper): 200}
    is_over = threading.Event()
    seen = set()

    def till(number):
        count = 0
        while not is_over.is_set() or count < 20:
            count += 1
            if count % 3 == 0:
                decision = shop.commit(shop.sale(basket((100, 1, 1000), member="ben"))).decision
            else:
                decision = shop.quote(basket((100, 1, 1000), member="ben"))
            assert decision.totals.discount_minor == discounts[decision.basis.program_hash]
            seen.add(decision.basis.program_hash)
        return number

    with ThreadPoolExecutor(8) as threads:
        tills = [threads.submit(till, number) for number in range(8)]
        for number in range(40):
            shop.activate(built.cheaper if number % 2 else built.program)
            shop.stop("pick", resume=bool(number % 2))
        is_over.set()
        assert [one.result(60) for one in tills] == list(range(8))
    assert seen == set(discounts)


def test_stops_and_swaps_do_not_wait_for_each_other(shop):
    """A call that stops an offer holds what was live; a swap waits for that call."""
    built = shop.built

    def stopper(offer):
        for number in range(60):
            shop.stop(offer, resume=bool(number % 2))

    def swapper():
        for number in range(60):
            shop.activate(built.cheaper if number % 2 else built.program)

    work = [lambda o=offer: stopper(o) for offer in ("plain", "gift", "pick")] + [swapper]
    threads = [threading.Thread(target=part, daemon=True) for part in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not [thread for thread in threads if thread.is_alive()]


def test_a_stopped_offer_rests_until_it_is_resumed(shop):
    wanted = basket((100, 1, 1000))
    shop.stop("plain")
    shop.stop("plain")
    for _ in range(2):
        decision = shop.quote(wanted)
        assert decision.totals.discount_minor == 0
        assert {e.offer_id: e.outcome for e in decision.explanations}["plain"] == 4
        shop.reopen()
    shop.stop("plain", resume=True)
    for _ in range(2):
        assert shop.quote(wanted).totals.discount_minor == 100
        shop.reopen()


def test_1024_offers_can_be_stopped(built, tmp_path, refused):
    shop = Shop(built, tmp_path, program=built.wide)
    try:
        with ThreadPoolExecutor(16) as threads:
            list(threads.map(shop.stop, WIDE[:1024]))
        lsn = shop.lsn
        assert refused(shop.stop, "plain") == "TOO_MANY_ITEMS"
        assert shop.lsn == lsn
        shop.stop(WIDE[0])  # stopped already
        shop.stop(WIDE[0], resume=True)
        shop.stop("plain")
        assert shop.quote(basket((100, 1, 1000))).totals.discount_minor == 0
        assert refused(shop.stop, WIDE[0]) == "TOO_MANY_ITEMS"
    finally:
        shop.engine.close()


def test_closing_while_calls_run(built, tmp_path):
    """Each call is answered or told that the engine is closed; what was answered is there."""
    for turn in range(5):
        shop = Shop(built, tmp_path / str(turn), sessions=2)
        sales = [shop.sale(basket((100, 1, 1000), member="ben")) for _ in range(400)]
        is_begun = threading.Event()

        def sell(sale, shop=shop, is_begun=is_begun):
            try:
                status, answer = shop.raw(COMMIT, sale)
            except EngineError as error:
                status, answer = error.status, b""
            is_begun.set()
            return status, answer

        with ThreadPoolExecutor(8) as threads:
            answers = [threads.submit(sell, sale) for sale in sales]
            is_begun.wait(60)
            shop.engine.close()
            shop.engine.close()
            results = [answer.result(60) for answer in answers]
        assert {NAMES[status] for status, _ in results} <= {"OK", "ENGINE_CLOSED"}
        assert refusal(shop.engine.stats) == "ENGINE_CLOSED"
        shop.engine = open_engine(shop.data)
        shop.activate(built.program, built.catalogue, built.members)
        known = [answer for status, answer in results if status == 0]
        assert shop.balance("ben")[0] == 90 * len(known)
        for (status, answer), sale in zip(results, sales, strict=True):
            if status == 0:
                assert shop.raw(COMMIT, sale) == (0, answer)
        shop.engine.close()


def test_entries_can_be_read_while_sales_go_on(shop):
    first = shop.lsn + 1
    sales = [shop.sale(basket((100, 1, 1000))) for _ in range(60)]
    with ThreadPoolExecutor(4) as threads:
        work = [threads.submit(shop.commit, sale) for sale in sales]
        read = []
        while len(read) < len(sales):
            read += shop.engine.read_entries(first + len(read), 16, 1 << 20)
        answers = [one.result() for one in work]
    assert len(read) == len(sales)
    for answer in answers:
        entry = read[answer.posting.lsn - first]
        assert answer.SerializeToString(deterministic=True) in entry
    assert refusal(shop.engine.read_entries, shop.lsn + 2, 1, 1) == "LSN_NOT_KEPT"


def test_a_repeated_stop_does_not_stop_again(shared):
    request = program_pb2.StopOfferRequest(context=shared.context(), offer_id="pick")
    first = shared.call("ProgramService.StopOffer", request)
    shared.stop("pick", resume=True)
    # The repeat of the stop is answered, and does not stop again.
    assert shared.call("ProgramService.StopOffer", request) == first
    chosen = basket((100, 1, 1000))
    chosen.selections.add(offer_id="pick")
    explained = {e.offer_id: e.outcome for e in shared.quote(chosen).explanations}
    assert explained["pick"] != 4
