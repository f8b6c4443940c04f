"""Reports of a journal that was pruned: those of a span go on, those that need its begin refuse."""

from click.testing import CliRunner

from checklane.cli import main
from checklane.ledger.files import list_segments
from checklane.ledger.prune import KEEP_DAYS_MIN, prune

DAY_MS = 86_400_000


def report(kind, data, out, *options):
    arguments = ["report", kind, "--data", str(data), "--out", str(out), "--from", "2099-12-31"]
    return CliRunner().invoke(main, [*arguments, *options])


def test_a_pruned_journal(data, tmp_path):
    created = max(segment.created_unix_ms for segment in list_segments(data / "journal"))
    assert prune(data, created + (KEEP_DAYS_MIN + 1) * DAY_MS).segments
    for kind in ("periods", "gaps"):
        told = report(kind, data, tmp_path / kind)
        assert told.exit_code == 0, told.output
        assert told.output.endswith("adds up: yes\n")
    for kind, *options in (("liability",), ("statement", "--group", "7")):
        told = report(kind, data, tmp_path / kind, *options)
        assert told.exit_code != 0
        assert "the journal was pruned" in told.output
        assert not (tmp_path / kind).exists()
