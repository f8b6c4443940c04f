"""Our own client passes every step; a lane that does a step wrong fails in that step."""

import contextlib
import itertools
import json
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TextIO

import grpc
import pytest

from checklane.certify.door import HOLD, LOSE, REFUSE, Fault
from checklane.certify.picture import BLOCK, picture_of, write_pictures
from checklane.certify.player import Player
from checklane.certify.run import (
    FAILED,
    PASSED,
    STEPS,
    Result,
    Session,
    play,
    steps_named,
    watch,
)
from checklane.certify.shop import SHOP
from checklane.certify.step import Phase, Step
from checklane.client import LaneStream, Policy
from checklane.errors import ChecklaneError
from checklane.v1 import checkout_pb2_grpc
from tests.server.serving import COMMAND, ROOT

PAGE = ROOT / "docs" / "integrating.md"
#: Where `make` installs what tests/conformance/node/package.json names.
NODE = ROOT / ".cache" / "npm" / "node_modules"
WITHIN_S = 300
#: Steps whose pictures would be too long to be read.
NOT_DRAWN = {"day"}


@pytest.fixture(scope="module")
def results(session: Session) -> dict[str, Result]:
    """Return what came of every step, played in order by our own client."""
    return {result.step.name: result for result in play(session, STEPS)}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_our_own_lane_passes(results: dict[str, Result], step: Step) -> None:
    result = results[step.name]
    assert (result.status, result.findings) == (PASSED, [])


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_broken_lane_fails(session: Session, step: Step) -> None:
    (result,) = play(session, [step], [step.name])
    assert result.status == FAILED
    assert result.findings


def test_the_pictures_of_the_page_are_of_this_run(results: dict[str, Result]) -> None:
    """`checklane certify --self --pictures docs/integrating.md` writes them anew."""
    drawn = dict(BLOCK.findall(PAGE.read_text()))
    assert set(drawn) == set(results) - NOT_DRAWN
    for name, text in drawn.items():
        assert text == picture_of(results[name]), name


