"""Bad inputs, one table: each ends in one line that names file, clip, frame or key and the remedy; nothing is written.

A row is a name, what is spoilt in a copy of a tiny project, the commands that still work, the command that meets the
fault, and what its line says. Every file is a real one, made by `tiny_ped2`; every command is the real one.
"""

import gzip
import pickle
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from .conftest import DISTILLED, STUDENT, TEACHER, Command
from .tiny_ped2 import (
    CONFIG,
    FRAMES,
    MASKS,
    MATLAB,
    OFFICIAL,
    TESTING,
    TRAINING,
    Files,
    boxes_csv,
    boxes_npz,
    drawn,
    edit,
    encoded,
    frame,
    huge_member,
    jpeg_layout,
    jpegs_as_video,
    mask,
    masks_npz,
    npy_member,
    npz,
    official_layout,
    publish,
    publish_boxes,
    source,
    tar_with,
    unrecorded,
    video,
    video_layout,
)

FETCH = "fetch --dataset ped2 --mirror mirror"
FETCH_BOXES = "fetch --dataset ped2 --mirror mirror --only detection"
PREPARE = "prepare --dataset ped2"
DETECT = "detect --dataset ped2 --device cpu --threads 1"
SCORE = f"score --run {STUDENT.folder} --device cpu --threads 1"
SCORE_OBJECTS = f"score --run {TEACHER.folder} --device cpu --threads 1"
MAPS = f"maps --run {TEACHER.folder} --threads 1"
EVALUATE = f"evaluate --run {STUDENT.folder}"
DISTIL = f"train --run {DISTILLED.folder} --device cpu --threads 1"

RAW, CLIPS, BOXES = Path("data/raw/ped2"), Path("data/clips/ped2"), Path("results/boxes/ped2")
INDEX, LABELS, TRACKS = CLIPS / "index.parquet", CLIPS / "labels.parquet", CLIPS / "tracks.parquet"
MODEL, OBJECT_MODEL = STUDENT.folder / "model.safetensors", TEACHER.folder / "model.safetensors"
SCORES, REGIONS = STUDENT.folder / "frame_scores.parquet", STUDENT.folder / "regions.parquet"
OBJECT_SCORES, MAPS_NPZ = TEACHER.folder / "object_scores.parquet", TEACHER.folder / "maps.npz"

DECLARED = {
    "fetch": (RAW, "fetched*.json records/fetch*.json"),
    "prepare": (CLIPS, "index.parquet checksums.json records/prepare.json"),
    "detect": (BOXES, "*.parquet *.npz *.safetensors records/detect*.json"),
    "score": (Path("results/runs"), "**/object_scores.parquet **/frame_scores.parquet **/maps.npz **/regions.parquet"),
    "maps": (Path("results/runs"), "**/frame_scores.parquet **/maps.npz **/regions.parquet"),
    "evaluate": (Path("results/runs"), "**/metrics.json **/record.json **/records/evaluate.json"),
    "train": (DISTILLED.folder, "model.safetensors training.csv records/train.json"),
    "table": (Path("results/tables"), "**/*"),
    "figure": (Path("results/figures"), "**/*"),
    "benchmark": (Path("results/runs"), "**/speed.json **/complexity.json"),
}
"""What each stage writes: the folder, and patterns in it. None of it may be there after the stage has failed."""

PROGRESS = re.compile(r"fetch |prepare |ped2 |warning: ")
"""Lines that a stage may say before it meets the fault."""

OWNED = "OWNED"
"""A file that appears if anything that stands in an input is run."""

OUTSIDE = Path(tempfile.gettempdir(), OWNED)


class Payload:
    """Pickled, it runs a command when it is loaded."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (Path(OWNED),)


@dataclass(frozen=True)
class Case:
    """One bad input: at which stage of the project, how it is spoilt, what still works, what meets it and says what."""

    name: str
    stage: str
    spoil: Callable[[Path], Any]
    before: tuple[str, ...]
    command: str
    says: tuple[str, ...]
    status: int = 1


def archive(name: str, files: Callable[[], Files], *says: str, layout: str = "jpeg") -> Case:
    """Files with the right sha256 whose content is bad: fetched, then met by `prepare`."""
    return Case(name, "configured", lambda root: publish(root, layout, files()), (FETCH,), PREPARE, says)


def clip(name: str, layout: str, files: Callable[[], Files], *says: str) -> Case:
    """An archive whose members are bad images or videos."""
    return archive(name, files, *says, layout=layout)


def boxes(name: str, suffix: str, train: Callable[[], bytes], *says: str) -> Case:
    """Boxes made elsewhere, met by `detect`."""
    test = {".npz": boxes_npz, ".csv": boxes_csv}.get(suffix, boxes_csv)

    def spoil(root: Path) -> None:
        publish_boxes(root, suffix, train(), test("test"))

    return Case(name, "prepared", spoil, (FETCH_BOXES,), DETECT, says)


def config(name: str, change: Callable[[dict[str, Any]], Any], *says: str, command: str = FETCH) -> Case:
    """A fault in config/datasets/ped2.yaml."""
    return Case(name, "configured", lambda root: edit(root, change), (), command, (*says,))


def written(name: str, file: str, content: str | bytes, *says: str, command: str = FETCH) -> Case:
    """A file under config/ with this content."""
    content = content if isinstance(content, bytes) else content.encode()
    return Case(name, "configured", lambda root: (root / file).write_bytes(content), (), command, says)


def option(name: str, command: str, *says: str, stage: str = "configured", status: int = 1) -> Case:
    """A fault on the command line."""
    return Case(name, stage, lambda root: None, (), command, says, status)


def artefact(
    name: str, file: Path, spoil: Callable[[Path], Any], command: str, *says: str, stage: str = "scored"
) -> Case:
    """A bad file in the place of one of an earlier stage, with no record of its own; `spoil` is given its path."""

    def from_elsewhere(root: Path) -> None:
        spoil(root / file)
        unrecorded(root)

    return Case(name, stage, from_elsewhere, (), command, says)


def changed(name: str, file: Path, command: str, *says: str, stage: str = "scored") -> Case:
    """A file of an earlier stage, of which a byte is flipped after its record was written."""
    return Case(name, stage, lambda root: flip(root / file), (), command, says)


def put(content: bytes | Callable[[], bytes]) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(content if isinstance(content, bytes) else content())


def cut(share: float = 0.5) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def gone(path: Path) -> None:
    path.unlink()


def table(change: Callable[[pd.DataFrame], pd.DataFrame | None]) -> Callable[[Path], None]:
    """Change a table; `change` may return another one."""

    def spoil(path: Path) -> None:
        frame = pd.read_parquet(path)
        changed = change(frame)
        (frame if changed is None else changed).to_parquet(path, index=False)

    return spoil


def cell(column: str, value: object, row: int = 0) -> Callable[[Path], None]:
    """Set one cell of a table."""

    def change(frame: pd.DataFrame) -> None:
        frame[column] = frame[column].astype(object if isinstance(value, str) else float)
        frame.loc[row, column] = value

    return table(change)


def tensors(change: Callable[[dict[str, torch.Tensor]], Any], **header: str) -> Callable[[Path], None]:
    """Change weights, or what their header says."""

    def spoil(path: Path) -> None:
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            metadata = {**file.metadata(), **header}
        state = load_file(path)
        change(state)
        save_file(state, path, metadata)

    return spoil


def shorten_the_largest(state: dict[str, torch.Tensor]) -> None:
    name = max(state, key=lambda name: state[name].numel())
    state[name] = state[name][:1].clone()


def spoil_a_weight(state: dict[str, torch.Tensor]) -> None:
    weights = next(tensor for tensor in state.values() if tensor.is_floating_point())
    weights.view(-1)[0] = float("nan")


def train_maps(of: Callable[[int], np.ndarray]) -> Callable[[Path], Any]:
    """Maps of the training clips; `of` gives those of a side."""
    names = [(f"Train00{number}", side) for number in (1, 2) for side in (4, 8)]
    return put(lambda: npz(**{f"{clip}/{side}": of(side) for clip, side in names}))


def without(text: str) -> Callable[[Files], Any]:
    return lambda members: [members.pop(name) for name in list(members) if text in name]


def members_with(name: str, content: Callable[[], bytes]) -> Callable[[], Files]:
    """The JPEG layout with one member replaced."""
    return lambda: jpeg_layout(lambda members: members.update({name: content()}) if name in members else None)


def half_a_frame(name: str) -> Callable[[Files], Any]:
    return lambda members: members.update({name: members[name][: len(members[name]) // 2]} if name in members else {})


def masks(**stacks: np.ndarray) -> Callable[[], Files]:
    """The JPEG layout with other masks."""
    return lambda: jpeg_layout() | {MASKS: masks_npz({name[1:]: stack for name, stack in stacks.items()})}


def jpeg(file: str, content: bytes | Callable[[], bytes]) -> Callable[[], Files]:
    """The JPEG layout with another file."""
    return lambda: jpeg_layout() | {file: content if isinstance(content, bytes) else content()}


def videos(**changes: Callable[[], bytes]) -> Callable[[], Files]:
    """The re-encoded layout with other videos."""
    return lambda: video_layout(**{name: make() for name, make in changes.items()})


def clip_of_masks(number: int, frames: int = FRAMES) -> np.ndarray:
    return np.stack([mask(number, min(t, FRAMES - 1)) for t in range(frames)])


def npz_with_payload(*names: str) -> Callable[[], bytes]:
    return lambda: npz(**{name: np.array([Payload()], object) for name in names})


def checkpoint(root: Path) -> None:
    """A YOLO checkpoint that is a pickle with a payload, with its true sha256 in the configuration."""
    torch.save({"model": Payload()}, root / "evil.pt")
    weights = source(root, "detectors/evil.pt", (root / "evil.pt").read_bytes())
    detection = {"backend": "ultralytics", "ultralytics": {"weights": weights}}
    edit(root, lambda content: content.update(detection=detection))


def change_mirror(file: str, change: Callable[[Path], Any]) -> Callable[[Path], Any]:
    return lambda root: change(root / "mirror" / file)


def flip(path: Path, at: int | None = None) -> None:
    """Change one bit, in the middle or at a byte, and keep the size."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if at is None else at] ^= 1
    path.write_bytes(content)


