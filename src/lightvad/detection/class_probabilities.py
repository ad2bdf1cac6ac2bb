"""Class probabilities of boxes: the target of the fourth task of SSMTL (teacher_ssmtl sheet, section 2, T4).

A detector that finds the boxes knows them itself (`yolo.py`). For boxes that come from elsewhere an ONNX detector of
the YOLOX family looks at the same frames, and every box takes the class probabilities of the anchors that lie on it:
a project choice, since the paper has boxes and classes from one YOLOv3.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from lightvad.artifacts.arrays import read_arrays
from lightvad.artifacts.atomic import atomic_path
from lightvad.errors import LightvadError

STRIDES = (8, 16, 32)
PADDING_GRAY = 114
SUFFICIENT_IOU = 0.5
TILE_OVERLAP = 0.2

# fmt: off
COCO_NAMES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)
# fmt: on


def write_class_probabilities(path: Path, probabilities: np.ndarray, names: Sequence[str]) -> None:
    """Write `BACKEND.classes.npz`: `probabilities` float16 (N, C) in the row order of the boxes, `names` (C,).

    Args:
        path: the file, written atomically.
        probabilities: (N, C) in [0, 1]; C = 0 where class probabilities are off.
        names: the C classes.

    Raises:
        LightvadError: a value is outside [0, 1], or the number of names differs from C.
    """
    if probabilities.ndim != 2 or probabilities.shape[1] != len(names):
        message = f"{path}: class probabilities of shape {probabilities.shape} for {len(names)} class names"
        raise LightvadError(message)
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        message = f"{path}: class probabilities outside [0, 1]; the detector's file does not fit"
        raise LightvadError(message)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, probabilities=probabilities.astype(np.float16), names=np.array(names, dtype=np.str_))


def read_class_probabilities(path: Path, *, boxes: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read class probabilities float32 (boxes, C), in the row order of the boxes, and the names of the C classes.

    Raises:
        LightvadError: the file is missing or damaged, or is about another number of boxes.
    """
    again = "run `lightvad detect` again"
    stored = read_arrays(path, ("probabilities", "names"), what="class probabilities", remedy=again)
    if stored["probabilities"].dtype.kind != "f":
        message = f"{path}: class probabilities of {stored['probabilities'].dtype}, expected float16; {again}"
        raise LightvadError(message)
    probabilities, names = stored["probabilities"].astype(np.float32), tuple(map(str, stored["names"].ravel()))
    if probabilities.shape != (boxes, len(names)):
        message = f"{path}: class probabilities of shape {probabilities.shape} for {boxes} boxes; {again}"
        raise LightvadError(message)
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        message = f"{path}: class probabilities outside [0, 1] or NaN; {again}"
        raise LightvadError(message)
    return probabilities, names


