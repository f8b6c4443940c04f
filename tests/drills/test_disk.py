"""A disk without room: changes are refused by name, quotes go on, and so does all when there is.

The room is taken away in two ways: by a ceiling on the length of any file of the process, one page
below a segment, which needs no rights; and on a small file system in memory, where this process may
mount one.
"""

import os
import resource
import shutil
import subprocess

import pytest

from tests.drills.shop import (
    BOUNDARY,
    NO_LIMIT,
    SEGMENT_BYTES,
    Till,
    copy_of,
    file_ceiling,
    fill_to,
    make_shop,
    serving,
)

#: Sales that still fit when the drill begins, about.
SALES_LEFT = 20
SALE_BYTES = 2_400
PAGE_BYTES = 4096
FULL = "the disk is full"
#: The file system holds the data, and this much beside it: less than a segment.
SPARE_BYTES = 24 << 20


def may_mount(folder):
    """Tell whether this process may mount a file system."""
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "drill", folder]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        return False
    subprocess.run(["umount", folder], check=True)
    return True


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full")
    world, goods, sales = make_shop(folder / "shop")
    fill_to(world, sales, BOUNDARY - SALES_LEFT * SALE_BYTES)
    # The next segment, ready or on its way, which was made with room still there.
    for ending in ("seg", "new"):
        (world.data / "journal" / f"00000002.{ending}").unlink(missing_ok=True)
    return world, goods


class Ceiling:
    """No file of the server may become as long as a new segment; the one that is there is shorter.

    A segment ends where its file does, so that a page of zeros can be cut off its end.
    """

    def __init__(self, world, folder):
        self.data = copy_of(world, folder / "data")
        os.truncate(self.data / "journal" / "00000001.seg", SEGMENT_BYTES - PAGE_BYTES)

    def start(self, server):
        with file_ceiling(SEGMENT_BYTES - PAGE_BYTES):
            server.start()

    def make_room(self, server):
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (NO_LIMIT, NO_LIMIT))

    def close(self):
        shutil.rmtree(self.data)


class SmallFileSystem:
    """A file system with room for the data and little more, until it is made larger."""

    def __init__(self, world, folder):
        self.mount = folder / "small"
        self.mount.mkdir()
        used = sum(path.stat().st_size for path in world.data.rglob("*.seg"))
        self._mount("mount", "-t", "tmpfs", "-o", f"size={used + SPARE_BYTES}", "drill")
        self.data = copy_of(world, self.mount / "data")

    def _mount(self, *command):
        subprocess.run([*command, self.mount], check=True)

    def start(self, server):
        server.start()

    def make_room(self, server):
        self._mount("mount", "-o", f"remount,size={8 * SEGMENT_BYTES}")

    def close(self):
        self._mount("umount")


@pytest.fixture(params=["ceiling", "file system"])
def room(request, shop, tmp_path):
    # Where nothing may be mounted the ceiling stands for both.
    is_small = request.param == "file system" and may_mount(tmp_path)
    room = (SmallFileSystem if is_small else Ceiling)(shop[0], tmp_path)
    yield room
    room.close()


def test_a_full_disk_refuses_changes_by_name_and_goes_on_by_itself(shop, room, tmp_path):
    _, goods = shop
    with serving_in(room, tmp_path / "log") as server, Till(server.address, goods, 1) as till:
        answered, refused, why = till.commit_until_refused(10 * SALES_LEFT)
        assert answered
        assert FULL in why
        assert isinstance(till.quote(), bytes)
        for request, answer in answered:
            assert till.commit(request) == answer
        assert FULL in str(till.commit(refused))
        room.make_room(server)
        answer = till.commit_until_answered(refused)
        assert till.commit(refused) == answer
        assert isinstance(till.commit(till.next_request()), bytes)


def test_a_start_on_a_full_disk_at_the_end_of_a_segment(shop, room, tmp_path):
    _, goods = shop
    with serving_in(room, tmp_path / "log") as server, Till(server.address, goods, 2) as till:
        answered, refused, _ = till.commit_until_refused(10 * SALES_LEFT)
        server.end(9)
        room.start(server)
        with Till(server.address, goods, 3) as again:
            for request, answer in answered:
                assert again.commit(request) == answer
            assert isinstance(again.quote(), bytes)
            assert FULL in str(again.commit(refused))
            room.make_room(server)
            again.commit_until_answered(refused)


def serving_in(room, log):
    """Run a server in a room."""
    return serving(room.data, log, starter=room.start)
