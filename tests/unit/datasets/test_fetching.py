"""Fetching from folders and servers: every byte checked, one line for everything that cannot be had."""

import hashlib
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lightvad.artifacts.documents import read_json
from lightvad.config import Dataset, Found, Source
from lightvad.datasets import fetching
from lightvad.datasets.fetching import choose_layout, fetch, fetch_for_detection, fetch_sources, fetched_files
from lightvad.errors import LightvadError
from lightvad.project import parsed

CONTENT = {"ped2/frames.tar": b"frames" * 1000, "ped2/masks.npz": b"masks", "boxes/boxes.npz": b"boxes" * 10}


def source(file: str, **changes: object) -> Source:
    content = CONTENT[file]
    values = {"file": file, "size": len(content), "sha256": hashlib.sha256(content).hexdigest(), **changes}
    return Source.model_validate(values)


def dataset(**layouts: tuple[Source, ...]) -> Dataset:
    return Dataset.model_validate(
        {
            "name": "ped2", "title": "Ped2", "fps": 10, "frame_size": (240, 360), "clips": {}, "frames": {},
            "layouts": layouts, "detection": {"backend": "motion"}, "map_resolutions": (4,),
        }
    )  # fmt: skip


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    for file, content in CONTENT.items():
        path = tmp_path / "mirror" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "mirror"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(mirror: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(mirror))) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def files_under(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("form", ["{}", "file://{}", "{}/"])
def test_a_folder_is_copied_and_left_as_it_is(tmp_path: Path, mirror: Path, form: str) -> None:
    destination = tmp_path / "raw"
    paths = fetch_sources([source(file) for file in CONTENT], destination=destination, mirror=form.format(mirror))
    assert paths == [destination / file for file in CONTENT]
    assert {file: (destination / file).read_bytes() for file in CONTENT} == CONTENT
    paths[0].write_bytes(b"edited")
    assert (mirror / "ped2/frames.tar").read_bytes() == CONTENT["ped2/frames.tar"]


def test_the_folder_of_the_dataset_itself_is_a_mirror_too(tmp_path: Path, mirror: Path) -> None:
    (path,) = fetch_sources([source("ped2/masks.npz")], destination=tmp_path, mirror=str(mirror / "ped2"))
    assert path == tmp_path / "ped2/masks.npz"
    assert path.read_bytes() == b"masks"


def test_a_server_is_a_mirror(tmp_path: Path, server: str) -> None:
    assert choose_layout({"a": [source("ped2/masks.npz")]}, server) == "a"
    (path,) = fetch_sources([source("ped2/frames.tar")], destination=tmp_path / "raw", mirror=f"{server}/")
    assert path.read_bytes() == CONTENT["ped2/frames.tar"]
    assert files_under(tmp_path / "raw") == {"ped2/frames.tar"}
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_file_comes_from_its_own_url_where_the_mirror_lacks_it(tmp_path: Path, server: str, mirror: Path) -> None:
    published = source("boxes/boxes.npz", url=f"{server}/boxes/boxes.npz")
    (path,) = fetch_sources([published], destination=tmp_path / "raw", mirror=str(mirror / "ped2"))
    assert path.read_bytes() == CONTENT["boxes/boxes.npz"]


def test_a_download_with_a_wrong_sha256_leaves_nothing(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "RETRIES", 0)
    wrong = source("ped2/frames.tar", sha256="0" * 64, url=f"{server}/ped2/frames.tar")
    with pytest.raises(LightvadError, match=r"frames\.tar: download from http://.* failed .*SHA256") as caught:
        fetch_sources([wrong], destination=tmp_path / "raw", mirror=None)
    assert "\n" not in str(caught.value)
    assert files_under(tmp_path / "raw") == set()


def test_what_no_server_has_is_one_line(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "RETRIES", 0)
    gone = source("ped2/masks.npz", url=f"{server}/ped2/gone.npz")
    with pytest.raises(LightvadError, match="404"):
        fetch_sources([gone], destination=tmp_path / "raw", mirror=None)
    with pytest.raises(LightvadError, match=r"masks\.npz: not there, .*MIRROR="):
        fetch_sources([source("ped2/masks.npz")], destination=tmp_path / "raw", mirror=f"{server}/boxes")
    assert files_under(tmp_path / "raw") == set()


@pytest.mark.parametrize("changes", [{"sha256": "0" * 64}, {"size": 7}])
def test_wrong_bytes_in_the_mirror_name_the_file_and_both_digests(
    tmp_path: Path, mirror: Path, changes: dict[str, object]
) -> None:
    wrong = source("ped2/frames.tar", **changes)
    with pytest.raises(LightvadError) as caught:
        fetch_sources([wrong], destination=tmp_path / "raw", mirror=str(mirror))
    message = str(caught.value)
    assert message.startswith(str(mirror / "ped2/frames.tar"))
    assert wrong.sha256 in message
    assert "\n" not in message
    assert files_under(tmp_path / "raw") == set()


@pytest.mark.parametrize("content", [b"other" * 1200, CONTENT["ped2/frames.tar"][:-1]])
def test_a_wrong_file_that_is_already_there_is_refused(tmp_path: Path, mirror: Path, content: bytes) -> None:
    there = tmp_path / "ped2/frames.tar"
    there.parent.mkdir()
    there.write_bytes(content)
    with pytest.raises(LightvadError, match=re.escape(f"{there}: ") + ".*delete it"):
        fetch_sources([source("ped2/frames.tar")], destination=tmp_path, mirror=str(mirror))
    assert there.read_bytes() == content


def test_a_right_file_that_is_already_there_needs_no_mirror(tmp_path: Path) -> None:
    there = tmp_path / "ped2/masks.npz"
    there.parent.mkdir()
    there.write_bytes(b"masks")
    assert fetch_sources([source("ped2/masks.npz")], destination=tmp_path, mirror=None) == [there]


def test_no_mirror_and_no_url_names_the_file_and_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(LightvadError, match=r"ped2/masks\.npz: not there, .*no public URL; .*MIRROR="):
        fetch_sources([source("ped2/masks.npz")], destination=tmp_path, mirror=None)
    with pytest.raises(LightvadError, match="nowhere: no such folder"):
        fetch_sources([source("ped2/masks.npz")], destination=tmp_path, mirror=str(tmp_path / "nowhere"))


def test_the_first_complete_layout_is_chosen(tmp_path: Path, mirror: Path) -> None:
    published = source("boxes/boxes.npz", url="http://example.invalid/boxes.npz")
    frames, masks = source("ped2/frames.tar"), source("ped2/masks.npz")
    layouts = {"first": [frames, masks], "second": [published], "third": [masks]}
    assert choose_layout(layouts, str(mirror)) == "first"
    assert choose_layout(layouts, None) == "second"
    (mirror / "ped2/frames.tar").unlink()
    (mirror / "boxes/boxes.npz").unlink()
    assert choose_layout(layouts, str(mirror)) == "third"
    (mirror / "ped2/masks.npz").unlink()
    expected = r"first lacks ped2/frames\.tar, ped2/masks\.npz; second lacks boxes/boxes\.npz; third lacks .*MIRROR="
    with pytest.raises(LightvadError, match=expected):
        choose_layout(layouts, str(mirror))


def test_a_layout_that_is_already_complete_is_kept(tmp_path: Path, mirror: Path) -> None:
    published = source("boxes/boxes.npz", url="http://example.invalid/boxes.npz")
    layouts = {"published": [published], "mirrored": [source("ped2/masks.npz")]}
    fetch_sources(layouts["mirrored"], destination=tmp_path / "raw", mirror=str(mirror))
    assert choose_layout(layouts, None, destination=tmp_path / "raw") == "mirrored"
    assert choose_layout(layouts, None, destination=tmp_path / "elsewhere") == "published"


def test_fetch_says_last_what_it_fetched(tmp_path: Path, mirror: Path) -> None:
    spec = dataset(jpeg=(source("ped2/frames.tar"), source("ped2/masks.npz")))
    wrong = source("ped2/masks.npz", sha256="0" * 64)
    with pytest.raises(LightvadError, match="sha256"):
        fetch(dataset(jpeg=(source("ped2/frames.tar"), wrong)), root=tmp_path, mirror=str(mirror))
    assert not (tmp_path / "fetched.json").exists()
    fetch(spec, root=tmp_path, mirror=str(mirror))
    told = read_json(tmp_path / "fetched.json")
    assert told["layout"] == "jpeg"
    assert [entry["file"] for entry in told["files"]] == ["ped2/frames.tar", "ped2/masks.npz"]
    assert all(set(entry) == {"file", "size", "sha256"} for entry in told["files"])
    assert fetched_files(spec, tmp_path) == ("jpeg", [tmp_path / "ped2/frames.tar", tmp_path / "ped2/masks.npz"])


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ({"normal": "videos", "score": "/videos"}, "`at` has 'videos'; write the whole path, from / on"),
        ({"normal": "/videos"}, "`at` names normal; the patterns begin with labels.csv, normal, score"),
        ({"normal": "/a", "score": "/b", "odd": "/c"}, "`at` names normal, score, odd; the patterns begin with labels"),
    ],
)
def test_the_places_of_files_are_whole_paths_of_what_is_wanted(at: dict[str, str], expected: str) -> None:
    content = {"files": ["normal/*", "score/*"], "optional": ["labels.csv"], "place": "put them there", "at": at}
    with pytest.raises(LightvadError) as caught:
        parsed(Found, content, "found")
    assert expected in str(caught.value)


