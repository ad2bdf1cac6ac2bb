"""What change is usual in the training clips."""

import torch

from lightvad.artifacts.documents import write_csv
from lightvad.artifacts.weights import write_weights
from lightvad.methods.protocol import Job
from lightvad.methods.stillness.model import Stillness
from lightvad.methods.stillness.settings import Settings


def train(job: Job) -> None:
    """Write `model.safetensors` and `training.csv`."""
    settings: Settings = job.settings
    model = Stillness()
    changes = [
        model(torch.as_tensor(job.clips.window(name, (t - settings.gap, t)))[None].permute(0, 1, 4, 2, 3).float())
        for name in job.training_clips()
        for t in range(settings.gap, job.clips[name].frames)
    ]
    model.usual.copy_(torch.cat(changes).mean())
    write_weights(job.folder / "model.safetensors", model.state_dict(), job.metadata)
    write_csv(job.folder / "training.csv", [{"epoch": 1, "usual": float(model.usual), "lr": 0.0, "seconds": 0.0}])
