"""Hyper-parameters of AED-MAE: every knob that the paper ablates, and every point where paper and released code part.

Defaults are the paper's where it says something, else the released code's. The keys' descriptions say whose value is
which; the sheet (`aed_mae.md`) says more.
"""

import math
from typing import Any, Literal

from pydantic import Field, model_validator

from lightvad.config import PASTED_NAME, RECONSTRUCTIONS_NAME, MethodSettings, ObjectChanges, Settings

OFFSETS: dict[int, tuple[int, ...]] = {1: (0,), 3: (-3, 0, 3)}
"""Frames of the window, in channel order, by `network.input_frames`."""
GRADIENT_OFFSETS: dict[str, tuple[int, int]] = {"paper": (-1, 0), "released_code": (-1, 1)}
"""The two frames whose difference is the motion gradient, by `gradients`."""

UBNORMAL = "ubnormal"
"""The source of synthetic anomalies that is another dataset, and that dataset."""


class Network(Settings):
    """The masked auto-encoder (sheet, section 2)."""

    input_size: tuple[int, int] | None = Field(
        None, description="height and width of the input, pixels; none: the dataset's `frame_size`"
    )
    patch: int = Field(16, ge=2, description="side of a patch, pixels: 16 Avenue, 8 ShanghaiTech and UBnormal, 4 Ped2")
    input_frames: Literal[1, 3] = Field(3, description="1: the paper's formulas; 3: the code's t-3, t, t+3")
    feed_forward: Literal["pointwise", "fully_connected"] = Field(
        "pointwise", description="1x1 convolutions, which leave out [CLS], or a multi-layer perceptron (Table 7)"
    )
    encoder_tokens: Literal["in_place", "shuffled"] = Field(
        "in_place",
        description="where kept tokens lie when the encoder convolves them: on their own places among zeros; shuffled:"
        " in the random order in which they were kept, as in the code",
    )
    mask_ratio: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="share of the tokens hidden in training; the paper does not say; 0.5: the code",
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="inside the feed-forward layers")


class Schedule(Settings):
    """How one stage is optimised (sheet, section 3)."""

    epochs: int = Field(100, ge=1)
    batch: int = Field(100, ge=1, description="frames")
    frames_per_epoch: int | None = Field(None, ge=1, description="frames drawn for an epoch; none: all")
    optimizer: Literal["adam", "adamw"] = Field("adam", description="adam: the paper; adamw: the code")
    betas: tuple[float, float] = Field((0.9, 0.999), description="the code: 0.9, 0.95")
    lr: float = Field(1e-4, gt=0)
    lr_decay: Literal["constant", "one_cycle"] = Field("constant", description="constant: paper and code")
    weight_decay: float = Field(0.0, ge=0, description="the code: 0.05, of matrices and kernels alone")
    gradient_clip: float | None = Field(None, gt=0, description="largest norm of the gradient; none: not clipped")


class Blobs(Settings):
    """Moving textured blobs (project choice)."""

    height: tuple[float, float] = Field((0.08, 0.3), description="smallest and largest, in heights of the frame")
    aspect: tuple[float, float] = Field((0.4, 1.5), description="smallest and largest width, in heights of the blob")
    standing: float = Field(0.2, ge=0, le=1, description="share of the blobs that do not move")
    speed: tuple[float, float] = Field((0.03, 0.3), description="of the others, heights of the blob a frame")

    @model_validator(mode="after")
    def _ranges_ascend(self) -> "Blobs":
        for key, largest in (("height", 1.0), ("aspect", math.inf), ("speed", math.inf)):
            first, last = getattr(self, key)
            if not 0 < first <= last <= largest:
                limit = " and at most 1" if largest == 1 else ""
                message = f"`{key}` {[first, last]} must ascend and be above 0{limit}"
                raise ValueError(message)
        return self


class AnnotatedObjects(Settings):
    """Objects of UBnormal's abnormal training clips, cut along their masks (sheet, section 4)."""

    smallest: int = Field(
        267, ge=1, description="pixels of UBnormal's frames: a track ends at its first smaller mask (the code)"
    )
    largest: float = Field(
        0.00814, gt=0, le=1, description="share of the frame: larger ones are not pasted; the code: 1667 of 320x640"
    )
    appearance: Literal["paper", "released_code"] = Field(
        "paper", description="paper: nothing said, so as they are; released_code: gray, blurred by a 3x3 Gaussian"
    )