def in_the_way(folder: str) -> Callable[[Path], None]:
    """A file where a folder should be."""

    def spoil(root: Path) -> None:
        shutil.rmtree(root / folder, ignore_errors=True)
        (root / folder).parent.mkdir(parents=True, exist_ok=True)
        (root / folder).write_text("")

    return spoil


def read_only(folder: str) -> Callable[[Path], None]:
    """A folder on a file system in which nobody, root included, may make a file."""

    def spoil(root: Path) -> None:
        shutil.rmtree(root / folder, ignore_errors=True)
        (root / folder).parent.mkdir(parents=True, exist_ok=True)
        (root / folder).symlink_to("/proc/self/fd")

    return spoil


def set_to(key: str, value: object) -> Callable[[dict[str, Any]], Any]:
    return lambda content: content.update({key: value})


TRAINING_FRAME = "ped2/training/frames/01/002.jpg"
GET_IT = "run `lightvad fetch` again"
PUBLISHER = "do not use this archive, get it from its publisher"
AGAIN = "run `lightvad prepare` again"

# fmt: off
ARCHIVES = [
    Case("mirror: another sha256", "configured", change_mirror(TRAINING, flip), (), FETCH,
        (f"mirror/{TRAINING}: sha256 ", "expected; put the right file into the mirror")),
    Case("mirror: truncated", "configured", change_mirror(TESTING, cut()), (), FETCH,
        (f"mirror/{TESTING}: ", "bytes, ", "expected (sha256 ", "put the right file into the mirror")),
    Case("mirror: empty file", "configured", change_mirror(MASKS, put(b"")), (), FETCH,
        (f"mirror/{MASKS}: 0 bytes, ", "put the right file into the mirror")),
    Case("mirror: a file is missing", "configured", change_mirror(MATLAB, gone), (), FETCH,
        (f"in the mirror mirror: jpeg lacks {MATLAB}", "MIRROR=...")),
    option("mirror: no such folder", "fetch --dataset ped2 --mirror nowhere", "mirror nowhere: no such folder; give"),
    option("mirror: no folder but a file", f"fetch --dataset ped2 --mirror {CONFIG}",
        f"mirror {CONFIG}: no such folder"),
    option("mirror: none, and no address", "fetch --dataset ped2", "no complete layout without a mirror", "MIRROR=..."),
    option("mirror: an address that is none", "fetch --dataset ped2 --mirror 'file://['", "mirror file://[: ", "give"),
    option("mirror: an address with a space", "fetch --dataset ped2 --mirror 'http://127.0.0.1:1/a b'",
        "http://127.0.0.1:1/a b/ped2/", "check the network and the mirror's address"),
    option("mirror: nobody answers", "fetch --dataset ped2 --mirror http://127.0.0.1:1", "http://127.0.0.1:1/ped2/",
        "no answer", "check the network and the mirror's address"),
    Case("raw: changed since it was fetched", "prepared", lambda root: flip(root / RAW / TRAINING), (), PREPARE,
        (f"{RAW / TRAINING}: sha256 ", "delete it and run `lightvad fetch` again")),
    Case("raw: gone since it was fetched", "prepared", lambda root: gone(root / RAW / TESTING), (), PREPARE,
        (f"{RAW / TESTING}: missing; ", "lightvad fetch")),
    option("raw: never fetched", PREPARE, "data/raw/ped2/fetched.json: missing; run `snakemake"),
    artefact("raw: the list of fetched files is not JSON", RAW / "fetched.json", cut(), PREPARE,
        "data/raw/ped2/fetched.json: missing or not JSON", "run the stage that writes it again", stage="prepared"),
    artefact("raw: the list of fetched files says nothing", RAW / "fetched.json", put(b"[]"), PREPARE,
        "data/raw/ped2/fetched.json: ", GET_IT, stage="prepared"),
    archive("archive: path traversal", jpeg(TRAINING, lambda: tar_with("../../../OWNED")),
        f"{TRAINING}: member '../../../OWNED' points outside the archive", PUBLISHER),
    archive("archive: absolute path", jpeg(TRAINING, lambda: tar_with(str(OUTSIDE))),
        f"member '{OUTSIDE}' points outside the archive", PUBLISHER),
    archive("archive: symbolic link",
        jpeg(TRAINING, lambda: tar_with(TRAINING_FRAME, type=tarfile.SYMTYPE, linkname="/etc/passwd")),
        f"member '{TRAINING_FRAME}' is a link or a device", PUBLISHER),
    archive("archive: hard link",
        jpeg(TRAINING, lambda: tar_with(TRAINING_FRAME, type=tarfile.LNKTYPE, linkname="../../x")),
        f"member '{TRAINING_FRAME}' is a link or a device", PUBLISHER),
    archive("archive: device", jpeg(TRAINING, lambda: tar_with(TRAINING_FRAME, type=tarfile.CHRTYPE)),
        f"member '{TRAINING_FRAME}' is a link or a device", PUBLISHER),
    archive("archive: a member says it has 5 GiB", jpeg(TRAINING, huge_member),
        f"says it has {5 * 2**30} bytes, more than the", PUBLISHER),
    archive("archive: a bomb, 65 MiB of zeros in less than a hundredth",
        lambda: {OFFICIAL: gzip.compress(tar_with("UCSDped2/Train/Train001/001.tif", bytes(65 * 2**20)))},
        f"says it has {65 * 2**20} bytes, more than the {64 * 2**20} that are believed", PUBLISHER, layout="official"),
    archive("archive: no archive", jpeg(TRAINING, b"<html>404 not found</html>" * 50),
        f"{TRAINING}: truncated or not an archive", "delete it and run `lightvad fetch` again"),
    archive("archive: cut in the middle", lambda: jpeg_layout() | {TRAINING: jpeg_layout()[TRAINING][:9000]},
        f"{TRAINING}: truncated or not an archive", GET_IT),
    archive("archive: compressed and cut in the middle",
        lambda: {OFFICIAL: official_layout()[OFFICIAL][:2000]}, f"{OFFICIAL}: truncated or not an archive", GET_IT,
        layout="official"),
    archive("archive: a frame twice",
        jpeg(TRAINING, lambda: tar_with("ped2/training/frames/1/00.jpg", encoded(".jpg", frame("train", 1, 3)))),
        "ped2/training/frames/01/000.jpg", "twice", GET_IT),
    archive("archive: a clip is missing", lambda: jpeg_layout(without("training/frames/02")),
        "3 clips, 4 expected; missing: Train002", GET_IT),
    archive("archive: a frame is missing", lambda: jpeg_layout(without("training/frames/01/002")),
        "clip Train001: frame 2 is missing", GET_IT),
    config("file: a name that leads outside", lambda c: c["layouts"]["jpeg"][0].update(file="../../OWNED"),
        "'../../OWNED'", "below the dataset's folder"),
    config("file: an absolute name", lambda c: c["layouts"]["jpeg"][0].update(file=str(OUTSIDE)),
        f"'{OUTSIDE}'", "below the dataset's folder"),
]

