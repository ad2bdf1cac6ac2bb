"""Every hyper-parameter of SSMTL. Defaults are the paper's, or the teacher_ssmtl sheet's where the paper is silent."""

from typing import Any, Literal

from pydantic import Field, model_validator

from lightvad.config import MethodSettings, Source
from lightvad.config import Settings as Section

Task = Literal["arrow", "irregularity", "middle", "distillation"]
TASKS: tuple[Task, ...] = ("arrow", "irregularity", "middle", "distillation")


class Trunk(Section):
    """The shared 3D CNN (sheet, section 3): four published sizes."""

    depth: Literal["shallow", "deep"] = Field("deep", description="1 or 2 convolutions a block")
    width: Literal["narrow", "wide"] = Field("wide", description="channels 16, 32, 32 or 32, 64, 64")
    normalisation: Literal["batch", "instance", "none"] = "batch"


class Heads(Section):
    """Sizes of the task heads (sheet, section 3)."""

    channels: int = Field(32, ge=1, description="of the convolution before a fully connected layer")
    decoder_channels: tuple[int, int] = Field((16, 16), description="of the middle-box decoder's first two blocks")


class Irregularity(Section):
    """Task 2: sequences with skipped frames."""

    largest_step: int = Field(4, ge=2, le=16, description="frames between neighbours are drawn from 1 to this")


class Middle(Section):
    """Task 3: the middle box from its neighbours."""

    gap: Literal["drop", "zero"] = Field("drop", description="leave the middle crop out (6 frames) or blacken it (7)")


class Distillation(Section):
    """Task 4: class probabilities of the detector and ImageNet outputs of a ResNet-50, from the middle crop alone."""

    weight: float = Field(0.2, gt=0, description="lambda of the joint loss")
    features: Literal["resnet50", "onnx", "none"] = Field("resnet50", description="where the feature target comes from")
    features_onnx: Source | None = Field(
        None,
        description="ONNX image classifier, input (N, 3, S, S), output (N, D); `file`: path from the project's root,"
        " not fetched, but its size and sha256 are checked",
    )
    features_size: int = Field(224, ge=32, description="side at which the feature network sees a crop, pixels")
    standardise_features: bool = Field(True, description="standardise each feature over the training crops")
    kd_score: Literal["classes", "both"] = Field("classes", description="halves of the target compared at test time")

    @model_validator(mode="after")
    def _onnx_has_a_file(self) -> "Distillation":
        if (self.features == "onnx") != (self.features_onnx is not None):
            message = "`features_onnx` (a file) goes with `features: onnx`"
            raise ValueError(message)
        return self


class Training(Section):
    """The schedule (sheet, section 4)."""

    epochs: int = Field(30, ge=1)
    batch: int = Field(64, ge=2, description="objects; each gives one sample to every task")
    learning_rate: float = Field(1e-3, gt=0)
    schedule: Literal["constant", "cosine"] = Field("constant", description="cosine ends at 0; for short budgets")
    frame_stride: int = Field(1, ge=1, description="every n-th training frame gives objects")
    objects_per_epoch: int = Field(0, ge=0, description="drawn anew every epoch; 0: all")
    validation_objects: int = Field(4096, ge=1, description="at most so many held-out objects, drawn once")
    checkpoint: Literal["best_validation", "last"] = "best_validation"


class Scoring(Section):
    """From proxy tasks to one score (sheet, section 5)."""

    task_weights: dict[Task, float] = Field(dict.fromkeys(TASKS, 1.0), description="of the mean; 0: task not run")
    standardise: Literal["none", "training"] = Field(
        "none", description="raw task scores as published, or each divided by its spread on held-out training objects"
    )
    batch: int = Field(64, ge=1, description="objects run at once")

    @model_validator(mode="after")
    def _weights_are_a_mean(self) -> "Scoring":
        if any(weight < 0 for weight in self.task_weights.values()) or not any(self.task_weights.values()):
            message = "`task_weights` must not be negative, and one must be above 0"
            raise ValueError(message)
        return self


class Settings(MethodSettings):
    """All of SSMTL; the defaults are the configuration behind the paper's Ped2 figure (deep, wide, four tasks)."""

    tasks: tuple[Task, ...] = Field(TASKS, min_length=1)
    crop_size: int = Field(64, ge=16, le=256, multiple_of=16, description="side of an object's crops, pixels")
    trunk: Trunk = Trunk()
    heads: Heads = Heads()
    irregularity: Irregularity = Irregularity()
    middle: Middle = Middle()
    distillation: Distillation = Distillation()
    training: Training = Training()
    scoring: Scoring = Scoring()
    precision: Literal["32-true", "bf16-mixed"] = "32-true"

    @model_validator(mode="after")
    def _scored_tasks_are_trained(self) -> "Settings":
        if len(set(self.tasks)) != len(self.tasks):
            message = "`tasks` names a task twice"
            raise ValueError(message)
        if not self.scored_tasks():
            message = "`scoring.task_weights` is 0 for every task in `tasks`"
            raise ValueError(message)
        return self

    @property
    def chosen_checkpoint(self) -> str:
        """Which epoch's weights are kept."""
        return self.training.checkpoint

    def scored_tasks(self) -> tuple[Task, ...]:
        """Tasks that run at test time, in the paper's order."""
        return tuple(task for task in TASKS if task in self.tasks and self.scoring.task_weights.get(task, 0) > 0)

    def for_stage(self, stage: str) -> dict[str, Any]:
        """Training reads no scoring key and scoring no training key."""
        return self.model_dump(mode="json", exclude={"scoring"} if stage == "train" else {"training"})
