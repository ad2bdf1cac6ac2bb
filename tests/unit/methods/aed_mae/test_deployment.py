"""The deployed network gives what the scored path gives, in every form."""

import numpy as np
import pytest
import torch

from lightvad.artifacts.weights import write_weights
from lightvad.deploy.engines import open_engine
from lightvad.deploy.programs import program_in
from lightvad.methods.aed_mae.deployment import deployed
from lightvad.methods.aed_mae.scoring import AnomalyMaps, scorer
from lightvad.methods.aed_mae.settings import Settings

SIZE = (32, 48)
SETTINGS = Settings.model_validate({"network": {"patch": 8}})


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Weights whose batch norms have seen something."""
    torch.manual_seed(0)
    network = AnomalyMaps(SETTINGS, SIZE).train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.rand(4, 9, *SIZE) * 2 - 1)
        network.network.teacher.cls.normal_()
        network.network.teacher.hidden.normal_()
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    write_weights(path, network.network.state_dict(), {"method": "aed_mae"})
    return path


@pytest.mark.parametrize("form", ["torch", "onnx", "openvino"])
def test_every_form_gives_the_scores_of_the_scored_path(weights: object, form: str) -> None:
    common = {"frame_size": SIZE, "resolutions": (1,), "weights": weights}
    path = scorer(SETTINGS, device="cpu", **common)  # type: ignore[arg-type]
    network = deployed(SETTINGS, **common)  # type: ignore[arg-type]
    windows = np.random.default_rng(1).integers(0, 256, (3, *SIZE, 9), np.uint8)
    frames = torch.from_numpy(windows).permute(0, 3, 1, 2)
    expected = path.scores(frames)
    _, cells = path.maps(frames)
    if form == "torch":
        scores, maps = network(torch.from_numpy(windows))
    else:
        program = program_in(form, network, window_shape=(*SIZE, 9), precision="32-true", calibration=[])
        scores, (maps,) = open_engine(program, device="cpu", threads=1).run(torch.from_numpy(windows))
    torch.testing.assert_close(scores, expected, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(maps, cells, rtol=1e-3, atol=1e-5)