class Synthetic(Settings):
    """Frames with synthetic anomalies, whose clean version is the target (section 3.4; sheet, section 4)."""

    source: Literal["clips", "ubnormal", "blobs"] = Field(
        "clips",
        description="of abnormal objects: clips: other training clips' own, cut along their boxes and changed (project"
        " choice); ubnormal: of UBnormal's abnormal training clips (the paper); blobs: procedural (project choice)",
    )
    share: float = Field(0.25, gt=0, le=1, description="of the frames: with abnormal objects (Table 4)")
    abnormal: int = Field(1, ge=1, description="at most so many abnormal objects; one: the paper")
    normal_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="of all frames: with unchanged objects of other clips, which stay in the target and for which boxes"
        " are read, whatever the source; 0: the paper",
    )
    normal: int = Field(3, ge=1, description="at most so many unchanged objects")
    smallest: int = Field(
        6, ge=2, description="pixels of the input: objects of other clips with a shorter side are not pasted"
    )
    changes: ObjectChanges = ObjectChanges()
    ubnormal: AnnotatedObjects = AnnotatedObjects()
    blobs: Blobs = Blobs()
    maps: bool = Field(
        True, description="the map of anomalies is a fourth channel of the target, and enters the weights"
    )

    @property
    def needs_boxes(self) -> bool:
        """Whether objects are cut out along boxes: abnormal ones, or unchanged ones."""
        return self.source == "clips" or self.normal_share > 0

    @property
    def in_use(self) -> dict[str, Any]:
        """As JSON, without the keys that its source or its share of unchanged objects does not read."""
        read = {"clips": {"changes", "smallest"}, "ubnormal": {"ubnormal"}, "blobs": {"blobs"}}
        unused = set().union(*read.values()) - read[self.source] - ({"smallest"} if self.needs_boxes else set())
        unused |= set() if self.normal_share else {"normal"}
        return self.model_dump(mode="json", exclude=unused)


class Scoring(Settings):
    """The anomaly map (Eq. 6) and its frame score."""

    teacher_error: float = Field(0.4, ge=0, description="alpha: of the teacher's reconstruction error")
    discrepancy: float = Field(0.3, ge=0, description="beta: of the difference between teacher and student")
    class_probability: float = Field(0.3, ge=0, description="gamma: of the class head's probability")
    student_error: float = Field(0.0, ge=0, description="of the student's reconstruction error (Table 3)")
    filter_size: int | None = Field(
        9, ge=3, description="side of the 3D mean filter over (x, y, time) on the map; none: off"
    )
    frame_score: Literal["maximum", "mean"] = Field("maximum", description="of the map; mean: the code")
    mask_ratio: float | None = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the tokens hidden at test time (not in the paper); none: as in training (the code)",
    )

    @model_validator(mode="after")
    def _something_counts(self) -> "Scoring":
        if not self.teacher_error + self.discrepancy + self.class_probability + self.student_error:
            message = "all weights of the anomaly map are 0; give one"
            raise ValueError(message)
        return self


