"""Scanned coupons: the reader in C, under sanitizers, against examples and the slow twin."""

import subprocess
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.targets import FLAGS, SANITIZERS
from tests.house.tree import NATIVE
from tests.oracle.gs1 import FNC1, Purchase, ScanError, Scanned, read_scan

RANDOM_COUPONS = 4000
NONE, AI_8110, AI_8112 = 0, 1, 2
(DIGIT, SHORT, LONG, LENGTH, CODE, DATE, ORDER, VALUE) = range(1, 9)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    binary = tmp_path_factory.mktemp("gs1") / "reader"
    sources = [Path(__file__).with_name("gs1_harness.c"), NATIVE / "gs1.c"]
    command = ["cc", *FLAGS, *SANITIZERS, f"-I{NATIVE.parent}", *map(str, sources)]
    subprocess.run([*command, "-o", str(binary)], check=True)
    return binary


def read_all(reader: Path, scans: list[bytes]) -> list[str]:
    """Return what the reader says of each scan."""
    lines = "".join(scan.hex() + "\n" for scan in scans)
    done = subprocess.run([reader], input=lines, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout.splitlines()


def told(coupon: Scanned | None) -> str:
    """Return what the reader has to say of a sound coupon."""
    if coupon is None:
        return "0 0"
    numbers = [coupon.save, coupon.rules, coupon.save_code, coupon.item, int(coupon.store)]
    numbers += [int(not coupon.multiply), int(coupon.start or 0), int(coupon.end or 0)]
    ai = AI_8110 if coupon.ai == "8110" else AI_8112
    serial = f"{coupon.serial or 0} {len(coupon.serial)}"
    retailer = f"{int(coupon.retailer or 0)} {len(coupon.retailer)}"
    purchases = coupon.purchases or [Purchase(coupon.prefix, 0, 0, "000")]
    groups = " ".join(f"{p.prefix}/{p.requirement}/{p.code}/{p.family}" for p in purchases)
    return f"{ai} 0 {coupon.offer} {' '.join(map(str, numbers))} {serial} {retailer} {groups}"


#: Data of published examples and of each field by itself, with what it says.
SOUND = {
    # Save 2.50 on one item of family 120, until 2014-01-31.
    "81101061414165432132501101203140131": (
        "1 0 654321 250 0 0 0 0 0 0 20140131 0 0 0 0 0614141/1/0/120"
    ),
    # Save 0.75 on one of family 650 or three of 850.
    "8110106141411234562751106501013085093140131": (
        "1 0 123456 75 0 0 0 0 0 0 20140131 0 0 0 0 0614141/1/0/650 0614141/3/0/850"
    ),
    # 5.00 off the basket.
    "(8110)106141416543213500110000310123196000": (
        "1 0 654321 500 0 6 0 0 0 0 20101231 0 0 0 0 0614141/1/0/000"
    ),
    # A digital coupon of funder 998845: format 0, offer 900022, a serial of 15 digits.
    "8112009988459000229133701244303370": (
        "2 0 900022 0 0 0 0 0 0 0 0 133701244303370 15 0 0 998845/0/0/000"
    ),
    # Three purchases, of two companies, all of them; a free one of the third, at most 9.99.
    "]e0\x1d81100012345111111399911010011120200063123456789012233011119410020092110": (None),
    "8110106141416543212501101003140200420130000401234564012345678903": None,
    "4006381333931": "0 0",
    "": "0 0",
}

FAULTY = {
    "8110": SHORT,
    "81107": LENGTH,
    "8110X": DIGIT,
    "8110" + "1" * 71: LONG,
    "811010614141654321": SHORT,
    "8110106141416543210": LENGTH,
    "811010614141654321325011": SHORT,
    "8110106141416543213250115120": CODE,
    "8110106141416543213250100120": VALUE,
    "81101061414165432110110120": VALUE,
    "81101061414165432132501101203141331": DATE,
    "81101061414165432132501101203140230": DATE,
    "8110106141416543213250110120" + "3140131" * 2: ORDER,
    "8110106141416543213250110120" + "4140131" + "3140131": ORDER,
    "8110106141416543213250110120" + "7": ORDER,
    "8110106141416543213250110120" + "2110" + "1209": ORDER,
    "8110106141416543213250110120" + "14110" + "1209": CODE,
    "8110106141416543213250110120" + "10110" + "1207": LENGTH,
    "8110106141416543213250110120" + "93000": CODE,
    "8110106141416543213250110120" + "90300": CODE,
    "8110106141416543213250110120" + "90100": VALUE,
    "8110106141416543213250110120" + "95000": VALUE,
    "8110106141416543213250110120" + "61": SHORT,
    "8110106141416543213250110120" + "60": LENGTH,
    "81122": CODE,
    "81120099884590002291337012443033701": LONG,
}


@pytest.mark.parametrize("scan", SOUND)
def test_an_example_is_read(reader: Path, scan: str) -> None:
    [answer] = read_all(reader, [scan.encode()])
    if SOUND[scan] is not None:
        assert answer == SOUND[scan]
    try:
        assert answer == told(read_scan(scan))
    except ScanError:
        assert answer.split()[1] != "0"


@pytest.mark.parametrize("scan", FAULTY)
def test_a_fault_has_a_name(reader: Path, scan: str) -> None:
    [answer] = read_all(reader, [scan.encode()])
    assert int(answer.split()[1]) == FAULTY[scan]
    with pytest.raises(ScanError):
        read_scan(scan)


def random_coupon(random: Random) -> str:
    """Return data that is often sound."""

    def digits(count: int) -> str:
        return "".join(random.choice("0123456789") for _ in range(count))

    def measured(length: int, base: int) -> str:
        return str(length) + digits(base + length)

    def purchase() -> str:
        return measured(random.randint(1, 5), 0) + random.choice("0012349") + digits(3)

    def prefix() -> str:
        return random.choice(("9", measured(random.randint(0, 6), 6)))

    def date() -> str:
        return f"{random.randrange(100):02}{random.randint(1, 12):02}{random.randint(0, 28):02}"

    if random.random() < 0.1:
        return f"81120{measured(random.randint(0, 6), 6)}{digits(6)}{measured(3, 6)}"
    save = measured(random.randint(1, 5), 0)
    text = f"8110{measured(random.randint(0, 3), 6)}{digits(6)}{save}{purchase()}"
    if random.random() < 0.4:
        text += f"1{random.randrange(4)}{purchase()}{prefix()}"
        if random.random() < 0.4:
            text += f"2{purchase()}{prefix()}"
    fields = (
        f"3{date()}", f"4{date()}", f"5{measured(random.randint(0, 9), 6)}",
        f"6{measured(random.randint(1, 7), 6)}",
        f"9{random.choice('01256')}{random.choice('0001')}{random.choice('01')}0",
    )  # fmt: skip
    return text + "".join(part for part in fields if random.random() < 0.3)


def changed(random: Random, text: str) -> str:
    """Return a text with a digit or two changed, left out or put in."""
    for _ in range(random.randint(0, 2)):
        at = random.randrange(len(text) + 1)
        text = text[:at] + random.choice(("", "0", "7", "9", FNC1, "(")) + text[at + 1 :]
    return text


def test_random_coupons_are_read_alike(reader: Path) -> None:
    random = Random(8110)
    scans = [changed(random, random_coupon(random)) for _ in range(RANDOM_COUPONS)]
    sound = 0
    for scan, answer in zip(scans, read_all(reader, [s.encode() for s in scans]), strict=True):
        try:
            expected = told(read_scan(scan))
        except ScanError:
            assert answer.split()[1] != "0", scan
            continue
        sound += 1
        assert answer == expected, scan
    assert sound > RANDOM_COUPONS // 5
