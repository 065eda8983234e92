"""`atlas snapshots`, and the commands that show one snapshot: status, view, sheet."""

from __future__ import annotations

import html
import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from network_atlas import open_atlas
from network_atlas.cli.main import main
from network_atlas.site.server import HOST, make_server
from network_atlas.site.snapshot import SnapshotPages
from network_atlas.store.prune import plan_prune, prune
from network_atlas.store.root import Store


def test_snapshots_say_what_changed(retrained_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["snapshots", str(retrained_root)]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["snapshot", "created", "network", "layers", "only", "here", "shared", "changed"]
    assert first.rstrip().endswith("the first")
    assert "conv3 recomputed (1 of 3 layers); settings: model.weights; 12 pictures in new files" in second
    assert first.split()[2] != second.split()[2]


def test_snapshots_as_json(retrained_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["snapshots", str(retrained_root), "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)["snapshots"]
    assert (first["number"], first["changes"], second["changes"]["recomputed"]) == (1, None, ["conv3"])
    for snapshot in (first, second):
        manifest = open_atlas(str(retrained_root), snapshot["number"]).manifest
        assert snapshot["size_bytes"] == sum(file.size_bytes for file in manifest.files)
        assert 0 < snapshot["own_bytes"] < snapshot["size_bytes"]
    shared = {file.path for file in open_atlas(str(retrained_root), 1).manifest.files}
    own = [file for file in open_atlas(str(retrained_root), 2).manifest.files if file.path not in shared]
    assert second["own_bytes"] == sum(file.size_bytes for file in own)


def test_a_damaged_manifest_is_listed_as_such(retrained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (retrained / "manifests" / "00001.json").write_text('{"number": 1')
    assert main(["snapshots", str(retrained)]) == 0
    _, first, second = capsys.readouterr().out.splitlines()
    assert "damaged: 'manifests/00001.json'" in first
    assert second.split()[0] == "2"


def test_a_root_without_snapshots_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["snapshots", str(tmp_path)]) == 1
    assert "has no snapshot yet; make one with" in capsys.readouterr().err


def test_status_of_a_snapshot_says_how_it_was_made(retrained_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(retrained_root), "--snapshot", "2"]) == 0
    printed = capsys.readouterr().out
    for words in ("snapshot  2, ", "tiny_network:build", "weights.pth", "(12 examples)", "torch ", "run       2"):
        assert words in printed
    assert main(["status", str(retrained_root), "--snapshot", "1", "--json"]) == 0
    snapshot = json.loads(capsys.readouterr().out)["snapshot"]
    assert (snapshot["number"], snapshot["config"]["model"]["weights"]) == (1, "none")


def test_verify_finds_a_shard_that_was_edited_in_place(retrained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(retrained), "--verify"]) == 0
    assert "as they were written" in capsys.readouterr().out
    older, newer = (open_atlas(str(retrained), number).manifest for number in (1, 2))
    newest = {file.path for file in newer.files}
    old = next(file for file in older.files if file.path not in newest)
    data = bytearray((retrained / old.path).read_bytes())
    data[len(data) // 2] ^= 1  # of the same size
    (retrained / old.path).write_bytes(data)
    assert main(["status", str(retrained), "--verify"]) == 0
    capsys.readouterr()
    assert main(["status", str(retrained), "--verify", "--snapshot", "1", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["faults"] == [
        {"path": old.path, "reason": "changed after it was written"}
    ]
    (retrained / old.path).unlink()
    assert main(["status", str(retrained), "--verify", "--snapshot", "1"]) == 1
    printed = capsys.readouterr().out
    assert f"damaged: {old.path}: missing" in printed
    assert "restore them from a copy" in printed


def test_the_sheet_of_a_snapshot_shows_its_pictures(retrained_root: Path, atlas_root: Path, tmp_path: Path) -> None:
    def sheet(root: Path, *options: str) -> bytes:
        path = tmp_path / "sheet.png"
        assert main(["sheet", str(root), "--layer", "conv3", "--output", str(path), *options]) == 0
        return Image.open(path).tobytes()

    assert sheet(retrained_root, "--snapshot", "1") == sheet(atlas_root) != sheet(retrained_root)


def test_the_pages_of_a_snapshot_are_made_again_as_they_were(retrained_root: Path, atlas_root: Path) -> None:
    pages = SnapshotPages(open_atlas(str(retrained_root), 1))
    stored = [path for path in (atlas_root / "site").rglob("*") if path.is_file()]
    assert len(stored) > 10
    for path in stored:
        name = str(path.relative_to(atlas_root))
        assert pages.exists(name)
        assert pages.read(name) == path.read_bytes(), name
    assert [name for name in map(str, stored) if "/site/examples/" in name]
    for name in ("site/layers/0099-conv9.html", "site/layers/0000-conv1/no.png", "site/no.html", "site/layers/"):
        assert not pages.exists(name)
    now = SnapshotPages(open_atlas(str(retrained_root)))
    page = "site/layers/0005-conv3.js"
    assert now.read(page) == (retrained_root / page).read_bytes() != pages.read(page)


def test_pages_of_a_snapshot_that_was_pruned_meanwhile_say_so(retrained: Path) -> None:
    store = Store.open(str(retrained))
    with serving(SnapshotPages(open_atlas(str(retrained), 1))) as address:
        prune(store, plan_prune(store, keep=1))
        with pytest.raises(urllib.error.HTTPError) as answer:
            urllib.request.urlopen(f"{address}/layers/0005-conv3.html")
    with answer.value:
        text = answer.value.read().decode()
    assert answer.value.code == 410
    assert "snapshot 1 of" in text
    assert "was pruned while its pages were open, so they can't be made any more" in html.unescape(text)


@contextmanager
def serving(pages: SnapshotPages) -> Iterator[str]:
    """Serve pages; yield their address."""
    server = make_server(pages, port=0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://{HOST}:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_snapshot_that_is_not_there_is_named(retrained_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("view", "sheet", "status"):
        assert main([command, str(retrained_root), "--snapshot", "9"]) == 1
        assert "has no snapshot 9; it has 1, 2." in capsys.readouterr().err


READING = """
import json, sys
from network_atlas.cli.extras import LIBRARIES
for name in LIBRARIES: sys.modules[name] = None  # whose import fails then, as where they are not installed
import network_atlas.cli.main
try: code = network_atlas.cli.main.main(sys.argv[1:])
except SystemExit as ended: code = ended.code
print(json.dumps([code, [name for name in ("hydra", "pandas", "polars") if name in sys.modules]]), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["sheet", "ROOT", "--output", "OUT"], 0),
        (["status", "ROOT", "--verify"], 0),
        (["status", "ROOT", "--snapshot", "1", "--json"], 0),
        (["snapshots", "ROOT"], 0),
        (["prune", "ROOT", "--keep", "1"], 0),
        (["view", "ROOT", "--snapshot", "9"], 1),
        (["shet", "ROOT"], 2),
        (["sheet", "ROOT", "--unit", "-"], 2),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_commands_that_only_read_load_nothing_heavy(
    retrained_root: Path, tmp_path: Path, command: list[str], expected: int
) -> None:
    words = [{"ROOT": str(retrained_root), "OUT": str(tmp_path / "sheet.png")}.get(word, word) for word in command]
    done = subprocess.run([sys.executable, "-c", READING, *words], capture_output=True, text=True, check=True)
    code, loaded = json.loads(done.stderr.splitlines()[-1])
    assert (code, loaded) == (expected, []), done.stderr
    assert "which is not installed" not in done.stderr