class OnnxClassifier:
    """Class probabilities of given boxes from a YOLOX detector: input (1, 3, S, S) BGR 0-255, output (1, A, 5 + C).

    Args:
        path: the network; its bytes have been checked.
        tiles: side-by-side overlapping tiles that a frame is cut into, so that small objects come out larger.
        threads: CPU threads of one inference.

    Raises:
        LightvadError: the file is not an ONNX detector of this form.
    """

    def __init__(self, path: Path, *, tiles: int, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions have no common class
            message = f"{path}: not a readable ONNX network ({' '.join(str(error).split())[:160]}); get the file again"
            raise LightvadError(message) from error
        self._input = self._session.get_inputs()[0]
        self.tiles = tiles
        shape = self._input.shape
        if len(shape) != 4 or not isinstance(shape[-1], int):
            message = f"{path}: input {shape}, expected (1, 3, S, S) with a fixed S; give a YOLOX detector of COCO"
            raise LightvadError(message)
        self.size = shape[-1]
        anchors = sum((self.size // stride) ** 2 for stride in STRIDES)
        expected, found = (anchors, 5 + len(COCO_NAMES)), tuple(self._session.get_outputs()[0].shape[1:])
        if found != expected:
            message = f"{path}: output {found}, expected {expected} of a YOLOX detector of COCO; give such a file"
            raise LightvadError(message)
        self.names = COCO_NAMES

    def candidates(self, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Every anchor of every tile, before any threshold.

        Args:
            frame: uint8 (H, W, 3) RGB.

        Returns:
            boxes float32 (A, 4) in pixels of the frame and objectness times class probability float32 (A, C) in [0, 1].
        """
        boxes, scores = [], []
        for left, right in tile_columns(frame.shape[1], frame.shape[0], self.tiles):
            image, scale = letterbox(frame[:, left:right], self.size)
            (output,) = self._session.run(None, {self._input.name: image})
            decoded = decode(np.asarray(output)[0], self.size)
            boxes.append(decoded[:, :4] / scale + np.array([left, 0, left, 0], np.float32))
            scores.append(decoded[:, 4:5] * decoded[:, 5:])
        return np.concatenate(boxes), np.concatenate(scores)

    def probabilities(self, frame: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Class probabilities float32 (K, C) in [0, 1] of `boxes` float32 (K, 4) in `frame` uint8 (H, W, 3) RGB."""
        if not len(boxes):
            return np.zeros((0, len(self.names)), np.float32)
        return matched(boxes, *self.candidates(frame))


def tile_columns(width: int, height: int, tiles: int) -> list[tuple[int, int]]:
    """First and last (exclusive) column of each tile; tiles cover the frame and overlap by at least a fifth.

    A tile is at least as wide as the frame is high, where the frame is wide enough: the network's input is square, so a
    narrower tile would not be shown any larger.
    """
    wanted = int(np.ceil(width / (tiles - (tiles - 1) * TILE_OVERLAP)))
    tile = min(width, max(wanted, height))
    lefts = np.linspace(0, width - tile, tiles).round().astype(int) if tile < width else [0]
    return [(int(left), int(left) + tile) for left in lefts]


def letterbox(image: np.ndarray, size: int) -> tuple[np.ndarray, float]:
    """Fit uint8 (H, W, 3) RGB into the upper left of a square: float32 (1, 3, size, size) BGR 0-255, and the scale."""
    height, width = image.shape[:2]
    scale = min(size / height, size / width)
    resized = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_LINEAR)
    square = np.full((size, size, 3), PADDING_GRAY, np.float32)
    square[: resized.shape[0], : resized.shape[1]] = resized[:, :, ::-1]
    return np.ascontiguousarray(square.transpose(2, 0, 1))[None], scale


def decode(output: np.ndarray, size: int) -> np.ndarray:
    """Turn the raw output (A, 5 + C) of YOLOX into boxes: centres are offsets in cells, sizes logarithms of cells.

    Returns:
        float32 (A, 5 + C): x1, y1, x2, y2 in pixels of the square input, objectness, class probabilities.
    """
    cells, strides = [], []
    for stride in STRIDES:
        side = size // stride
        ys, xs = np.mgrid[:side, :side]
        cells.append(np.stack([xs, ys], -1).reshape(-1, 2))
        strides.append(np.full((side * side, 1), stride, np.float32))
    grid, steps = np.concatenate(cells), np.concatenate(strides)
    centres = (output[:, :2] + grid) * steps
    halves = np.exp(output[:, 2:4]) * steps / 2
    return np.concatenate([centres - halves, centres + halves, output[:, 4:]], axis=1).astype(np.float32)


def matched(boxes: np.ndarray, candidates: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """For each box and class the largest score among the candidates that lie on the box (project choice).

    A candidate lies on a box if their intersection over union is at least 0.5, or, where none reaches that, if it is
    the best; so an object that the detector overlooks gets the small probabilities of the nearest anchor, not a hole.

    Args:
        boxes: float32 (K, 4).
        candidates: float32 (A, 4).
        scores: float32 (A, C) in [0, 1].

    Returns:
        float32 (K, C) in [0, 1].
    """
    overlaps = iou(boxes, candidates)
    lies_on = (overlaps >= np.minimum(SUFFICIENT_IOU, overlaps.max(axis=1, keepdims=True))) & (overlaps > 0)
    return np.stack([scores[on].max(axis=0, initial=0) for on in lies_on]).astype(np.float32)


def iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of every pair: (K, 4), (A, 4) -> float32 (K, A) in [0, 1]."""
    upper_left = np.maximum(boxes[:, None, :2], others[None, :, :2])
    lower_right = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = (lower_right - upper_left).clip(min=0).prod(axis=2)
    area, other_area = (np.diff(b.reshape(-1, 2, 2), axis=1)[:, 0].prod(axis=1) for b in (boxes, others))
    return (common / (area[:, None] + other_area[None] - common)).astype(np.float32)