class AedMaeSettings(MethodSettings):
    """All hyper-parameters of AED-MAE."""

    pretrained_variant: str | None = Field("default", description="variant whose first stage (the teacher) is used")
    network: Network = Network()
    motion_weights: bool = Field(True, description="weigh patches by their motion (Eq. 3); false: masked patches alone")
    gradients: Literal["paper", "released_code"] = Field(
        "paper",
        description="paper: |x_t - x_(t-1)| of median-filtered frames; released_code: |x_(t-1) - x_(t+1)|, no filter",
    )
    synthetic: Synthetic | None = Field(Synthetic(), description="none: normal frames only")
    anomaly_channel: Literal["zero_one", "minus_one_one"] = Field(
        "zero_one", description="normal and abnormal in the fourth channel: the paper's and the code's values"
    )
    class_head: bool = Field(
        True, description="tells synthetic anomalies from the [CLS] token (Eq. 5); not in the code"
    )
    class_weight: float = Field(
        0.06, gt=0, description="of Eq. 5 beside Eq. 3, which divides by the number of patches (project choice)"
    )
    self_distillation: bool = Field(True, description="a second stage trains the student's branch (Eq. 4)")
    student_loss: Literal["paper", "released_code"] = Field(
        "paper", description="paper: weighted as the teacher's; released_code: mean over masked patches"
    )
    teacher_training: Schedule = Schedule()
    student_training: Schedule = Schedule(epochs=40)
    scoring: Scoring = Scoring()
    shown_windows: int = Field(
        4, ge=0, description="training frames with synthetic anomalies that are kept for a figure (Figure 3); 0: none"
    )
    shown_frames: int = Field(
        0,
        ge=0,
        description="of every test clip so many abnormal and so many normal frames are kept as teacher and student draw"
        " them, for figures (Figures 5 and 7); 0: none",
    )
    validation_frames: int = Field(128, ge=1, description="at most so many held-out frames are validated on")
    precision: Literal["32-true", "bf16-mixed"] = Field("32-true", description="of both stages")
    score_precision: Literal["32-true", "bf16-mixed"] = "32-true"
    score_batch: int = Field(16, ge=1, description="frames in one pass when scoring")

    @model_validator(mode="after")
    def _parts_agree(self) -> "AedMaeSettings":
        if self.pretrained_variant is None:
            message = "`pretrained_variant` cannot be none: the first stage is the teacher"
            raise ValueError(message)
        if self.class_head and self.synthetic is None:
            message = "`class_head` learns from synthetic anomalies: give `synthetic`, or `class_head: false`"
            raise ValueError(message)
        if not self.network.mask_ratio and (not self.motion_weights or self.student_loss == "released_code"):
            message = "`mask_ratio: 0` hides nothing, which `motion_weights: false` and the code's student learn from"
            raise ValueError(message)
        if not self.motion_weights and not self.tested_mask_ratio:
            message = "`motion_weights: false` learns to draw hidden patches alone; give `scoring.mask_ratio: null`"
            raise ValueError(message)
        for weight, needs, there in (
            ("class_probability", "class_head", self.class_head),
            ("discrepancy", "self_distillation", self.self_distillation),
            ("student_error", "self_distillation", self.self_distillation),
        ):
            if getattr(self.scoring, weight) and not there:
                message = f"`scoring.{weight}` needs `{needs}`; give `{weight}: 0`"
                raise ValueError(message)
        return self

    @property
    def tested_mask_ratio(self) -> float:
        """Share of the tokens that is hidden at test time."""
        own = self.scoring.mask_ratio
        return self.network.mask_ratio if own is None else own

    @property
    def stages_on_boxes(self) -> tuple[str, ...]:
        """Objects of other clips are cut out along their boxes."""
        return ("pretrain", "train") if self.synthetic is not None and self.synthetic.needs_boxes else ()

    def datasets_read(self, stage: str) -> tuple[str, ...]:
        """UBnormal, where its objects are pasted."""
        pasted = stage in ("pretrain", "train") and self.synthetic is not None and self.synthetic.source == UBNORMAL
        return (UBNORMAL,) if pasted else ()

    @property
    def pretraining_documents(self) -> tuple[str, ...]:
        """Frames with synthetic anomalies, where there are any."""
        return (PASTED_NAME,) if self.synthetic is not None and self.shown_windows else ()

    @property
    def scoring_documents(self) -> tuple[str, ...]:
        """Frames as they are drawn."""
        return (RECONSTRUCTIONS_NAME,) if self.shown_frames else ()

    @property
    def offsets(self) -> tuple[int, ...]:
        """Frames of the window relative to the current one, in channel order."""
        return OFFSETS[self.network.input_frames]

    @property
    def channels(self) -> int:
        """Channels of a rebuilt patch: colours, and the map of anomalies where there is one."""
        return 4 if self.synthetic is not None and self.synthetic.maps else 3

    def input_size(self, frame_size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the input: the settings' own, else the dataset's."""
        return self.network.input_size or frame_size

    def map_resolutions(self, dataset: tuple[int | str, ...]) -> tuple[int | str, ...]:
        """The one map has a cell for each patch of the frame, whatever the dataset's resolutions are."""
        del dataset
        return ("patches",)

    def for_stage(self, stage: str) -> dict[str, Any]:
        """The settings that `stage` reads: how scores are made touches no training, the student not the teacher."""
        read = self.model_dump(mode="json")
        read["synthetic"] = self.synthetic.in_use if self.synthetic is not None else None
        shared = {key: read[key] for key in ("network", "anomaly_channel", "class_head")}
        if stage == "score":
            keys = ("self_distillation", "scoring", "shown_frames", "score_batch")
            return {
                **shared, **{key: read[key] for key in keys}, "channels": self.channels,
                "precision": self.score_precision,
            }  # fmt: skip
        both_read = ("motion_weights", "gradients", "synthetic", "precision", "validation_frames")
        both = {**shared, **{key: read[key] for key in both_read}, "channels": self.channels}
        if stage == "pretrain":
            return {**both, **{key: read[key] for key in ("class_weight", "teacher_training", "shown_windows")}}
        own = ("self_distillation", "student_loss", "student_training", "pretrained_variant")
        return {**both, **{key: read[key] for key in own}}


Settings = AedMaeSettings  # type: ignore[misc]
