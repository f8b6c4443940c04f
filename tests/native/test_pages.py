"""pages.h against processes that touch every byte of an environment that was cut short."""

import os
import subprocess
from pathlib import Path

from tests.native.test_ledger import FLAGS, NATIVE

SEEDS = 8


def test_every_length_of_a_cut_environment(tmp_path):
    program = tmp_path / "pages"
    sources = [Path(__file__).with_name("pages_harness.c"), NATIVE / "machine.c"]
    flags = [*FLAGS, "-fsanitize=undefined", "-fno-sanitize-recover=all"]
    command = [os.environ.get("CC", "gcc"), *flags, *sources]
    subprocess.run([*command, "-o", program, "-llmdb", "-lpthread"], check=True)
    totals = [0, 0, 0]
    for seed in range(SEEDS):
        (tmp_path / str(seed)).mkdir()
        done = subprocess.run(
            [program, tmp_path / str(seed), str(seed)], capture_output=True, text=True
        )
        assert done.returncode == 0, f"seed {seed}: {done.stderr}"
        counts = [int(word) for word in done.stdout.split()]
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
    whole, short_and_whole, cut = totals
    print(totals)
    assert whole + short_and_whole > SEEDS
    assert short_and_whole > 0
    assert cut > 10 * SEEDS
