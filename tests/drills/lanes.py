"""The process that is killed: one engine, 64 lanes that commit, and a note of every answer.

``python -m tests.drills.lanes WORLD ANSWERS LANES`` loads everything once and then, for every
line on its standard input, forks a child that opens the data directory and commits until it is
killed; it prints the child's process id, and when that has ended how it did. The fork spares a
second of imports a round; nothing but the engine's loading happens before it.

Every lane sends its sales in order and each again until it has an answer, as a lane does: a child
goes on where the answers end. At first it sends the last answered sale of each lane once more.
"""

import os
import pickle
import struct
import sys
import threading
from hashlib import blake2b
from pathlib import Path
from random import Random

from checklane._engine import METHODS, Engine
from checklane.bench.loop import Lane
from checklane.bench.world import World
from checklane.clock import SYSTEM_CLOCK

DIGEST_BYTES = 24
#: An answer: lane, number of the sale, digest of the response. Written by one call, and of a length
#: that lets none straddle two pages: a kill between the two would leave half an answer behind.
ANSWER = struct.Struct(f"<II{DIGEST_BYTES}s")
#: Number of a lane in an answer that says that a repeat got another one.
WRONG = 0xFFFFFFFF
COMMIT = METHODS["CheckoutService.CommitTransaction"]
#: Of so many lives one takes a checkpoint before it commits, and one while it does. A late kill
#: finds the first finished; the second is mostly under way.
CHECKPOINT_ODDS = 4


def read_answers(path: Path) -> dict[int, list[bytes]]:
    """Return by lane the digests of its answers, the first sale's first."""
    found: dict[int, list[bytes]] = {}
    content = path.read_bytes()
    for at in range(0, len(content) // ANSWER.size * ANSWER.size, ANSWER.size):
        lane, number, digest = ANSWER.unpack_from(content, at)
        assert lane != WRONG, f"sale {number} was answered otherwise when it came again"
        answers = found.setdefault(lane, [])
        assert number == len(answers) + 1
        answers.append(digest)
    return found


def open_engine(world: World, sessions: int) -> Engine:
    """Open the engine on a world and make its usual program live, as a restart does."""
    engine = Engine(
        str(world.data),
        sessions=sessions,
        checkpoint_pause_ms=1,
        node=0,
        partition=0,
        identity_key=world.keys.identity,
        hold_out_key=world.keys.hold_out,
    )
    engine.activate(str(world.usual), str(world.catalogue), str(world.members), is_recorded=False)
    return engine


def requests_of(goods: list, lane: int, lanes: int, from_number: int):
    """Yield the sales of one lane from a number on: always the same for the same number."""
    share = goods[lane::lanes]
    for number, (request, _) in enumerate(Lane("commit", share, lane, 0.0).requests(), start=1):
        if number >= from_number:
            yield number, request


def serve_lane(engine: Engine, goods: list, lane: int, lanes: int, answered: list, file: int):
    """Commit until the end, each sale until it is answered; the last answered one comes again."""
    last = len(answered)
    for number, request in requests_of(goods, lane, lanes, max(last, 1)):
        status, response = engine.call(COMMIT, request)
        while status != 0:
            SYSTEM_CLOCK.sleep(0.001)
            status, response = engine.call(COMMIT, request)
        digest = blake2b(response, digest_size=DIGEST_BYTES).digest()
        if number > last:
            os.write(file, ANSWER.pack(lane, number, digest))
        elif digest != answered[number - 1]:
            os.write(file, ANSWER.pack(WRONG, number, digest))


def live(world: World, goods: list, answers: Path, lanes: int, seed: int) -> None:
    """Be one life: open, then commit on all lanes until killed."""
    answered = read_answers(answers)
    file = os.open(answers, os.O_WRONLY | os.O_APPEND)
    engine = open_engine(world, lanes + 2)
    checkpoint = Random(seed).randrange(CHECKPOINT_ODDS)
    if checkpoint == 0:
        engine.checkpoint()
    threads = [
        threading.Thread(
            target=serve_lane,
            args=(engine, goods, lane, lanes, answered.get(lane, []), file),
            daemon=True,
        )
        for lane in range(lanes)
    ]
    for thread in threads:
        thread.start()
    if checkpoint == 1:
        engine.checkpoint()
    for thread in threads:
        thread.join()


def main() -> None:
    """Fork a life for every line that comes."""
    world, goods = pickle.loads(Path(sys.argv[1]).read_bytes())
    answers, lanes = Path(sys.argv[2]), int(sys.argv[3])
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                live(world, goods, answers, lanes, int(line))
            finally:
                os._exit(1)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