IMAGES_AND_VIDEOS = [
    clip("image: truncated JPEG", "jpeg", lambda: jpeg_layout(half_a_frame(TRAINING_FRAME)),
        f"{TRAINING}: {TRAINING_FRAME}: truncated or not an image", "get the file again"),
    clip("image: JPEG without its last tenth", "jpeg",
        members_with(TRAINING_FRAME, lambda: (e := encoded(".jpg", frame("train", 1, 2)))[: len(e) * 9 // 10]),
        f"{TRAINING_FRAME}: truncated or not an image", "get the file again"),
    clip("image: empty", "jpeg", members_with(TRAINING_FRAME, lambda: b""),
        f"{TRAINING_FRAME}: truncated or not an image (0 bytes)"),
    clip("image: text", "jpeg", members_with(TRAINING_FRAME, lambda: b"no image"),
        f"{TRAINING_FRAME}: truncated or not an image"),
    clip("image: truncated TIFF", "official",
        lambda: official_layout(half_a_frame("UCSD_Anomaly_Dataset.v1p2/UCSDped2/Train/Train002/003.tif")),
        "Train/Train002/003.tif: truncated or not an image", "get the file again"),
    clip("image: truncated PNG under the name of a JPEG", "jpeg",
        members_with(TRAINING_FRAME, lambda: (e := encoded(".png", frame("train", 1, 2)))[: len(e) // 2]),
        f"{TRAINING_FRAME}: truncated or not an image", "get the file again"),
    clip("image: another size than its clip", "jpeg",
        members_with(TRAINING_FRAME, lambda: encoded(".jpg", frame("train", 1, 2, height=40))),
        "clip Train001: frames of different sizes ([(40, 64), (48, 64)])", "get the dataset's files again"),
    clip("video: 0 bytes", "compact_h264", videos(train1=lambda: b""), "train/Train001.mp4: cannot be decoded",
        "get it again"),
    clip("video: cut in the middle", "compact_h264",
        videos(train1=lambda: (v := video(drawn("train", 1)))[: len(v) * 3 // 4]),
        "Train001", "again"),
    clip("video: cut in its header", "compact_h264", videos(train1=lambda: video(drawn("train", 1))[:200]),
        "train/Train001.mp4: cannot be decoded", "get it again"),
    clip("video: text", "compact_h264", videos(test2=lambda: b"no video at all\n" * 40),
        "test/Test002.mp4: cannot be decoded",
        "get it again"),
    clip("video: a playlist of other files", "compact_h264",
        videos(train1=lambda: b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nTrain002.mp4\n#EXT-X-ENDLIST\n"),
        "train/Train001.mp4: cannot be decoded", "get it again"),
    clip("video: its size changes on the way", "compact_h264",
        videos(train1=lambda: jpegs_as_video([*drawn("train", 1)[:3],
        *[frame("train", 1, t, height=40) for t in (3, 4, 5)]])),
        "train/Train001.mp4: frames of different sizes (40x64, 48x64)", "get it again"),
    clip("video: a frame less than published", "compact_h264", videos(train2=lambda: video(drawn("train", 2)[:-1])),
        "train has 11 frames, 12 expected; clips have Train001 6, Train002 5", GET_IT),
    clip("video: a frame less than masks", "compact_h264",
        videos(test1=lambda: video(drawn("test", 1)[:-1]),
        test2=lambda: video([*drawn("test", 2), frame("test", 2, 5)])),
        "clip Test001 has 5 frames but masks of 6", "get the frames and masks again"),
]

LABELS_AND_MASKS = [
    clip("masks: a frame short", "jpeg", masks(_01=clip_of_masks(1), _02=clip_of_masks(2, 5)),
        "clip Test002 has 6 frames but masks of 5", "get the frames and masks again"),
    clip("masks: a frame long", "jpeg", masks(_01=clip_of_masks(1, 7), _02=clip_of_masks(2)),
        "clip Test001 has 6 frames but masks of 7", "get the frames and masks again"),
    clip("masks: another size", "jpeg", masks(_01=clip_of_masks(1)[:, :40], _02=clip_of_masks(2)),
        "clip Test001 has frames of 48x64 but masks of 40x64", "get both again"),
    clip("masks: of one clip only", "jpeg", masks(_01=clip_of_masks(1)), "no masks of clip Test002", GET_IT),
    clip("masks: NaN", "jpeg", jpeg(MASKS,
        lambda: npz(**{"01": [np.nan], "02": [np.nan], "shapes": [[6, 48, 64]] * 2})),
        f"{MASKS}: damaged masks", GET_IT),
    clip("masks: a shape that is NaN", "jpeg",
        jpeg(MASKS, lambda: npz(**{"01": np.zeros(9, np.uint8), "shapes": [[np.nan] * 3]})),
        f"{MASKS}: damaged masks", GET_IT),
    clip("masks: say they are larger than the memory", "jpeg",
        jpeg(MASKS, lambda: npy_member("01", (2**50,))), f"{MASKS}: missing or damaged masks", GET_IT),
    clip("masks: pickled objects", "jpeg", jpeg(MASKS, npz_with_payload("01", "02", "shapes")),
        f"{MASKS}: missing or damaged masks (Object arrays cannot be loaded", GET_IT),
    clip("masks: an array that is no archive", "jpeg", jpeg(MASKS, b"\x93NUMPY" + npy_member("x", (3,))[6:]),
        f"{MASKS}: missing or damaged masks", GET_IT),
    clip("ranges: not those of the masks", "jpeg", jpeg(MATLAB, b"x{1}.gt_frame = [3:5];\nx{2}.gt_frame = [1:3];\n"),
        "UCSDped2.m: differs from the pixel masks of clip Test001 at frame 4", "get the dataset's files again"),
    clip("ranges: beyond the clip", "jpeg", jpeg(MATLAB, b"x{1}.gt_frame = [3:4];\nx{2}.gt_frame = [1:3, 90:95];\n"),
        "UCSDped2.m: differs from the pixel masks of clip Test002", "get the dataset's files again"),
    clip("ranges: none", "jpeg", jpeg(MATLAB, b"\xff\xfe\x00"), "UCSDped2.m: no `gt_frame = [first:last]`",
        "get the file again"),
    *(
        case
        for command, name in ((SCORE, "student"), (MAPS, "teacher"))
        for case in (
            artefact(f"labels: a frame short ({name})", LABELS, table(lambda t: t.iloc[:-1]), command,
                "labels.parquet", "clip Test002", "6 frames", AGAIN),
            artefact(f"labels: a frame long ({name})", LABELS,
                table(lambda t: pd.concat([t, t.iloc[-1:].assign(frame=6)])), command,
                "labels.parquet", "clip Test002", "6 frames", AGAIN),
            artefact(f"labels: a frame twice ({name})", LABELS, table(lambda t: pd.concat([t, t.iloc[-1:]])), command,
                "labels.parquet", "clip Test002", "6 frames", AGAIN),
            artefact(f"labels: of an unknown clip ({name})", LABELS,
                table(lambda t: pd.concat([t, t.iloc[-1:].assign(clip="Test009", frame=0)])), command,
                "labels.parquet", "clip Test009", AGAIN),
            artefact(f"labels: NaN ({name})", LABELS, cell("label", np.nan, row=3), command,
                "labels.parquet: label", "clip Test001, frame 3"),
            artefact(f"labels: 2 ({name})", LABELS, cell("label", 2, row=3), command,
                "labels.parquet: ", "clip Test001, frame 3", "2, not 0 or 1", AGAIN),
            artefact(f"labels: 0.5 ({name})", LABELS, cell("label", 0.5, row=3), command,
                "labels.parquet: label is 0.5 at clip Test001, frame 3"),
        )
    ),
]

BOXES_AND_CLASSES = [
    boxes("boxes: NaN", ".npz", lambda: boxes_npz("train", boxes=np.full((12, 4), np.nan, np.float32)),
        "boxes/train.npz: box (nan, nan, nan, nan) at clip Train001, frame 0 is not a number", "mend the boxes"),
    boxes("boxes: negative", ".csv",
        lambda: boxes_csv("train", lambda lines: lines.__setitem__(3, "Train001,2,-9,12,14,30")),
        "train.csv: box (-9, 12, 14, 30) at clip Train001, frame 2 reaches outside its frame of 64x48 px",
        "mend the boxes"),
    boxes("boxes: inverted", ".csv",
        lambda: boxes_csv("train", lambda lines: lines.__setitem__(3, "Train001,2,14,12,4,30")),
        "box (14, 12, 4, 30) at clip Train001, frame 2 is inverted or empty", "mend the boxes"),
    boxes("boxes: beyond the frame", ".csv",
        lambda: boxes_csv("train", lambda lines: lines.__setitem__(3, "Train001,2,4,12,70,30")),
        "box (4, 12, 70, 30) at clip Train001, frame 2 reaches outside its frame of 64x48 px", "mend the boxes"),
    boxes("boxes: infinite", ".csv",
        lambda: boxes_csv("train", lambda lines: lines.__setitem__(3, "Train001,2,4,12,inf,30")),
        "at clip Train001, frame 2 is not a number", "mend the boxes"),
    boxes("boxes: wrong columns", ".csv",
        lambda: boxes_csv("train", lambda lines: lines.__setitem__(0, "clip,frame,x,y,w,h")),
        "train.csv: lacks the column(s) x1, y1, x2, y2; expected clip, frame"),
    boxes("boxes: a field is empty", ".csv",
        lambda: boxes_csv("train", lambda lines: lines.__setitem__(3, "Train001,,4,12,14,30")),
        "train.csv: frame is NaN at clip Train001", "write the file again"),
    boxes("boxes: a word for a number", ".csv",
        lambda: boxes_csv("train", lambda lines: lines.__setitem__(3, "Train001,2,four,12,14,30")),
        "train.csv: a column has the wrong type", "write it again"),
    boxes("boxes: between two frames", ".csv",
        lambda: boxes_csv("train", lambda lines: lines.__setitem__(3, "Train001,1.5,4,12,14,30")),
        "train.csv: frame is 1.5 at clip Train001"),
    boxes("boxes: a frame number beyond 32 bits", ".csv",
        lambda: boxes_csv("train", lambda lines: lines.__setitem__(3, f"Train001,{2**32},4,12,14,30")), "train.csv: ",
        "Train001", str(2**32)),
    boxes("boxes: a frame beyond the clip", ".csv",
        lambda: boxes_csv("train", lambda lines: lines.append("Train002,6,4,12,14,30")),
        "boxes for clip Train002, frame 6, but that clip has 6 frames (counted from 0)", "mend the frame numbers"),
    boxes("boxes: a frame before the clip", ".csv",
        lambda: boxes_csv("train", lambda lines: lines.append("Train002,-1,4,12,14,30")),
        "boxes for clip Train002, frame -1", "mend the frame numbers"),
    boxes("boxes: of an unknown clip", ".csv",
        lambda: boxes_csv("train", lambda lines: lines.append("Test001,0,4,12,14,30")),
        "boxes for clip Test001, which this split has not; it has Train001 to Train002"),
    boxes("boxes: an empty file", ".csv", lambda: b"\n", "train.csv: not a readable table", "write it again"),
    boxes("boxes: not UTF-8", ".csv", lambda: b"clip,frame,x1,y1,x2,y2\n\xff\xfe\xff,0,1,1,2,2\n",
        "train.csv: not a readable table",
        "write it again"),
    boxes("boxes: no Parquet", ".parquet", lambda: b"PAR1" + bytes(64), "train.parquet: not a readable table",
        "write it again"),
    boxes("boxes: an unknown kind of file", ".txt", lambda: b"1 2 3 4",
        "train.txt: boxes are read from .npz, .parquet, .csv; convert"),
    boxes("boxes: for other frames", ".npz", lambda: boxes_npz("train", boxes_per_frame=np.ones(11, np.int16)),
        "train.npz: boxes for 11 frames, but the 2 clips have 12", "give the file of this split"),
    boxes("boxes: more than are told", ".npz", lambda: boxes_npz("train", boxes=np.ones((13, 4), np.float32)),
        "train.npz: `boxes` of shape (13, 4), but `boxes_per_frame` adds up to 12", "get the file again"),
    boxes("boxes: a share of a box a frame", ".npz", lambda: boxes_npz("train", boxes_per_frame=np.full(12, 1.5)),
        "train.npz: ", "`boxes_per_frame`", "get the file again"),
    boxes("boxes: words", ".npz", lambda: boxes_npz("train", boxes=np.full((12, 4), "four")), "train.npz: ", "`boxes`",
        "get the file again"),
    boxes("boxes: a single number of them", ".npz", lambda: boxes_npz("train", boxes_per_frame=np.int16(12)),
        "train.npz: ", "get the file again"),
    boxes("boxes: pickled objects", ".npz", npz_with_payload("boxes", "boxes_per_frame"),
        "train.npz: ", "Object arrays cannot be loaded", "get the file again"),
    boxes("boxes: truncated npz", ".npz", lambda: boxes_npz("train")[:300], "train.npz: ", "get the file again"),
    boxes("boxes: an array that is no archive", ".npz", lambda: b"\x93NUMPY" + boxes_npz("train")[6:], "train.npz: ",
        "get the file again"),
    boxes("boxes: say they are larger than the memory", ".npz", lambda: npy_member("boxes", (2**50, 4)), "train.npz: ",
        "get the file again"),
    Case("boxes: nothing moves", "prepared",
        lambda root: edit(root, lambda c: c["detection"].update(motion={"threshold": 250})),
        (), DETECT, ("ped2 motion boxes: nothing was found in any clip; lower the threshold",)),
    artefact("boxes: a row beyond its clip since", BOXES / "motion.parquet", cell("frame", 6), SCORE_OBJECTS,
        "motion.parquet: ", "clip Test001, frame 6", "lightvad detect"),
    artefact("boxes: a row of an unknown clip since", BOXES / "motion.parquet", cell("clip", "Test009"), SCORE_OBJECTS,
        "motion.parquet: ", "clip Test009", "lightvad detect"),
    artefact("boxes: inverted since", BOXES / "motion.parquet", cell("x2", 0), SCORE_OBJECTS,
        "motion.parquet: box (", "at clip Test001, frame 0 is not 0 <= x1 < x2", "mend the boxes"),
    artefact("classes: of other boxes", BOXES / "motion.classes.npz",
        put(lambda: npz(probabilities=np.zeros((3, 0)), names=np.zeros(0, "U1"))),
        SCORE_OBJECTS, "motion.classes.npz: class probabilities of shape (3, 0)", "run `lightvad detect` again"),
    artefact("classes: pickled objects", BOXES / "motion.classes.npz", put(npz_with_payload("probabilities", "names")),
        SCORE_OBJECTS,
        "motion.classes.npz: missing or damaged class probabilities (Object arrays cannot",
        "run `lightvad detect` again"),
]

CONFIGS = [
    config("config: unknown key", set_to("fsp", 3), "config/datasets/ped2.yaml: fsp: unknown key; allowed here: clips"),
    config("config: unknown key below", lambda c: c["detection"]["motion"].update(gpa=1),
        "detection.motion.gpa: unknown key; allowed here: gap"),
    config("config: wrong type", set_to("fps", "fast"),
        "config/datasets/ped2.yaml: fps: Input should be a valid number", "got 'fast'"),
    config("config: impossible value", set_to("fps", -3),
        "config/datasets/ped2.yaml: fps: Input should be greater than 0 (got -3)"),
    config("config: NaN", set_to("fps", float("nan")),
        "config/datasets/ped2.yaml: fps: Input should be a finite number"),
    config("config: infinite", set_to("fps", float("inf")),
        "config/datasets/ped2.yaml: fps: Input should be a finite number"),
    config("config: a share above 1", set_to("heldout_fraction", 1.5), "heldout_fraction: Input should be less than 1"),
    config("config: a key is missing", lambda c: c.pop("fps"), "config/datasets/ped2.yaml: fps: is missing"),
    config("config: a frame of no height", set_to("frame_size", [0, 64]), "frame_size.0: Input should be greater than"),
    config("config: quantiles the wrong way round", set_to("object_maps", {"quantiles": [0.9, 0.1]}), "object_maps: ",
        "quantiles"),
    config("config: no sha256", lambda c: c["layouts"]["jpeg"][0].update(sha256="abc"),
        "layouts.jpeg.0.sha256: String should match pattern"),
    config("config: a backend without its section", set_to("detection", {"backend": "import"}),
        "needs its section `imported`"),
    config("config: the name of another dataset", set_to("name", "plaza"), "config/datasets/ped2.yaml: name: 'plaza'",
        "write 'ped2'"),
    written("config: a list", str(CONFIG), "- 1\n- 2\n", "config/datasets/ped2.yaml: ", "keys"),
    written("config: a word", str(CONFIG), "ped2\n", "config/datasets/ped2.yaml: ", "keys"),
    written("config: a key twice", str(CONFIG), "name: ped2\nfps: 3\nfps: 4\n", "config/datasets/ped2.yaml: not YAML",
        "'fps'", "twice"),
    written("config: syntax error", str(CONFIG), "name: [1, 2\n", "config/datasets/ped2.yaml: not YAML"),
    written("config: not UTF-8", str(CONFIG), b"name: \xff\xfe\n", "config/datasets/ped2.yaml: not YAML"),
    written("config: a tag that runs a command", str(CONFIG),
        f"name: !!python/object/apply:os.system ['touch {OWNED}']\n",
        "config/datasets/ped2.yaml: not YAML"),
    written("config: contains itself", str(CONFIG), "name: &x [*x]\n", "config/datasets/ped2.yaml: name"),
    Case("config: a folder", "configured", lambda root: ((root / CONFIG).unlink(), (root / CONFIG).mkdir()), (), FETCH,
        ("config/datasets/ped2.yaml: ", "there are: ")),
    option("config: unknown dataset", "fetch --dataset nowhere", "config/datasets/nowhere.yaml: missing in ",
        "there are: avenue, avenue_subset, folder, ped2, plaza, shanghaitech, ubnormal"),
    option("config: a dataset by a way round", "prepare --dataset ../datasets/ped2", "../datasets/ped2"),
    option("config: unknown method", "score --run results/runs/ped2/tiny/slow_aed/default/seed0",
        "method 'slow_aed': no folder of this name", "there are: aed_mae, background_agnostic, fast_aed, ssmtl"),
    option("config: unknown variant", "score --run results/runs/ped2/tiny/fast_aed/swift/seed0",
        "config/methods/fast_aed.yaml: no variant 'swift'; it has default"),
    option("config: unknown budget", "score --run results/runs/ped2/huge/fast_aed/default/seed0",
        "config/budgets/huge.yaml: missing", "tiny"),
    option("config: no seed", "score --run results/runs/ped2/tiny/fast_aed/default/seedX",
        "not a run; write results/runs/"),
    option("config: more than a seed", "score --run results/runs/ped2/tiny/fast_aed/default/seed0x",
        "not a run; write results/runs/"),
    option("config: below a run", f"score --run {STUDENT.folder}/maps.npz", "not a run; write results/runs/"),
    option("config: unknown backend", "detect --dataset ped2 --backend magic", "backend: Input should be 'ultralytics'",
        stage="prepared"),
    option("config: --set without =", f"{FETCH} --set datasets.ped2.fps",
        "--set datasets.ped2.fps: write it as KIND.NAME.KEY=VALUE"),
    option("config: --set of no file", f"{FETCH} --set datasets.nowhere.fps=3",
        "--set datasets.nowhere.fps=3: there is no config/datasets/nowhere.yaml"),
    option("config: --set of what nobody reads", f"{FETCH} --set detectors.yolo_plaza.names=[a]",
        "--set detectors.yolo_plaza.names=[a]: ", "datasets, methods, budgets, experiments"),
    option("config: --set that is no YAML", f"{FETCH} --set 'datasets.ped2.fps=[1'", "is not a YAML value"),
    option("config: --set with a new line", f"{FETCH} --set 'datasets.ped2.title\nfps: 3'",
        r"--set datasets.ped2.title\nfps: 3: write it as"),
    option("config: a teacher that is no object method",
        f"{DISTIL} --set 'methods.fast_aed.settings.teachers=[{{method: fast_aed, variant: pasted}}]'",
        "config/methods/fast_aed.yaml", "teacher fast_aed", "object method", "background_agnostic, ssmtl",
        stage="prepared"),
    option("config: a teacher's unknown variant",
        f"{DISTIL} --set 'methods.fast_aed.settings.teachers=[{{method: ssmtl, variant: swift}}]'",
        "config/methods/ssmtl.yaml: no variant 'swift'", stage="prepared"),
    option("config: a teacher of no weight",
        f"{DISTIL} --set 'methods.fast_aed.settings.teachers=[{{method: ssmtl, weight: 0}}]'",
        "teachers.0.weight: Input should be greater than 0", stage="prepared"),
    option("config: the same seed twice", "table --number 7 --datasets ped2 --budget tiny --seeds 0,0", "--seeds 0,0: ",
        "once"),
    option("config: no table of this number", "table --number ../7 --datasets ped2 --budget tiny",
        "config/experiments/fast_aed.yaml: no table ../7; it has "),
    option("config: no figure of this number", "figure --number 99 --datasets ped2 --budget tiny",
        "config/experiments/fast_aed.yaml: no figure 99; it has "),
    option("command line: no dataset", "prepare", "--dataset", "lightvad prepare --help", status=2),
    option("command line: unknown option", f"{FETCH} --miror x", "--miror", "lightvad fetch --help", status=2),
    option("command line: unknown command", "fetsh", "fetsh", "lightvad --help", status=2),
    option("command line: unknown device", f"{DETECT} --device abacus", "--device", "'abacus'", "cpu", status=2,
        stage="prepared"),
    option("command line: a negative number of threads", "detect --dataset ped2 --threads -1", "--threads",
        "greater than or equal to 0", "lightvad detect --help", status=2, stage="prepared"),
    option("command line: a GPU that is not there", f"score --run {STUDENT.folder} --device cuda",
        "device: cuda was asked for", "use --device cpu or auto", stage="scored")
    if not torch.cuda.is_available() else
    option("command line: no seed", "detect --dataset ped2 --seed x", "--seed", status=2, stage="prepared"),
]

RETRAIN = "lightvad train"
WEIGHTS = [
    artefact("weights: a pickle with a payload", MODEL, lambda path: torch.save({"w": Payload()}, path), SCORE,
        "model.safetensors: missing or not a safetensors file", RETRAIN),
    artefact("weights: a bare pickle with a payload", MODEL, put(lambda: pickle.dumps(Payload())), SCORE,
        "model.safetensors: missing or not a safetensors file", RETRAIN),
    Case("weights: a YOLO checkpoint with a payload", "prepared", checkpoint, (FETCH_BOXES,), DETECT,
        ("detectors/evil.pt: ultralytics cannot load it as data", "give one of its detection checkpoints (.pt)")),
    artefact("weights: truncated", MODEL, cut(), SCORE, "model.safetensors: missing or not a safetensors file",
        RETRAIN),
    artefact("weights: empty", MODEL, put(b""), SCORE, "model.safetensors: missing or not a safetensors file", RETRAIN),
    artefact("weights: missing", MODEL, gone, SCORE, f"{MODEL}: missing; run `snakemake --cores 2 {MODEL}`"),
    artefact("weights: of another shape", MODEL, tensors(shorten_the_largest), SCORE,
        "model.safetensors: weights do not fit the model", "size mismatch", "train again"),
    artefact("weights: a tensor is missing", MODEL, tensors(lambda s: s.pop(max(s))), SCORE,
        "model.safetensors: weights do not fit the model", "Missing key", "train again"),
    artefact("weights: NaN", MODEL, tensors(spoil_a_weight), SCORE, "model.safetensors: ", "holds NaN", RETRAIN),
    artefact("weights: of another method", MODEL,
        lambda path: shutil.copy(path.parents[3] / "ssmtl/default/seed0/model.safetensors", path), SCORE,
        "model.safetensors: weights of another run (ssmtl/default on ped2, budget tiny, seed 0)", RETRAIN),
    artefact("weights: trained with other settings", MODEL,
        tensors(lambda s: None, settings='{"frame_size": [24, 32]}'), SCORE,
        "model.safetensors: trained with frame_size [24, 32], but the run has [48, 64]", RETRAIN),
    artefact("weights: a header that is not JSON", MODEL, tensors(lambda s: None, settings="{"), SCORE,
        "model.safetensors: ", "header", RETRAIN),
    artefact("weights: a header that is no mapping", MODEL, tensors(lambda s: None, settings="[3]"), SCORE,
        "model.safetensors: ", "header", RETRAIN),
    artefact("weights: a teacher's classes are no number", OBJECT_MODEL, tensors(lambda s: None, classes="many"),
        SCORE_OBJECTS,
        "model.safetensors: ", "classes", "many", RETRAIN),
]

ARTEFACTS = [
    changed("record: an index that was changed", INDEX, DETECT, "index.parquet: sha256 ", "records/prepare.json says",
        "changed or damaged since it was written; run `lightvad prepare"),
    changed("record: a clip that was changed", CLIPS / "test/Test001.zip", SCORE, "Test001.zip: sha256 ",
        "checksums.json says", AGAIN),
    changed("record: scores that were changed", STUDENT.folder / "frame_scores.parquet", EVALUATE,
        "frame_scores.parquet: sha256 ", "records/score.json says", "changed or damaged since it was written"),
    artefact("index: truncated", INDEX, cut(), DETECT, "index.parquet: not a readable Parquet file",
        "delete it and run its stage again"),
    artefact("index: a column is missing", INDEX, table(lambda t: t.drop(columns="frames")), DETECT,
        "index.parquet: lacks the column(s) frames; expected clip, split"),
    artefact("index: a clip twice", INDEX, table(lambda t: pd.concat([t, t.iloc[:1]])), DETECT, "index.parquet: ",
        "clip Test001", "twice", AGAIN),
    artefact("index: an unknown split", INDEX, cell("split", "validation"), DETECT, "index.parquet: ", "clip Test001",
        "'validation'", AGAIN),
    artefact("index: a clip of no frames", INDEX, cell("frames", 0), DETECT, "index.parquet: ", "clip Test001", AGAIN),
    artefact("index: other sizes than the frames", INDEX, cell("height", 40), SCORE, "Test001.zip: frame 0", "48x64",
        "40x64", AGAIN),
    artefact("index: another number of frames", INDEX, cell("frames", 5), DETECT,
        "Test001.zip: 6 frames, but the index says 5", AGAIN),
    artefact("index: a clip whose name leads outside", INDEX, cell("clip", "../train/Train001"), DETECT,
        "index.parquet: clip ../train/Train001 cannot be the name of a file", AGAIN),
    artefact("index: a clip without a name", INDEX, cell("clip", ""), DETECT,
        "index.parquet: clip  cannot be the name of a file", AGAIN),
    artefact("index: a folder for a clip", INDEX, cell("clip", ".."), DETECT,
        "index.parquet: clip .. cannot be the name of a file", AGAIN),
    artefact("clip: gone", CLIPS / "test/Test001.zip", gone, DETECT, "0 files for clip Test001, expected 1", AGAIN),
    artefact("clip: truncated", CLIPS / "test/Test001.zip", cut(), DETECT, "Test001.zip: missing or damaged clip",
        AGAIN),
    artefact("clip: a frame is damaged", CLIPS / "test/Test001.zip", flip, DETECT, "Test001.zip", "frame ", "again"),
    artefact("object scores: truncated", OBJECT_SCORES, cut(), MAPS,
        "object_scores.parquet: not a readable Parquet file"),
    artefact("object scores: NaN", OBJECT_SCORES, cell("score", np.nan, row=2), MAPS,
        "object_scores.parquet: score is NaN at clip Test001, frame 2"),
    artefact("object scores: infinite", OBJECT_SCORES, cell("score", np.inf, row=2), MAPS,
        "object_scores.parquet: score is inf at clip Test001, frame 2"),
    artefact("object scores: beyond the clip", OBJECT_SCORES, cell("frame", 6), MAPS, "object_scores.parquet: ",
        "clip Test001, frame 6"),
    artefact("object scores: all the same", OBJECT_SCORES, table(lambda t: t.assign(score=1.0)), MAPS,
        "nothing to scale the maps by", "train the method again"),
    artefact("frame scores: truncated", SCORES, cut(), EVALUATE, "frame_scores.parquet: not a readable Parquet file",
        "run its stage again"),
    artefact("frame scores: wrong columns", SCORES, table(lambda t: t.rename(columns={"score": "value"})), EVALUATE,
        "frame_scores.parquet: lacks the column(s) score; expected clip, frame, score, label"),
    artefact("frame scores: NaN", SCORES, cell("score", np.nan, row=8), EVALUATE,
        "frame_scores.parquet: score is NaN at clip Test002, frame 2"),
    artefact("frame scores: infinite", SCORES, cell("score", np.inf, row=8), EVALUATE,
        "frame_scores.parquet: score is inf at clip Test002, frame 2"),
    artefact("frame scores: a label of 2", SCORES, cell("label", 2, row=8), EVALUATE,
        "clip Test002, frame 2: label is 2, not 0 or 1"),
    artefact("frame scores: the last frame is missing", SCORES, table(lambda t: t.iloc[:-1]), EVALUATE, "clip Test002",
        "5 ", "6 frames", "again"),
    artefact("frame scores: a clip is missing", SCORES, table(lambda t: t[t["clip"] == "Test001"]), EVALUATE,
        "clip Test002", "again"),
    artefact("frame scores: of an unknown clip", SCORES, table(lambda t: pd.concat([t, t.assign(clip="Test009")])),
        EVALUATE, "clip Test009", "again"),
    artefact("frame scores: a frame twice", SCORES, table(lambda t: pd.concat([t, t.iloc[:1]])), EVALUATE,
        "clip Test001", "again"),
    artefact("frame scores: empty", SCORES, table(lambda t: t.iloc[:0]), EVALUATE,
        "frame_scores.parquet: clip Test001 has 0 scores, but 6 frames", "run `lightvad score` again"),
    artefact("regions: NaN", REGIONS, cell("score", np.nan), EVALUATE,
        "regions.parquet: score is NaN at clip Test001, frame 0"),
    artefact("regions: beyond the clip", REGIONS, cell("frame", 6), EVALUATE, "regions.parquet: ",
        "clip Test001, frame 6"),
    artefact("tracks: of an unknown clip", TRACKS, cell("clip", "Test009"), EVALUATE, "tracks.parquet: ",
        "clip Test009", AGAIN),
    artefact("tracks: no Parquet but a pickle", TRACKS, put(lambda: pickle.dumps(Payload())), EVALUATE,
        "tracks.parquet: not a readable Parquet file"),
    artefact("maps: truncated", MAPS_NPZ, cut(), DISTIL, "maps.npz: missing or damaged anomaly maps",
        "lightvad maps"),
    artefact("maps: damaged inside", MAPS_NPZ, lambda path: flip(path, at=90), DISTIL, "maps.npz: ",
        "lightvad maps"),
    artefact("maps: pickled objects", MAPS_NPZ,
        put(npz_with_payload("Train001/4", "Train002/4", "Train001/8")), DISTIL, "maps.npz: ",
        "Object arrays cannot be loaded", "lightvad maps"),
    artefact("maps: an array that is no archive", MAPS_NPZ, put(b"\x93NUMPY" + npz(x=[1])[6:]),
        DISTIL, "maps.npz: missing or damaged anomaly maps", "lightvad maps"),
    artefact("maps: of a longer clip", MAPS_NPZ, train_maps(lambda r: np.zeros((7, r, r), np.float32)), DISTIL,
        "maps.npz: Train001/4 has 7 maps, but the clip 6 frames", "lightvad maps"),
    artefact("maps: of another size", MAPS_NPZ, train_maps(lambda r: np.zeros((6, 3), np.float32)), DISTIL,
        "maps.npz: Train001/4", "(6, 3)", "lightvad maps"),
    artefact("maps: NaN", MAPS_NPZ, train_maps(lambda r: np.full((6, r, r), np.nan, np.float32)), DISTIL,
        "maps.npz: Train001/4", "NaN", "lightvad maps"),
    artefact("maps: missing", MAPS_NPZ, gone, DISTIL,
        "ssmtl/default/seed0/maps.npz: missing; run `snakemake"),
]

DISK = [
    Case("disk: a file where the clips should be", "prepared", in_the_way("data/clips"), (), PREPARE,
        ("data/clips", "cannot be written")),
    Case("disk: a file where the boxes should be", "prepared", in_the_way("results"), (), DETECT,
        ("results/boxes/ped2/", "cannot be written")),
    Case("disk: a file where the run should be", "prepared", in_the_way("results/runs"), (), EVALUATE,
        ("results/runs", "cannot be written")),
    Case("disk: raw files cannot be written", "configured", read_only("data/raw"), (), FETCH,
        ("data/raw/ped2/", "cannot be written")),
    Case("disk: clips cannot be written", "prepared", read_only("data/clips"), (), PREPARE,
        ("data/clips/ped2/", "cannot be written")),
]

NAMES = [
    option("name: a dataset that would run a command", f"fetch --dataset '$(touch {OWNED})'",
        f"config/datasets/$(touch {OWNED}).yaml: missing"),
    option("name: a dataset with a semicolon", f"prepare --dataset 'ped2; touch {OWNED}'",
        f"config/datasets/ped2; touch {OWNED}.yaml: missing"),
    option("name: a dataset with a new line", "prepare --dataset 'ped2\nlightvad: all is well'",
        r"config/datasets/ped2\nlightvad: all is well.yaml: missing"),
    option("name: a dataset with a dash", "prepare --dataset=--help", "config/datasets/--help.yaml: missing"),
    option("name: a run that would run a command",
        f"score --run 'results/runs/ped2/tiny/fast_aed/`touch {OWNED}`/seed0'", f"no variant '`touch {OWNED}`'"),
    option("name: a run with more behind it", f"score --run '{STUDENT.folder}; touch {OWNED}'",
        "not a run; write results/runs/"),
    option("name: a method that leads outside", "score --run results/runs/ped2/tiny/../default/seed0",
        "method '..': no folder of this name"),
    option("name: a paper that leads outside",
        "table --number 7 --datasets ped2 --budget tiny --paper ../datasets/ped2",
        "'../datasets/ped2' cannot be a name; there are: aed_mae, fast_aed"),
    option("name: datasets joined to nothing", "table --number 7 --datasets ped2+ --budget tiny",
        "config/datasets/.yaml: '' cannot be a name; there are: "),
    option("name: a mirror with a new line", "fetch --dataset ped2 --mirror 'no\nwhere'",
        r"mirror no\nwhere: no such folder; give"),
    option("name: a mirror with a colour", "fetch --dataset ped2 --mirror '\x1b[31mred'",
        r"mirror \x1b[31mred: no such folder; give"),
    option("name: a mirror with a dash", "fetch --dataset ped2 --mirror=--help", "mirror --help: no such folder; give"),
]
# fmt: on

CASES = [
    *ARCHIVES,
    *IMAGES_AND_VIDEOS,
    *LABELS_AND_MASKS,
    *BOXES_AND_CLASSES,
    *CONFIGS,
    *WEIGHTS,
    *ARTEFACTS,
    *DISK,
    *NAMES,
]


def declared(root: Path, command: str) -> list[Path]:
    """What the stage of a command writes and is there."""
    folder, patterns = DECLARED[command]
    return [path for pattern in patterns.split() for path in (root / folder).glob(pattern)]


def unfinished(root: Path) -> list[Path]:
    """Temporary files that were left."""
    return [path for top in ("data", "results") for path in (root / top).rglob("*") if ".tmp" in path.name]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_bad_input_is_one_line_and_leaves_nothing(
    case: Case, project: Callable[[str], Path], lightvad: Command
) -> None:
    root = project(case.stage)
    case.spoil(root)
    for command in case.before:
        assert lightvad(root, *shlex.split(command)).status == 0, command
    stage, *options = shlex.split(case.command)
    for path in declared(root, stage) if stage in DECLARED else []:
        path.unlink()
    ended = lightvad(root, stage, *options)
    print(ended.err)
    assert ended.status == case.status
    assert ended.lines, "nothing was said"
    *earlier, last = ended.lines
    assert last.startswith("lightvad: ")
    assert [line for line in earlier if not PROGRESS.match(line)] == []
    assert [fragment for fragment in case.says if fragment not in last] == []
    assert not (stage in DECLARED and declared(root, stage))
    assert unfinished(root) == []
    assert not list(root.parent.rglob(OWNED))
    assert not OUTSIDE.exists()


@pytest.mark.parametrize("command", [FETCH, PREPARE, DETECT, SCORE, MAPS])
def test_a_full_disk_is_one_line_and_leaves_nothing(
    command: str, project: Callable[[str], Path], lightvad: Command
) -> None:
    """The largest file that may be written stands for the room that is left."""
    root = project("scored")
    stage, *options = shlex.split(command)
    made_anew = {"fetch": RAW, "prepare": CLIPS}.get(stage)
    if made_anew is not None:
        shutil.rmtree(root / made_anew)
    for path in declared(root, stage):
        path.unlink()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        ended = lightvad(root, stage, *options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert ended.status == 1
    assert re.search(
        r"^lightvad: .* (cannot be written|no room for \d+ bytes) \(.*File too large\); free disk space",
        ended.lines[-1],
    )
    assert declared(root, stage) == []
    assert unfinished(root) == []


@pytest.mark.parametrize(
    ("command", "status", "says"),
    [
        ("prepare --dataset ped2", 1, "fetched.json: missing"),
        (f"fetch --dataset ped2 --set 'datasets.ped2.fps=$(touch {OWNED})'", 1, "fps: Input should be a valid number"),
        ("prepare --dataset ped2 --what", 2, "see `lightvad prepare --help`"),
    ],
)
def test_a_process_of_its_own_says_the_same(
    command: str, status: int, says: str, project: Callable[[str], Path]
) -> None:
    root = project("configured")
    ended = subprocess.run(
        [sys.executable, "-m", "lightvad", *shlex.split(command)], cwd=root, capture_output=True, text=True, check=False
    )
    assert ended.returncode == status
    assert len(ended.stderr.splitlines()) == 1
    assert says in ended.stderr
    assert not (root / OWNED).exists()


def test_the_names_of_the_cases_differ() -> None:
    names = [case.name for case in CASES]
    assert sorted(names) == sorted(set(names))
