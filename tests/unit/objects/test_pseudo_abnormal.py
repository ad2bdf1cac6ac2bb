"""Pseudo-abnormal images from their three sources."""

import hashlib

import cv2
import numpy as np
import pytest

from lightvad.artifacts.documents import read_csv
from lightvad.errors import LightvadError
from lightvad.objects.pseudo_abnormal import COLLECTIONS, TINY_IMAGENET_CLASSES, pseudo_abnormal_pool
from lightvad.objects.textures import FAMILIES, procedural_image


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return pseudo_abnormal_pool(
        "procedural", count=10 * len(FAMILIES), seed=3, folder=tmp_path_factory.mktemp("nothing")
    )


def test_procedural_pool_draws_all_families_evenly(pool):
    assert pool.images.shape == (10 * len(FAMILIES), 64, 64)
    assert pool.images.dtype == np.uint8
    families = [name.split("/")[1] for name in pool.names]
    assert {family: families.count(family) for family in FAMILIES} == dict.fromkeys(FAMILIES, 10)


def test_procedural_pool_is_a_function_of_the_seed(pool, tmp_path):
    again = pseudo_abnormal_pool("procedural", count=10 * len(FAMILIES), seed=3, folder=tmp_path)
    other = pseudo_abnormal_pool("procedural", count=10 * len(FAMILIES), seed=4, folder=tmp_path)
    assert np.array_equal(pool.images, again.images)
    assert not np.array_equal(pool.images, other.images)
    assert np.array_equal(pseudo_abnormal_pool("procedural", count=8, seed=3, folder=tmp_path).images, pool.images[:8])


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_shows_something_new_each_time(family):
    images = [procedural_image(family, seed=0, index=k, size=48) for k in range(12)]
    assert all(image.shape == (48, 48) and image.std() > 1 for image in images)
    assert len({image.tobytes() for image in images}) == len(images)


def test_manifest_names_every_image_with_the_hash_of_its_pixels(pool, tmp_path):
    pool.write_manifest(tmp_path / "manifest.csv")
    rows = read_csv(tmp_path / "manifest.csv")
    assert [row["name"] for row in rows] == pool.names
    assert [row["sha256"] for row in rows] == [hashlib.sha256(image.tobytes()).hexdigest() for image in pool.images]


def paper_collections(folder, skip=None):
    folders = [folder / "paper" / name for name in COLLECTIONS]
    folders += [folder / "paper/tiny-imagenet-200/train" / wnid / "images" for wnid in TINY_IMAGENET_CLASSES[:2]]
    for shade, where in enumerate(folders):
        if where.name == skip:
            continue
        where.mkdir(parents=True)
        for k in range(3):
            cv2.imwrite(str(where / f"{k}.png"), np.full((90, 70, 3), 10 * shade + k, np.uint8))
    stranger = folder / "paper/tiny-imagenet-200/train/n00000000"
    stranger.mkdir(parents=True)
    cv2.imwrite(str(stranger / "x.png"), np.full((64, 64, 3), 255, np.uint8))


def test_paper_pool_takes_the_four_collections_and_only_the_chosen_classes(tmp_path):
    paper_collections(tmp_path)
    pool = pseudo_abnormal_pool("paper", count=100, seed=0, folder=tmp_path)
    assert len(pool.names) == len(set(pool.names)) == 15
    assert pool.images.max() < 255
    shared = pseudo_abnormal_pool("paper", count=8, seed=0, folder=tmp_path).names
    assert sorted({name.split("/")[1] for name in shared}) == sorted([*COLLECTIONS, "tiny-imagenet-200"])


def test_paper_pool_says_which_collection_is_missing(tmp_path):
    paper_collections(tmp_path, skip="anime_faces")
    with pytest.raises(LightvadError, match=r"anime_faces: no images; .*procedural"):
        pseudo_abnormal_pool("paper", count=8, seed=0, folder=tmp_path)


def test_a_damaged_image_is_named(tmp_path):
    paper_collections(tmp_path)
    for path in (tmp_path / "paper/anime_faces").iterdir():
        path.write_bytes(b"not an image")
    with pytest.raises(LightvadError, match="anime_faces"):
        pseudo_abnormal_pool("paper", count=8, seed=0, folder=tmp_path)


def test_the_authors_chose_68_classes():
    assert len(set(TINY_IMAGENET_CLASSES)) == 68
