"""Hyper-parameters of Fast-AED: every knob that the paper ablates, and every point where paper and released code part.

Defaults are the paper's final configuration with the published schedule. Where the sheet (`fast_aed.md`) calls the
released code's behaviour a bug, or the paper's text and the code disagree, the key's description says whose value is
which.
"""

import math
from typing import Any, Literal

from pydantic import Field, model_validator

from lightvad.config import MethodSettings, ObjectChanges, Resolution, Settings, Teacher

Precision = Literal["32-true", "bf16-mixed"]
OFFSETS: dict[int, tuple[int, ...]] = {1: (0,), 3: (-3, 0, 3), 5: (-6, -3, 0, 3, 6)}
"""Frames of the window, in channel order, by `network.input_frames` (five: project choice)."""


class Network(Settings):
    """The student (sheet, section 2)."""

    blocks: int = Field(5, ge=1, le=16, description="transformer blocks")
    heads: int = Field(5, ge=1, le=16, description="attention heads of width 64")
    input_frames: Literal[1, 3, 5] = Field(3, description="frames of the window: t; t-3, t, t+3; t-6, ..., t+6")
    resolutions: tuple[Resolution, ...] | None = Field(
        None, min_length=1, description="sides of the output maps, `full`: the frame's size; none: the dataset's"
    )
    feed_forward: Literal["pointwise", "fully_connected"] = Field(
        "pointwise", description="1x1 convolutions, or linear layers on the flattened tokens (Table 8)"
    )
    attention: Literal["released_code", "paper"] = Field(
        "released_code",
        description="released_code: layer norms before attention and feed-forward, one depthwise convolution shared by"
        " keys and values; paper: batch norm after attention, no layer norm, a depthwise convolution for each of them",
    )
    output_heads: Literal["paper", "released_code"] = Field(
        "paper",
        description="paper: every head is two 3x3 convolutions and a max-pool; released_code: the 1x1 head is a"
        " max-pool to 2x2, a linear layer and a sigmoid",
    )
    output_activation: Literal["none", "relu", "leaky_relu"] = Field(
        "none",
        description="last activation of the convolutional heads; relu is the paper's and the code's, and dies: once all"
        " of a head's outputs are zero it has no gradient (sheet, section 8)",
    )
    branches: Literal["one", "per_teacher"] = Field(
        "one", description="one set of heads, or one per teacher, joined by their maximum at scoring (Table 6)"
    )


class AutoEncoder(Settings):
    """The decoder of the first phase (sheet, section 2.4)."""

    skips: bool = Field(False, description="additive skips from the stem, as in the code; the paper mentions none")
    target: Literal["full", "half"] = Field("full", description="size of the reconstruction: full (paper), half (code)")


class Schedule(Settings):
    """How one phase is optimised (sheet, section 3)."""

    epochs: int = Field(35, ge=1)
    batch: int = Field(48, ge=1, description="windows")
    windows_per_epoch: int | None = Field(None, ge=1, description="windows drawn for an epoch; none: all")
    optimizer: Literal["adam", "adamw"] = "adam"
    lr: float = Field(1e-4, gt=0)
    weight_decay: float = Field(5e-6, ge=0)
    lr_decay: Literal["step", "one_cycle", "constant"] = Field(
        "step", description="step: the code's; constant: the paper's text; one_cycle: linear rise, then cosine to zero"
    )
    lr_step_epochs: int = Field(10, ge=1, description="of `step`: epochs between drops")
    lr_step_factor: float = Field(0.5, gt=0, le=1, description="of `step`: factor of each drop")
    one_cycle_rise: float = Field(0.25, gt=0, lt=1, description="of `one_cycle`: share of all steps in which lr rises")
    gradient_clip: float | None = Field(
        1.0, gt=0, description="largest norm of the gradient; none: not clipped, as in the paper (sheet, section 8)"
    )


class Adversarial(Settings):
    """Adversarial distillation (sheet, sections 2.3 and 3; Eqs. 5-7)."""

    discriminators: Literal["none", "per_teacher", "one"] = Field(
        "per_teacher", description="none; a real/fake one per teacher; one softmax over the student and all teachers"
    )
    weight: float = Field(0.1, ge=0, description="lambda of Eq. 7")
    lr: float = Field(1e-4, gt=0, description="constant")
    weight_decay: float = Field(5e-6, ge=0)
    updates: Literal[1, 2] = Field(1, description="discriminator steps per student step; the code: 2")
    sees_fakes: bool = Field(True, description="false: the code's bug, its loss on the student's maps has no gradient")


class Pasting(ObjectChanges):
    """Objects of other training clips pasted into the windows of distillation; beyond the paper (sheet, section 8)."""

    abnormal_share: float = Field(
        0.75, gt=0, le=1, description="of the windows: with abnormal objects among the pasted"
    )
    abnormal: int = Field(4, ge=1, description="at most so many objects are abnormal, or unchanged in the rest")
    normal_share: float = Field(0.7, ge=0, le=1, description="of the windows: with further, unchanged objects")
    normal: int = Field(4, ge=1, description="at most so many further, unchanged objects in a window")
    normal_ceiling: float = Field(0.5, gt=0, le=1, description="the teachers' maps are scaled by it; a paste's are 1")


