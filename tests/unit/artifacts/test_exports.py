"""Exports: what was written is read, and nothing else is."""

import json
import zipfile
from pathlib import Path

import pytest

from lightvad.artifacts.exports import MANIFEST, Manifest, Parity, Threshold, read_export, write_export
from lightvad.errors import LightvadError

FILES = {"network.xml": b"<graph/>", "network.bin": bytes(range(256))}


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(
        form="openvino", precision="int8", dataset="plaza", budget="quick", method="fast_aed", variant="pasted", seed=0,
        frame_size=(160, 240), offsets=(-3, 0, 3), resolutions=(1, 4, "full"), fps=25, smoothing_seconds=0.5,
        threshold=Threshold(value=0.1 + 0.2, wanted_per_hour=1, measured_per_hour=0, hours=0.01, clips=("a", "b")),
        parity=Parity(score_difference=0.01, score_spread=0.2, frames=64), calibration_windows=192,
        settings={"network": {"blocks": 5}}, weights_sha256="a" * 64, versions={"lightvad": "1"}, files={},
    )  # fmt: skip


def test_what_was_written_is_read(tmp_path: Path, manifest: Manifest) -> None:
    write_export(tmp_path / "a.lightvad", manifest, FILES)
    found, files = read_export(tmp_path / "a.lightvad")
    assert files == FILES
    assert found.model_copy(update={"files": {}}) == manifest
    write_export(tmp_path / "b.lightvad", found, dict(reversed(FILES.items())))
    assert set(found.files) == set(FILES)


def test_the_same_content_gives_the_same_bytes(tmp_path: Path, manifest: Manifest) -> None:
    for name in "ab":
        write_export(tmp_path / name, manifest, FILES)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def changed(path: Path, **parts: bytes | None) -> None:
    """Rewrite an export with other parts; None: left out."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()} | {
            name.replace("_", "."): part for name, part in parts.items()
        }
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in content.items():
            if part is not None:
                archive.writestr(name, part)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"network_bin": b"other weights"}, "network.bin is not what manifest.json says"),
        ({"network_bin": None}, "network.bin is not what"),
        ({"other_txt": b"more"}, "other.txt is not what"),
        ({"manifest_json": None}, "no manifest.json"),
        ({"manifest_json": b"{"}, "no export that this version of lightvad reads"),
    ],
)
def test_a_damaged_export_is_one_line(
    tmp_path: Path, manifest: Manifest, parts: dict[str, bytes | None], message: str
) -> None:
    path = tmp_path / "a.lightvad"
    write_export(path, manifest, FILES)
    changed(path, **parts)
    with pytest.raises(LightvadError, match=message) as raised:
        read_export(path)
    assert "a.lightvad" in str(raised.value)
    assert "lightvad export" in str(raised.value)


def test_a_compressed_export_is_refused_unread(tmp_path: Path, manifest: Manifest) -> None:
    path = tmp_path / "a.lightvad"
    write_export(path, manifest, FILES)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(10_000_000))
    with pytest.raises(LightvadError, match="its parts are compressed"):
        read_export(path)


@pytest.mark.parametrize("change", [{"form": "onnx"}, {"form": "torch"}, {"precision": "16-mixed"}])
def test_what_does_not_fit_its_form_is_refused(tmp_path: Path, manifest: Manifest, change: dict[str, str]) -> None:
    path = tmp_path / "a.lightvad"
    write_export(path, manifest, FILES)
    with zipfile.ZipFile(path) as archive:
        told = json.loads(archive.read(MANIFEST))
    changed(path, manifest_json=json.dumps(told | change).encode())
    with pytest.raises(LightvadError, match="no export that this version of lightvad reads"):
        read_export(path)


def test_a_later_format_is_refused(tmp_path: Path, manifest: Manifest) -> None:
    path = tmp_path / "a.lightvad"
    write_export(path, manifest, FILES)
    with zipfile.ZipFile(path) as archive:
        told = json.loads(archive.read(MANIFEST))
    changed(path, manifest_json=json.dumps(told | {"format": 2}).encode())
    with pytest.raises(LightvadError, match="no export that this version of lightvad reads"):
        read_export(path)


@pytest.mark.parametrize("content", [None, b"", b"not a zip"])
def test_no_export_at_all_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.lightvad").write_bytes(content)
    with pytest.raises(LightvadError, match="missing, damaged or no export"):
        read_export(tmp_path / "a.lightvad")
