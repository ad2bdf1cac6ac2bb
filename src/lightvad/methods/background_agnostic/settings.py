"""Hyper-parameters of T1, the background-agnostic teacher; defaults are the sheet's (mostly project choices there)."""

from typing import Any, Literal

from pydantic import Field, model_validator

from lightvad import config


class Flow(config.Settings):
    """Optical flow to the previous and to the next frame (sheet, section 1)."""

    gap: int = Field(1, ge=1, description="frames between the current and the other frame")
    scale: float = Field(20.0, gt=0, description="pixels of displacement that become 1, before clipping to [-1, 1]")
    preset: Literal["ultrafast", "fast", "medium"] = Field("medium", description="quality of OpenCV's DIS")


class Gradients(config.Settings):
    """Gray-level differences instead of flow (sheet, section 1: `motion: gradients`)."""

    gap: int = Field(3, ge=1, description="frames between the current and the other frame")


class PseudoAbnormal(config.Settings):
    """Pseudo-abnormal data (sheet, section 3), as many per batch as normal objects."""

    source: Literal["paper", "torchvision", "procedural"] = Field("procedural", description="of the images")
    images: int = Field(4000, ge=8, description="images in the pool")
    motions: int = Field(4000, ge=8, description="motion crops over wide gaps in the pool")
    gaps: tuple[int, int] = Field((3, 8), description="smallest and largest factor by which the frame gap is widened")
    scales: tuple[float, float] = Field((2.0, 4.0), description="factors of normal motion that is turned and enlarged")
    transformed: float = Field(0.5, ge=0, le=1, description="share of turned and enlarged normal motion in a batch")

    @model_validator(mode="after")
    def _ranges_ascend(self) -> "PseudoAbnormal":
        if not 1 < self.gaps[0] <= self.gaps[1]:
            message = f"`gaps` {list(self.gaps)} must ascend and start above 1"
            raise ValueError(message)
        if not 1 < self.scales[0] <= self.scales[1]:
            message = f"`scales` {list(self.scales)} must ascend and start above 1"
            raise ValueError(message)
        return self


class AutoEncoders(config.Settings):
    """First phase of training (sheet, section 4.1)."""

    epochs: int = Field(30, ge=1)
    lr: float = Field(1e-3, gt=0)
    lr_drop_epoch: int = Field(20, ge=1, description="epoch after which the learning rate is multiplied by 0.1")
    adversarial_weight: float = Field(0.1, ge=0, description="lambda_adv, factor of the reversed gradient")
    warmup_epochs: int = Field(3, ge=0, description="epochs without reversal")
    ramp_epochs: int = Field(3, ge=1, description="epochs over which lambda_adv then rises from 0")
    gradient_clip: float = Field(1.0, gt=0, description="largest norm of the gradient of one stream")


class Classifiers(config.Settings):
    """Second phase of training: auto-encoders frozen (sheet, section 4.2)."""

    epochs: int = Field(10, ge=1)
    lr: float = Field(1e-4, gt=0)
    checkpoint: Literal["best_validation", "last"] = Field(
        "best_validation", description="epoch whose classifiers are kept: lowest BCE on the held-out clips, or the last"
    )


class Settings(config.MethodSettings):
    """All hyper-parameters of T1."""

    motion: Literal["flow", "gradients"] = "flow"
    flow: Flow = Flow()
    gradients: Gradients = Gradients()
    skips: bool = Field(True, description="skip connections from encoder to decoders")
    skip_form: Literal["concat", "add"] = Field("concat", description="how a skip joins the decoder (unknown: concat)")
    pseudo: PseudoAbnormal = PseudoAbnormal()
    autoencoders: AutoEncoders = AutoEncoders()
    classifiers: Classifiers = Classifiers()
    batch: int = Field(64, ge=1, description="normal objects a batch, and as many pseudo-abnormal ones")
    stride: int = Field(1, ge=1, description="every n-th training frame is used")
    objects_per_epoch: int | None = Field(None, ge=1, description="objects drawn for an epoch; none: all")
    validation_objects: int = Field(1024, ge=1, description="at most so many held-out objects are validated on")
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    score_batch: int = Field(32, ge=1, description="objects in one pass of the networks when scoring")

    @property
    def chosen_checkpoint(self) -> str:
        """Which epoch's classifiers are kept; the auto-encoders are the last ones."""
        return self.classifiers.checkpoint

    @property
    def training_documents(self) -> tuple[str, ...]:
        """The epochs of the second phase, and the images that the pseudo-abnormal data were made from."""
        return ("training_classifiers.csv", "pseudo_abnormal.csv")

    @property
    def gap(self) -> int:
        """Frames between the current frame and the two others of its window."""
        return self.flow.gap if self.motion == "flow" else self.gradients.gap

    def for_stage(self, stage: str) -> dict[str, Any]:
        """The settings that `stage` reads: no training knob re-runs scoring, `score_batch` re-runs no training."""
        read = self.model_dump(mode="json")
        if stage == "train":
            return {key: value for key, value in read.items() if key != "score_batch"}
        keys = ("motion", "flow", "gradients", "skips", "skip_form", "precision", "score_batch")
        return {key: read[key] for key in keys}
