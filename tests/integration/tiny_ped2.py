"""A tiny Ped2 in the publisher's layouts: two training and two test clips of six drawn frames, and how to spoil it."""

import hashlib
import io
import json
import shutil
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import yaml

HEIGHT, WIDTH, FRAMES = 48, 64, 6
CLIPS = [("train", 1), ("train", 2), ("test", 1), ("test", 2)]
NAMES = {"Train001": "train", "Train002": "train", "Test001": "test", "Test002": "test"}
ABNORMAL = {1: range(2, 4), 2: range(3)}
RANGES = b"TestVideoFile = {};\nTestVideoFile{end+1}.gt_frame = [3:4];\nTestVideoFile{end+1}.gt_frame = [1:3];\n"
CONFIG = Path("config/datasets/ped2.yaml")
TRAINING, TESTING = "ped2/ped2_training_jpeg.tar", "ped2/ped2_testing_jpeg.tar"
MASKS, MATLAB, VIDEOS = "ped2/ped2_gt_masks.npz", "ped2/UCSDped2.m", "ped2/ped2_compact_h264.tar"
OFFICIAL = "ped2/UCSD_Anomaly_Dataset.tar.gz"

Files = dict[str, bytes]


def frame(split: str, number: int, t: int, *, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A frame uint8 (H, W, 3) RGB: a bright block that goes 6 pixels to the right from frame to frame."""
    image = np.full((height, width, 3), 60 + 10 * number, np.uint8)
    image[:: 4 if split == "train" else 6] = 90
    image[12:30, 4 + 6 * t : 14 + 6 * t] = (220, 200, 180)
    return image


def mask(number: int, t: int) -> np.ndarray:
    """The abnormal pixels bool (H, W) of a frame of a test clip: the block, in some frames."""
    result = np.zeros((HEIGHT, WIDTH), bool)
    if t in ABNORMAL[number]:
        result[12:30, 4 + 6 * t : 14 + 6 * t] = True
    return result


def encoded(suffix: str, image: np.ndarray) -> bytes:
    """An image file of RGB (or gray, RGBA, 16 bit) pixels."""
    if image.ndim == 3:
        image = image[..., [2, 1, 0, *range(3, image.shape[2])]]
    return cv2.imencode(suffix, image)[1].tobytes()


def tar(members: Mapping[str, bytes] | Iterable[tuple[tarfile.TarInfo, bytes]], mode: str = "w") -> bytes:
    """A tar archive of plain files, or of members with headers of their own."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        pairs = (
            [(member(name, content), content) for name, content in members.items()]
            if isinstance(members, Mapping)
            else members
        )
        for info, content in pairs:
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def member(name: str, content: bytes = b"", **attributes: object) -> tarfile.TarInfo:
    """The header of a member of a tar."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info


def tar_with(name: str, content: bytes = b"", **attributes: object) -> bytes:
    """The training archive with one more member in front."""
    whole = [(member(n, c), c) for n, c in jpeg_members("training").items()]
    return tar([(member(name, content, **attributes), content), *whole])


def npz(**arrays: Any) -> bytes:
    """An `.npz`; arrays of objects are pickled, as a careless writer would do it."""
    buffer = io.BytesIO()
    np.savez(buffer, **{name: np.asarray(array) for name, array in arrays.items()})
    return buffer.getvalue()


def masks_npz(stacks: Mapping[str, np.ndarray] | None = None) -> bytes:
    """Bit-packed masks of the test clips, and their shapes."""
    stacks = stacks or {f"{n:02d}": np.stack([mask(n, t) for t in range(FRAMES)]) for n in (1, 2)}
    packed = {name: np.packbits(stack) for name, stack in stacks.items()}
    return npz(shapes=np.array([stack.shape for stack in stacks.values()]), **packed)


def jpeg_members(folder: str) -> Files:
    """The members of the archive `training` or `testing` of the JPEG layout."""
    split = folder.removesuffix("ing")
    return {
        f"ped2/{folder}/frames/{number:02d}/{t:03d}.jpg": encoded(".jpg", frame(split, number, t))
        for number in (1, 2)
        for t in range(FRAMES)
    }


def jpeg_layout(change: Callable[[Files], Any] = lambda members: None) -> Files:
    """The files of the JPEG layout; `change` is given the members of each archive."""
    training, testing = jpeg_members("training"), jpeg_members("testing")
    change(training)
    change(testing)
    return {TRAINING: tar(training), TESTING: tar(testing), MASKS: masks_npz(), MATLAB: RANGES}


def official_layout(change: Callable[[Files], Any] = lambda members: None) -> Files:
    """The publisher's archive: `.tif` frames and `.bmp` masks, counted from 1."""
    root = "UCSD_Anomaly_Dataset.v1p2/UCSDped2"
    members: Files = {f"{root}/Test/UCSDped2.m": RANGES}
    for split, number in CLIPS:
        folder = f"{root}/{split.capitalize()}/{split.capitalize()}{number:03d}"
        for t in range(FRAMES):
            members[f"{folder}/{t + 1:03d}.tif"] = encoded(".tif", frame(split, number, t)[..., 0])
            if split == "test":
                members[f"{folder}_gt/{t + 1:03d}.bmp"] = encoded(".bmp", mask(number, t).astype(np.uint8) * 255)
    change(members)
    return {OFFICIAL: tar(members, "w:gz")}


