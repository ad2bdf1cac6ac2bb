"""The epoch loop: a resumed training equals an undisturbed one, and a NaN stops it."""

from pathlib import Path

import pytest
import torch
from torch import nn

from lightvad.artifacts.documents import read_csv
from lightvad.errors import LightvadError
from lightvad.training_loop import Training, finish, fit, launch


class KilledError(Exception):
    """Stands for a kill between two epochs."""


def train(
    folder: Path, *, epochs: int = 4, stop_after: int | None = None, digest: str = "d", poison: bool = False
) -> dict:
    torch.manual_seed(123)
    model = nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.3), nn.BatchNorm1d(8), nn.Linear(8, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    training = Training(
        what="toy", folder=folder, csv=folder / "training.csv", digest=digest, seed=7, epochs=epochs,
        modules={"model": model}, optimizers={"model": optimizer}, schedulers=(scheduler,),
    )  # fmt: skip

    def batches(epoch: int) -> list[torch.Tensor]:
        if stop_after is not None and epoch == stop_after:
            raise KilledError
        return list(torch.randn(3, 16, 5, generator=torch.Generator().manual_seed(epoch)))

    def step(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        loss = (model(batch) - batch.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss * float("nan") if poison else loss}

    fit(
        training,
        batches=batches,
        step=step,
        batches_per_epoch=3,
        after_epoch=lambda epoch: {"validation": float(epoch)},
    )
    finish(training)
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_an_interrupted_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    undisturbed = train(tmp_path / "a")
    with pytest.raises(KilledError):
        train(tmp_path / "b", stop_after=2)
    assert (tmp_path / "b/_resume/training.pt").is_file()
    assert not (tmp_path / "b/training.csv").exists()
    resumed = train(tmp_path / "b")
    assert all(torch.equal(undisturbed[name], resumed[name]) for name in undisturbed)
    assert not (tmp_path / "b/_resume").exists()


def test_rows_of_training_csv(tmp_path: Path) -> None:
    train(tmp_path)
    rows = read_csv(tmp_path / "training.csv")
    assert list(rows[0]) == ["epoch", "loss", "validation", "lr", "seconds"]
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert [float(row["lr"]) for row in rows] == pytest.approx([0.01, 0.01, 0.001, 0.001])
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])


def test_another_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train(tmp_path, stop_after=1)
    with pytest.raises(
        LightvadError, match=r"resume state of another configuration, .* or number of devices; delete it"
    ):
        train(tmp_path, digest="other")


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train(tmp_path, stop_after=1)
    state = tmp_path / "_resume/training.pt"
    content = state.read_bytes()
    weight = content.index(b"data.pkl")
    flipped = bytearray(content)
    flipped[weight + 5000] ^= 1
    for damaged in (content[:1000], b"", bytes(flipped)):
        state.write_bytes(damaged)
        with pytest.raises(LightvadError, match=r"_resume/training\.pt: damaged resume state; delete it"):
            train(tmp_path)


def test_nan_stops_the_training(tmp_path: Path) -> None:
    with pytest.raises(LightvadError, match="loss became nan at batch 0; lower the learning rate"):
        train(tmp_path, poison=True)
    assert not (tmp_path / "training.csv").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_no_gpu_is_one_line() -> None:
    with pytest.raises(LightvadError, match="torch sees no GPU"):
        launch("cuda", "32-true")
