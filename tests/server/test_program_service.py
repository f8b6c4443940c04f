"""ProgramService: snapshots are published, activated, listed and pruned by name and hash."""

import os
import shutil

import grpc
import pytest

from checklane import errors
from checklane.client import manage
from checklane.config import Settings
from checklane.server import Service
from checklane.v1 import program_pb2
from tests.server.fakes import METHODS
from tests.server.serving import EXAMPLES

SERVICE = "/checklane.v1.ProgramService/"
KINDS = {
    "members": program_pb2.SNAPSHOT_KIND_MEMBERS,
    "catalogue": program_pb2.SNAPSHOT_KIND_CATALOGUE,
    "program": program_pb2.SNAPSHOT_KIND_PROGRAM,
}


@pytest.fixture
def served(example_data, tmp_path, engine):
    """A service with the example's files and nothing live."""
    data = tmp_path / "data"
    shutil.copytree(example_data, data)
    (data / "live.json").unlink()
    service = Service(
        Settings(data=data, listen="127.0.0.1:0", lane_listen=""),
        lambda settings, keys: engine,
        METHODS,
    )
    service.start()
    yield service
    service.stop()


def snapshot(address, kind):
    (found,) = manage.list_snapshots(address, kind)
    return found


def refusal(call, *arguments, **named):
    with pytest.raises(errors.ChecklaneError) as caught:
        call(*arguments, **named)
    return caught.value.reason


def ask(address, method, request):
    """Call a method with a message and return the response's bytes, or the refusal."""
    with grpc.insecure_channel(address) as channel:
        try:
            return channel.unary_unary(SERVICE + method)(request.SerializeToString(), timeout=60)
        except grpc.RpcError as failure:
            error = errors.from_rpc_error(failure)
            return error.reason, error.place


def test_the_list_says_what_is_there(served):
    found = manage.list_snapshots(served.address)
    assert {each.kind for each in found} == set(KINDS.values())
    assert not any(each.live for each in found)
    assert all(each.record_count > 3 and each.size_bytes > 0 for each in found)
    program, catalogue = snapshot(served.address, "program"), snapshot(served.address, "catalogue")
    assert program.catalogue_hash == catalogue.content_hash
    assert refusal(manage.list_snapshots, served.address, "sketch") == "ENUM_UNKNOWN"


def test_a_program_brings_its_catalogue_and_health_follows(served, engine):
    program = snapshot(served.address, "program")
    assert not served.is_program_live()
    live = manage.activate(served.address, "program", program.content_hash)
    assert {each.kind for each in live} == {KINDS["program"], KINDS["catalogue"]}
    (call,) = engine.activated
    assert program.content_hash.hex() in call[0]
    assert program.catalogue_hash.hex() in call[1]
    assert call[2:] == (None, True)
    assert served.is_program_live()
    manage.activate(served.address, "program", program.content_hash)
    assert len(engine.activated) == 1


def test_members_that_come_first_go_live_with_the_program(served, engine):
    members = snapshot(served.address, "members")
    manage.activate(served.address, "members", members.content_hash)
    assert engine.activated == []
    manage.activate(served.address, "program", snapshot(served.address, "program").content_hash)
    assert members.content_hash.hex() in engine.activated[0][2]


def test_what_is_live_is_remembered_and_not_recorded_again(served, engine):
    manage.activate(served.address, "program", snapshot(served.address, "program").content_hash)
    again = Service(served.settings, lambda settings, keys: engine, METHODS)
    again.start()
    assert again.is_program_live()
    assert engine.activated[0][:3] == engine.activated[1][:3]
    assert [call[3] for call in engine.activated] == [True, False]
    again.stop()


def test_a_damaged_snapshot_never_goes_live(served, engine):
    program = snapshot(served.address, "program")
    path = served.settings.data / "snapshots" / f"program-{program.content_hash.hex()}.lmdb"
    content = bytearray(path.read_bytes())
    content[content.index(b"soup-3-for-2")] ^= 1
    path.write_bytes(content)
    reason = refusal(manage.activate, served.address, "program", program.content_hash)
    assert reason == "SNAPSHOT_DAMAGED"
    assert refusal(manage.publish, served.address, path.name) == "SNAPSHOT_DAMAGED"
    assert engine.activated == []