def video(
    images: Iterable[np.ndarray], *, codec: str = "libx264", pixels: str = "yuv444p", times: Iterable[int] | None = None
) -> bytes:
    """An MP4 of frames uint8 RGB (of any size) or RGBA; `times` are their presentation times in steps of 40 ms."""
    images = list(images)
    path = Path(tempfile.mkdtemp(), "made.mp4")  # its header is written last and moved to the front
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixels
        stream.time_base = stream.codec_context.time_base = Fraction(1, 25)
        for time, image in zip(times or range(len(images)), images, strict=True):
            picture = av.VideoFrame.from_ndarray(image, format="rgba" if image.shape[2] == 4 else "rgb24")
            picture = picture.reformat(format=pixels)
            picture.pts, picture.time_base = time, Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    content = path.read_bytes()
    shutil.rmtree(path.parent)
    return content


def jpegs_as_video(images: Iterable[np.ndarray]) -> bytes:
    """An MP4 whose frames are JPEGs of their own sizes."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuvj420p"
        for t, image in enumerate(images):
            packet = av.Packet(encoded(".jpg", image))
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, t, t, Fraction(1, 25)
            container.mux(packet)
    return buffer.getvalue()


def drawn(split: str, number: int) -> list[np.ndarray]:
    """The frames of a clip."""
    return [frame(split, number, t) for t in range(FRAMES)]


def video_layout(**changes: bytes) -> Files:
    """The files of the re-encoded layout; `changes`: clip (`train1`) -> another file in place of its video."""
    members = {
        f"ped2_compact/{split}ing/{number:02d}.mp4": changes.get(f"{split}{number}") or video(drawn(split, number))
        for split, number in CLIPS
        if changes.get(f"{split}{number}") != b""
    }
    members |= {f"ped2_compact/{name[:-1]}ing/{int(name[-1]):02d}.mp4": b"" for name, c in changes.items() if c == b""}
    return {VIDEOS: tar(members), MASKS: masks_npz(), MATLAB: RANGES}


def publish(root: Path, layout: str, files: Files) -> None:
    """Put `files` into the mirror, and their true sizes and sha256 into the dataset's configuration."""
    edit(root, lambda content: content.update(layouts={layout: [source(root, name, files[name]) for name in files]}))


def publish_boxes(root: Path, suffix: str, train: bytes, test: bytes) -> None:
    """Boxes made elsewhere as the dataset's detection, in the mirror."""
    sources = {
        split: source(root, f"boxes/{split}{suffix}", content) for split, content in (("train", train), ("test", test))
    }
    edit(root, lambda content: content.update(detection={"backend": "import", "imported": sources}))


def source(root: Path, name: str, content: bytes) -> dict[str, Any]:
    """Put a file into the mirror; what the configuration says of it."""
    path = root / "mirror" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return {"file": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def edit(root: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the dataset's configuration."""
    path = root / CONFIG
    content = yaml.safe_load(path.read_text())
    change(content)
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def unrecorded(root: Path) -> None:
    """Take away what says how files came to be, as if all of them came from elsewhere.

    A file that is not what its maker's record says is refused before it is read; what is in it only matters without.
    """
    for folder in [*root.glob("data/**/records"), *root.glob("results/**/records")]:
        shutil.rmtree(folder)
    for checksums in root.glob("data/clips/*/checksums.json"):
        files = [path for path in checksums.parent.rglob("*") if path.is_file() and path != checksums]
        names = [path.relative_to(checksums.parent).as_posix() for path in files]
        sums = {name: hashlib.sha256((checksums.parent / name).read_bytes()).hexdigest() for name in names}
        checksums.write_text(json.dumps(sums))


def boxes_npz(split: str, **changes: Any) -> bytes:
    """One box a frame around the block, in the form of the shared boxes."""
    count = sum(of == split for of in NAMES.values()) * FRAMES
    corners = [[4 + 6 * (k % FRAMES), 12, 14 + 6 * (k % FRAMES), 30] for k in range(count)]
    arrays = {"boxes": np.array(corners, np.float32), "boxes_per_frame": np.ones(count, np.int16)}
    return npz(**(arrays | changes))


def boxes_csv(split: str, change: Callable[[list[str]], Any] = lambda lines: None) -> bytes:
    """The same boxes as CSV; `change` is given its lines, the header first."""
    lines = ["clip,frame,x1,y1,x2,y2"]
    lines += [
        f"{c},{t},{4 + 6 * t},12,{14 + 6 * t},30" for c, of in NAMES.items() if of == split for t in range(FRAMES)
    ]
    change(lines)
    return "\n".join(lines).encode() + b"\n"


def huge_member() -> bytes:
    """The header of a tar member that says it has 5 GiB, and a few bytes of it."""
    info = tarfile.TarInfo("ped2/training/frames/01/000.jpg")
    info.size = 5 * 2**30
    return info.tobuf() + bytes(2048)


def npy_member(name: str, shape: tuple[int, ...]) -> bytes:
    """An `.npz` whose array `name` says that it is of this shape, and holds eight bytes."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + bytes(8))
        for other in {"shapes", "boxes_per_frame"} - {name}:
            array = io.BytesIO()
            np.save(array, np.ones((1, 3), np.int64))
            archive.writestr(f"{other}.npy", array.getvalue())
    return buffer.getvalue()
