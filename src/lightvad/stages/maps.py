"""From object scores to anomaly maps, frame scores and regions."""

from lightvad.artifacts.tables import FRAME_SCORES, OBJECT_SCORES, REGIONS, read_table, write_table
from lightvad.layout import Run, clips_folder
from lightvad.maps import frame_scores_from_objects, write_maps
from lightvad.project import Project
from lightvad.stages.machine import Machine
from lightvad.stages.recording import recorded
from lightvad.video.clips import ClipStore, check_places, read_labels


def run(project: Project, run: Run, machine: Machine) -> None:
    """Write `maps.npz` (train and test), `frame_scores.parquet` and `regions.parquet` (test) of an object method's run.

    Raises:
        LightvadError: the object scores are missing or damaged.
    """
    machine.apply()
    dataset = project.dataset(run.dataset)
    folder = project.root / run.folder
    with recorded(project, run, "maps", machine=machine):
        store = ClipStore(project.root / clips_folder(run.dataset))
        path = folder / "object_scores.parquet"
        scores = read_table(path, OBJECT_SCORES)
        check_places(scores, store.clips(), path, "run `lightvad score` again")
        test = store.clips("test")
        frames = frame_scores_from_objects(scores, clips=test, labels=read_labels(store), settings=dataset.object_maps)
        write_maps(
            folder / "maps.npz",
            clips=[*store.clips("train"), *test],
            object_scores=scores,
            train_clips={clip.name for clip in store.clips("train")},
            resolutions=dataset.map_resolutions + dataset.extra_map_resolutions,
            settings=dataset.object_maps,
        )
        write_table(folder / "frame_scores.parquet", frames, FRAME_SCORES)
        regions = scores[scores["clip"].isin([clip.name for clip in test])][list(REGIONS)]
        write_table(folder / "regions.parquet", regions, REGIONS)