class FastAedSettings(MethodSettings):
    """All hyper-parameters of Fast-AED."""

    teachers: tuple[Teacher, ...] = (Teacher(method="background_agnostic"), Teacher(method="ssmtl"))
    pretrained_variant: str | None = Field(
        "default", description="variant whose auto-encoder pre-training is the start; none: no pre-training (Table 5)"
    )
    network: Network = Network()
    autoencoder: AutoEncoder = AutoEncoder()
    pretraining: Schedule = Schedule(lr=1e-3)
    training: Schedule = Schedule()
    distillation: bool = Field(True, description="the map loss of Eqs. 3 and 4")
    adversarial: Adversarial = Adversarial()
    pasting: Pasting | None = Field(None, description="pasted abnormal objects; none: normal videos only, the paper")
    horizontal_flip: bool = Field(False, description="mirror half of the windows in both phases; not in the paper")
    average_decay: float | None = Field(
        0.99,
        ge=0,
        lt=1,
        description="decay per step of the student's averaged weights, which are kept; none: the last ones",
    )
    recalibration_batches: int = Field(
        8, ge=1, description="training batches on which the batch norms of the averaged weights are estimated anew"
    )
    checkpoints_on_test: int = Field(
        0,
        ge=0,
        description="so many epochs, evenly spread up to the last, are scored on the test clips, to show beside the"
        " result what the papers' choice among them would give (best_on_test); the result is the last epoch's",
    )
    validation_windows: int = Field(128, ge=1, description="at most so many held-out windows are validated on")
    precision: Precision = Field("32-true", description="of both training phases")
    score_precision: Precision = "32-true"
    score_batch: int = Field(16, ge=1, description="windows in one pass when scoring")

    @model_validator(mode="after")
    def _losses_and_teachers_agree(self) -> "FastAedSettings":
        if self.distils and not self.teachers:
            message = "no `teachers`, but `distillation` or `adversarial.discriminators` ask for their maps"
            raise ValueError(message)
        if not self.distils and self.teachers:
            message = (
                "`teachers` are given, but `distillation` is off and `adversarial.discriminators` is none:"
                " give `teachers: []`"
            )
            raise ValueError(message)
        if not self.distils and self.pretrained_variant is None:
            message = "nothing to train: give a `pretrained_variant`, `distillation` or `adversarial.discriminators`"
            raise ValueError(message)
        return self

    @property
    def distils(self) -> bool:
        """Whether there is a second phase; without it the auto-encoder's error is the score (Table 5)."""
        return self.distillation or self.adversarial.discriminators != "none"

    @property
    def kept_epochs(self) -> tuple[int, ...]:
        """Evenly spread epochs before the last one."""
        epochs, count = self.training.epochs, self.checkpoints_on_test
        if not self.distils or count == 0:
            return ()
        spread = {math.ceil(epochs * (k + 1) / count) for k in range(count)}
        return tuple(sorted(spread - {epochs}))

    @property
    def training_epochs(self) -> int:
        """Epochs of the second phase."""
        return self.training.epochs

    @property
    def stages_on_boxes(self) -> tuple[str, ...]:
        """Pasted objects are cut out along their boxes; nothing else here looks at boxes."""
        return ("train",) if self.pasting is not None else ()

    @property
    def offsets(self) -> tuple[int, ...]:
        """Frames of the window relative to the current one, in channel order."""
        return OFFSETS[self.network.input_frames]

    def map_resolutions(self, dataset: tuple[int | str, ...]) -> tuple[int | str, ...]:
        """The sides of the output maps: the settings' own, else the dataset's."""
        return self.network.resolutions or dataset

    def for_stage(self, stage: str) -> dict[str, Any]:
        """The settings that `stage` reads: loss weights do not touch pre-training, schedules do not touch scoring."""
        read = self.model_dump(mode="json")
        encoder = ("blocks", "heads", "input_frames", "feed_forward", "attention")
        if stage == "pretrain":
            kept = {key: read[key] for key in ("autoencoder", "pretraining", "horizontal_flip", "precision")}
            return {**kept, "network": {key: read["network"][key] for key in encoder}}
        if stage == "score":
            keys = ("network", "autoencoder", "score_batch")
            return {
                **{key: read[key] for key in keys},
                "precision": self.score_precision,
                "reconstructs": not self.distils,
                "branches": len(self.teachers) if self.network.branches == "per_teacher" else 1,
            }
        scoring_only = ("pretraining", "score_precision", "score_batch")
        return {key: value for key, value in read.items() if key not in scoring_only}


Settings = FastAedSettings  # type: ignore[misc]