def test_a_file_of_the_data_directory_is_published_by_its_name(served):
    program = snapshot(served.address, "program")
    name = f"program-{program.content_hash.hex()}.lmdb"
    assert manage.publish(served.address, name).content_hash == program.content_hash
    assert refusal(manage.publish, served.address, "../live.json") == "FIELD_OUT_OF_RANGE"
    assert refusal(manage.publish, served.address, f"program-{'0' * 32}.lmdb") == "SNAPSHOT_UNKNOWN"


def test_a_program_is_compiled_here_to_the_same_bytes(served):
    program = snapshot(served.address, "program")
    catalogue = snapshot(served.address, "catalogue").content_hash
    found = manage.publish_program(served.address, EXAMPLES / "program", catalogue)
    assert found.snapshot.content_hash == program.content_hash
    assert found.already_published
    assert (
        refusal(manage.publish_program, served.address, EXAMPLES / "program") == "SNAPSHOT_UNKNOWN"
    )


def test_a_program_with_errors_is_checked_and_not_published(served, tmp_path):
    folder = tmp_path / "program"
    shutil.copytree(EXAMPLES / "program", folder)
    prices = folder / "offers" / "prices.yaml"
    prices.write_text(prices.read_text().replace("percent: 20", "percent: 2000", 1))
    source = program_pb2.ProgramSource()
    for path in sorted(folder.rglob("*.*")):
        source.files.add(path=path.relative_to(folder).as_posix(), content=path.read_bytes())
    request = program_pb2.CheckProgramRequest(source=source)
    answer = program_pb2.CheckProgramResponse.FromString(
        ask(served.address, "CheckProgram", request)
    )
    assert not answer.publishable
    finding = next(each for each in answer.findings if each.path == "offers/prices.yaml")
    assert finding.severity == program_pb2.FINDING_SEVERITY_ERROR
    assert finding.line > 0
    assert finding.remedy
    catalogue = snapshot(served.address, "catalogue").content_hash
    reason = refusal(manage.publish_program, served.address, folder, catalogue)
    assert reason == "PROGRAM_INVALID"


@pytest.mark.parametrize("path", ["/etc/passwd", "../out.yaml", "", "a/../../b"])
def test_a_programs_files_stay_inside(served, path):
    source = program_pb2.ProgramSource(files=[program_pb2.ProgramFile(path=path, content=b"x")])
    request = program_pb2.CheckProgramRequest(source=source)
    assert ask(served.address, "CheckProgram", request) == (
        "FIELD_OUT_OF_RANGE",
        "source.files[0].path",
    )


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({}, ("FIELD_REQUIRED", "kind")),
        ({"kind": 9}, ("ENUM_UNKNOWN", "kind")),
        ({"kind": 3}, ("FIELD_REQUIRED", "content_hash")),
        ({"kind": 3, "content_hash": b"short"}, ("FIELD_OUT_OF_RANGE", "content_hash")),
    ],
)
def test_activations_are_checked(served, fields, refused):
    request = program_pb2.ActivateSnapshotRequest(**fields)
    assert ask(served.address, "ActivateSnapshot", request) == refused


def test_pruning_removes_what_nothing_needs_and_says_so_first(served):
    manage.activate(served.address, "program", snapshot(served.address, "program").content_hash)
    folder = served.settings.data / "snapshots"
    catalogue = next(folder.glob("catalogue-*"))
    before = {path.name for path in folder.iterdir()}
    assert manage.prune(served.address, dry_run=True) == []
    old = folder / f"members-{'1' * 32}.lmdb"
    shutil.copyfile(next(folder.glob("members-*")), old)
    # Files that were written within one tick of the clock would be of one age.
    os.utime(old, ns=(0, 0))
    (removed,) = manage.prune(served.address, dry_run=True)
    assert removed.content_hash == bytes.fromhex("1" * 32)
    assert old.exists()
    assert manage.prune(served.address, "catalogue") == []
    assert [each.content_hash for each in manage.prune(served.address)] == [removed.content_hash]
    assert {path.name for path in folder.iterdir()} == before
    assert catalogue.exists()
