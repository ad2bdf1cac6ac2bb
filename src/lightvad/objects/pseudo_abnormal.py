"""Pseudo-abnormal images: a pool of pictures that show nothing of the scene (T1 sheet, section 3).

Three sources. `paper` reads the paper's collections, which every user fetches under their own licences. `torchvision`
takes its offline substitutes through torchvision, which downloads and checks them. `procedural` needs no data at all.
A manifest with the sha256 of every picture's pixels says what a training has seen.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np

from lightvad.artifacts.documents import write_csv
from lightvad.errors import LightvadError
from lightvad.objects.textures import FAMILIES, procedural_image
from lightvad.video.clips import decode_image

Source = Literal["paper", "torchvision", "procedural"]

COLLECTIONS = ("uiuc_textures", "oxford_flowers", "anime_faces")
"""Folders below `paper/` with the paper's texture, flower and face images (any layout inside)."""

_CHOSEN = """
    n01443537 n01629819 n01641577 n01644900 n01698640 n01742172 n01768244 n01770393 n01774384 n01774750
    n01784675 n01855672 n01882714 n01910747 n01917289 n01944390 n01945685 n01950731 n01983481 n01984695
    n02002724 n02056570 n02058221 n02074367 n02165456 n02190166 n02206856 n02226429 n02231487 n02233338
    n02236044 n02268443 n02279972 n02281406 n02321529 n02395406 n02666196 n02999410 n03400231 n03424325
    n03544143 n03706229 n03804744 n03937543 n04067472 n04179913 n04265275 n04275548 n04328186 n04398044
    n04399382 n04596742 n04597913 n07579787 n07583066 n07614500 n07695742 n07715103 n07720875 n07734744
    n07747607 n07749582 n07753592 n07768694 n07871810 n07873807 n07875152 n09256479
"""

TINY_IMAGENET_CLASSES = tuple(_CHOSEN.split())
"""The 68 classes of Tiny ImageNet that the authors chose (sheet, section 3)."""

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"})


class Pool(NamedTuple):
    """Pseudo-abnormal images, gray uint8 (N, size, size), and the name of each."""

    images: np.ndarray
    names: list[str]

    def write_manifest(self, path: Path) -> None:
        """Write name and sha256 (of the gray pixels as used) of every image as CSV."""
        rows = [
            {"name": name, "sha256": hashlib.sha256(image.tobytes()).hexdigest()}
            for name, image in zip(self.names, self.images, strict=True)
        ]
        write_csv(path, rows)


def pseudo_abnormal_pool(source: Source, *, count: int, seed: int, folder: Path, size: int = 64) -> Pool:
    """Draw `count` pictures, shared evenly among the collections of the source.

    Args:
        source: see the module.
        count: pictures wanted; fewer come back where the source has fewer.
        seed: of the draw (and of the drawing, for `procedural`).
        folder: where `paper/` and `torchvision/` lie; not touched by `procedural`.
        size: side of the pictures, pixels.

    Raises:
        LightvadError: the source's pictures are not there and cannot be had, or one is damaged.
    """
    if source == "procedural":
        families = [list(FAMILIES)[index % len(FAMILIES)] for index in range(count)]
        images = [procedural_image(family, seed=seed, index=k, size=size) for k, family in enumerate(families)]
        return Pool(np.stack(images), [f"procedural/{family}/{index}" for index, family in enumerate(families)])
    collections = _paper(folder / "paper") if source == "paper" else _torchvision(folder / "torchvision")
    drawn = [(name, _gray(read(), size)) for name, read in _drawn(collections, count, np.random.default_rng(seed))]
    return Pool(np.stack([image for _, image in drawn]), [f"{source}/{name}" for name, _ in drawn])


Picture = tuple[str, Callable[[], np.ndarray]]
"""Name of a picture, and how to read it: uint8 (h, w, 3) RGB."""


def _drawn(collections: Sequence[Sequence[Picture]], count: int, rng: np.random.Generator) -> Iterator[Picture]:
    """`count` pictures in turn from the shuffled collections; an exhausted collection drops out."""
    queues = [[collection[int(k)] for k in rng.permutation(len(collection))] for collection in collections]
    while count > 0 and any(queues):
        for queue in queues:
            if queue and count > 0:
                count -= 1
                yield queue.pop()


def _gray(image: np.ndarray, size: int) -> np.ndarray:
    """uint8 (h, w, 3) RGB -> uint8 (size, size)."""
    shrinks = max(image.shape[:2]) > size
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return cv2.resize(gray, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _paper(folder: Path) -> list[list[Picture]]:
    """The collections of the paper, as the user has put them below `folder`; all four are wanted."""
    tiny = folder / "tiny-imagenet-200" / "train"
    found = [_pictures(folder, [folder / name]) for name in COLLECTIONS]
    found.append(_pictures(folder, [tiny / wnid for wnid in TINY_IMAGENET_CLASSES]))
    for name, pictures in zip((*COLLECTIONS, "tiny-imagenet-200/train"), found, strict=True):
        if not pictures:
            message = f"{folder / name}: no images; put them there, or set pseudo.source to torchvision or procedural"
            raise LightvadError(message)
    return found


def _pictures(root: Path, folders: Sequence[Path]) -> list[Picture]:
    def reader(path: Path) -> Callable[[], np.ndarray]:
        return lambda: decode_image(path.read_bytes(), str(path))

    paths = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    return [(path.relative_to(root).as_posix(), reader(path)) for path in paths]


def _torchvision(folder: Path) -> list[list[Picture]]:
    """Describable textures, 102 flowers and CIFAR-100, downloaded and checked by torchvision where they are missing."""
    from torchvision.datasets import CIFAR100, DTD, Flowers102

    def reader(dataset: DTD | Flowers102 | CIFAR100, k: int) -> Callable[[], np.ndarray]:
        return lambda: np.asarray(dataset[k][0].convert("RGB"))

    folder.mkdir(parents=True, exist_ok=True)
    result = []
    for name, make in (("dtd", DTD), ("flowers102", Flowers102), ("cifar100", CIFAR100)):
        try:
            dataset = make(str(folder), download=True)
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:120]
            message = (
                f"{folder}: {name} cannot be had ({reason}); connect to a network, put torchvision's copy there, "
                "or set pseudo.source to procedural"
            )
            raise LightvadError(message) from error
        result.append([(f"{name}/{k}", reader(dataset, k)) for k in range(len(dataset))])
    return result