def test_a_generated_dataset_fetches_nothing(tmp_path: Path) -> None:
    spec = dataset().model_copy(update={"generator": {"seed": 0}})
    fetch(spec, root=tmp_path, mirror=None)
    assert read_json(tmp_path / "fetched.json") == {"layout": "generated", "files": []}
    assert files_under(tmp_path) == {"fetched.json"}


def test_the_files_of_detection_have_a_list_of_their_own_written_last(tmp_path: Path, mirror: Path) -> None:
    boxes, listed = source("boxes/boxes.npz"), tmp_path / "raw" / "fetched-import.json"
    where = {"what": "ped2, detection by import", "root": tmp_path / "raw", "mirror": str(mirror), "listed": listed}
    with pytest.raises(LightvadError, match="sha256"):
        fetch_for_detection([boxes.model_copy(update={"sha256": "0" * 64})], **where)
    assert not listed.exists()
    fetch_for_detection([boxes, boxes], **where)
    assert read_json(listed) == {"files": [boxes.model_dump(include={"file", "size", "sha256"})]}
    assert files_under(tmp_path / "raw") == {"boxes/boxes.npz", "fetched-import.json"}


def test_what_was_fetched_is_checked_again_before_use(tmp_path: Path, mirror: Path) -> None:
    spec = dataset(jpeg=(source("ped2/masks.npz"),))
    with pytest.raises(LightvadError, match=r"fetched\.json: missing"):
        fetched_files(spec, tmp_path)
    fetch(spec, root=tmp_path, mirror=str(mirror))
    with pytest.raises(LightvadError, match=r"layout 'jpeg' is not in config/datasets/ped2\.yaml \(other\)"):
        fetched_files(dataset(other=(source("ped2/masks.npz"),)), tmp_path)
    (tmp_path / "ped2/masks.npz").write_bytes(b"other")
    with pytest.raises(LightvadError, match=r"masks\.npz: sha256 .* expected; delete it"):
        fetched_files(spec, tmp_path)
    (tmp_path / "ped2/masks.npz").unlink()
    with pytest.raises(LightvadError, match=r"masks\.npz: missing; delete it and run `lightvad fetch` again"):
        fetched_files(spec, tmp_path)