def test_pictures_are_put_where_a_page_has_places(
    results: dict[str, Result], tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    assert write_pictures(page, [results["sale"], results["void"]]) == 2
    whole = page.read_text()
    page.write_text("before\n" + whole.replace("T1->>S", "old") + "after\n")
    assert write_pictures(page, [results["sale"]]) == 1
    mended = page.read_text()
    assert mended.startswith("before\n")
    assert mended.endswith("after\n")
    assert dict(BLOCK.findall(mended))["sale"] == picture_of(results["sale"])
    assert "old" in dict(BLOCK.findall(mended))["void"]


# ---- the door


def test_a_door_that_is_shut_refuses_connections_and_keeps_its_port(session: Session) -> None:
    session.door.shut()
    host, _, port = session.door.address.rpartition(":")
    with socket.socket() as probe:
        assert probe.connect_ex((host, int(port))) != 0
    session.door.open()
    with socket.create_connection((host, int(port)), timeout=WITHIN_S):
        pass


def test_every_kind_of_fault_is_told_by_the_record(session: Session, tmp_path: Path) -> None:
    player = Player(session.door.address, session.shop, tmp_path, is_broken=False)
    hurried = Policy(change_deadline_ms=2_000, change_budget_ms=60_000)
    fates = []
    for kind in (LOSE, REFUSE, HOLD):
        session.door.record.take()
        session.door.script(Fault("CommitTransaction", kind))
        player.pay(player.basket(1), policy=hurried)
        fates.append([exchange.fate for exchange in session.door.record.take()])
    session.door.script()
    player.close()
    assert [found[0] for found in fates] == ["lost", "turned away", "held"]
    assert all(found[-1] == "answered" for found in fates)


def test_refusals_pass_the_door_with_their_details(session: Session, tmp_path: Path) -> None:
    player = Player(session.door.address, session.shop, tmp_path, is_broken=False)
    with pytest.raises(ChecklaneError) as caught:
        player.lane().quote(player.basket())
    player.close()
    assert caught.value.reason == "LINES_EMPTY"
    with grpc.insecure_channel(session.door.address) as channel:
        health = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert health(b"", timeout=WITHIN_S) == b"\x08\x01"


def test_lane_streams_pass_the_door_call_by_call(session: Session, tmp_path: Path) -> None:
    """An answer that is lost breaks its stream; the key gets the first answer in another one."""
    player = Player(session.door.address, session.shop, tmp_path, is_broken=False)
    requests, basket = player.lane().requests, player.basket(2)
    quote = requests.quote(basket, False, None).request
    sale = requests.commit(
        basket, sequence=1, date=player.date, key="streamed", shown=None, total=None, paid=False,
        refuse_on_change=False,
    ).request  # fmt: skip
    session.door.record.take()
    session.door.script(Fault("CommitTransaction", LOSE))
    stream = LaneStream(session.door.address)
    assert stream.send("quote_basket", quote).result(WITHIN_S).decision.totals.due_minor == 398
    with pytest.raises(ChecklaneError):
        stream.send("commit_transaction", sale).result(WITHIN_S)
    stream.close()
    with LaneStream(session.door.address) as again:
        posted = again.send("commit_transaction", sale).result(WITHIN_S)
    player.close()
    seen = session.door.record.take()
    assert [(each.method, each.stream, each.fate) for each in seen] == [
        ("QuoteBasket", "StreamLane", "answered"),
        ("CommitTransaction", "StreamLane", "lost"),
        ("CommitTransaction", "StreamLane", "answered"),
    ]
    assert seen[1].answer == seen[2].answer == posted


# ---- somebody else's lane


class Cashier:
    """Does what steps say, with a lane that is not the steps' own."""

    def __init__(self, session: Session, folder: Path, *, is_broken: bool) -> None:
        self._session, self._folder, self._is_broken = session, folder, is_broken
        self._player: Player | None = None

    def act(self, step: Step, number: int, phase: Phase) -> None:
        if number == 0:
            self.close()
            self._player = Player(
                self._session.door.address,
                self._session.shop,
                self._folder,
                is_broken=self._is_broken,
            )
        assert self._player is not None
        step.play(self._player, number)

    def close(self) -> None:
        if self._player is not None:
            self._player.close()


@pytest.mark.parametrize("is_broken", [False, True])
def test_lanes_of_others_are_judged_by_wire_and_journal_alone(
    session: Session, tmp_path: Path, is_broken: bool
) -> None:
    names = ["lost-answer", "draining", "suspend", "void-unseen", "outage"]
    cashier = Cashier(session, tmp_path, is_broken=is_broken)
    found = list(watch(session, steps_named(names), cashier.act))
    cashier.close()
    assert [result.step.name for result in found] == names
    assert {result.status for result in found} == {FAILED if is_broken else PASSED}


class NaiveLane:
    """A lane by somebody who read only half of the contract: raw calls, no deadline, one key."""

    def __init__(self, session: Session, folder: Path) -> None:
        self._session = session
        self._player = Player(session.door.address, session.shop, folder, is_broken=False)

    def act_once(self, step: Step, number: int, phase: Phase) -> None:
        if number > 0:
            return
        with grpc.insecure_channel(self._session.door.address) as channel:
            stub = checkout_pb2_grpc.CheckoutServiceStub(channel)
            for sequence in (1, 2, 4):
                request = self._player.lane().requests.commit(
                    self._player.basket(sequence), sequence=sequence, date=self._player.date,
                    key="the-key", shown=None, total=None, paid=False, refuse_on_change=False,
                ).request  # fmt: skip
                with contextlib.suppress(grpc.RpcError):
                    stub.CommitTransaction(request)
        self._player.close()


def test_what_a_naive_lane_is_told(session: Session, tmp_path: Path) -> None:
    lane = NaiveLane(session, tmp_path)
    (found,) = watch(session, steps_named(["outage"]), lane.act_once)
    told = "\n".join(found.findings)
    for words in (
        "CommitTransaction has no deadline",
        "came twice with one key and different content",
        "one key was used for two receipts",
        "was tried and never entered",
        "never sent receipt 3",
    ):
        assert words in told


class NodeLane:
    """The lane of the page in Node, which sells under the number that it is given."""

    def __init__(self, session: Session, folder: Path) -> None:
        assert NODE.is_dir(), "the packages of npm are missing: `make test` brings them"
        (folder / "node_modules").symlink_to(NODE)
        (folder / "proto").symlink_to(ROOT / "proto")
        (code,) = re.findall(r"^```js\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
        self._code = code.replace("127.0.0.1:7072", session.door.address)
        self._folder = folder
        self._sales = itertools.count(1)

    def act(self, step: Step, number: int, phase: Phase) -> None:
        sale = next(self._sales)
        code = self._code.replace("sequence: 1", f"sequence: {sale}")
        code = code.replace("till-3/2026-03-02/1", f"till-3/2026-03-02/{sale}")
        done = subprocess.run(
            ["node", "--input-type=module", "-e", code],
            cwd=self._folder, capture_output=True, text=True, timeout=WITHIN_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


def test_the_lane_of_the_page_in_node_passes(session: Session, tmp_path: Path) -> None:
    lane = NodeLane(session, tmp_path)
    found = list(watch(session, steps_named(["sale", "lost-answer", "draining"]), lane.act))
    assert [result.findings for result in found] == [[], [], []]
    # A lane that sells under a number that it has used is told so.
    lane._sales = itertools.count(1)
    (again,) = watch(session, steps_named(["sale"]), lane.act)
    assert "take a new number and a new key for each sale" in "".join(again.findings)


def test_steps_about_the_service_are_not_asked_of_lanes(session: Session) -> None:
    names = [step.name for step in STEPS if not step.is_for_lanes]
    assert set(names) == {"duplicate", "same-receipt", "changed", "day"}
    assert list(watch(session, steps_named(names), lambda *asked: None)) == []


# ---- the commands


def run_certify(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, "certify", *arguments], capture_output=True, text=True, timeout=WITHIN_S
    )


def test_the_command_against_a_target_says_what_to_mend(session: Session, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    done = run_certify(
        "--target", session.door.address, "--step", "lost-answer", "--step", "void",
        "--break", "void", "--json", "-", "--pictures", str(page),
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert report["passed"] is False
    assert [step["status"] for step in report["steps"]] == [PASSED, FAILED]
    assert [call["fate"] for call in report["steps"][0]["calls"]] == ["lost", "answered"]
    assert "FAIL  void" in done.stderr
    assert "mend: the void found no sale" in done.stderr
    assert [name for name, _ in BLOCK.findall(page.read_text())] == ["lost-answer", "void"]
    unknown = run_certify("--target", session.door.address, "--step", "nothing")
    assert unknown.returncode == 1
    assert "there is no step 'nothing'" in unknown.stderr


def test_the_command_plays_the_service_to_a_lane(tmp_path: Path) -> None:
    """A till that gives up when the service drains is told so; a step may be passed over."""
    command = [*COMMAND, "certify", "serve", "--listen", "127.0.0.1:0"]
    served = subprocess.Popen(
        [*command, "--step", "sale", "--step", "draining"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sys.stderr, text=True,
    )  # fmt: skip
    assert served.stdin is not None
    assert served.stdout is not None
    watchdog = threading.Timer(WITHIN_S, served.kill)
    watchdog.start()
    said = read_until(served.stdout, "Enter when")
    address = said.split("Your lane calls ")[1].split(",")[0]
    served.stdin.write("skip\n")
    served.stdin.flush()
    said += read_until(served.stdout, "Enter when")
    player = Player(address, SHOP, tmp_path, is_broken=True)
    steps_named(["draining"])[0].play(player, 0)
    player.close()
    served.stdin.write("\n")
    served.stdin.close()
    said += served.stdout.read()
    assert served.wait(WITHIN_S) == 1
    watchdog.cancel()
    assert "why: passed over at the till" in said
    assert "FAIL  draining" in said
    assert "tried and never entered" in said


def read_until(stream: TextIO, words: str) -> str:
    said = ""
    while words not in said:
        line = stream.readline()
        assert line, said
        said += line
    return said


def test_each_step_says_what_it_is() -> None:
    names = [step.name for step in STEPS]
    assert len(names) == len(set(names))
    listed = run_certify("steps").stdout
    for step in STEPS:
        assert step.title in listed
        assert step.broken in listed
        assert all(phase.say.endswith(".") for phase in step.phases)
