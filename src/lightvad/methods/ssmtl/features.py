"""Feature targets of task 4: the outputs of an ImageNet classifier for each object's crop (sheet, section 2, T4).

The paper takes the last layer of a ResNet-50 before the softmax. Input size and normalisation are unknown: the crop is
resized to 224 pixels and normalised with the ImageNet statistics (project choice).
"""

import math
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from lightvad.artifacts.digests import check_bytes
from lightvad.artifacts.states import read_state, write_state
from lightvad.config import Source
from lightvad.errors import LightvadError
from lightvad.methods.ssmtl.settings import Distillation
from lightvad.progress import track

FeatureNetwork = Callable[[torch.Tensor], torch.Tensor]
"""From crops uint8 (B, S, S, 3) RGB to features float32 (B, D) on the CPU."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SPREAD = (0.229, 0.224, 0.225)


def feature_network(settings: Distillation, device: torch.device) -> FeatureNetwork | None:
    """The feature network that `settings.features` names; None if it is `none`.

    Raises:
        LightvadError: its weights cannot be had, or are not those that the settings name.
    """
    if settings.features == "resnet50":
        return _resnet50(settings.features_size, device)
    if settings.features == "onnx" and settings.features_onnx is not None:
        return _onnx(settings.features_onnx, settings.features_size)
    return None


def normalised(crops: torch.Tensor, size: int) -> torch.Tensor:
    """Crops uint8 (B, S, S, 3) RGB -> float32 (B, 3, size, size), ImageNet mean 0 and spread 1 per channel."""
    images = F.interpolate(
        crops.permute(0, 3, 1, 2).float().div(255), size=(size, size), mode="bilinear", align_corners=False
    )
    mean, spread = (
        torch.tensor(values, device=crops.device)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_SPREAD)
    )
    return (images - mean) / spread


def cached_features(
    path: Path,
    network: FeatureNetwork,
    crops: Iterable[torch.Tensor],
    *,
    count: int,
    batch: int,
    digest: str,
    what: str,
) -> np.ndarray:
    """Features of `count` crops, read from `path` if written there under the same `digest`, else computed.

    Args:
        path: in the run's `_resume` folder.
        network: the feature network.
        crops: batches uint8 (B, S, S, 3) RGB in the order of the objects; read only if features must be computed.
        count: number of objects.
        batch: crops in a batch, for the progress estimate.
        digest: of the configuration.
        what: for progress lines.

    Returns:
        float32 (count, D).

    Raises:
        LightvadError: the file is damaged.
    """
    if path.is_file():
        state = read_state(path)
        if state["digest"] == digest and len(state["features"]) == count:
            return state["features"].float().numpy()
    batches = track(crops, total=math.ceil(count / batch), what=f"{what} features", unit="batches")
    features = np.concatenate([network(found).numpy().astype(np.float16) for found in batches])
    write_state(path, {"features": torch.from_numpy(features), "digest": digest})
    return features.astype(np.float32)


def _resnet50(size: int, device: torch.device) -> FeatureNetwork:
    from torchvision.models import ResNet50_Weights, resnet50

    weights = ResNet50_Weights.IMAGENET1K_V1
    try:
        state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        message = (
            f"ResNet-50 weights {weights.url} cannot be had ({error}); put the file into"
            f" {torch.hub.get_dir()}/checkpoints, or set distillation.features to onnx (with features_onnx) or none"
        )
        raise LightvadError(message) from error
    model = resnet50()
    model.load_state_dict(state)
    model.eval().requires_grad_(False).to(device)

    def features(crops: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return model(normalised(crops.to(device), size)).float().cpu()

    return features


def _onnx(source: Source, size: int) -> FeatureNetwork:
    import onnxruntime

    path = Path(source.file)
    got = f"download it from {source.url}" if source.url else "put the right file there"
    remedy = f"this is distillation.features_onnx: {got}, or set features: none"
    check_bytes(path, size=source.size, sha256=source.sha256, remedy=remedy)
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = str(error).splitlines()[0]
        message = f"distillation.features_onnx: {path} is not a loadable ONNX model ({reason}); give another"
        raise LightvadError(message) from error
    name = session.get_inputs()[0].name

    def features(crops: torch.Tensor) -> torch.Tensor:
        output = np.asarray(session.run(None, {name: normalised(crops.cpu(), size).numpy()})[0], np.float32)
        return torch.from_numpy(output.reshape(len(output), -1))

    return features
