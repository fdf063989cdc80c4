import shutil
from dataclasses import replace

import numpy as np
import pytest

from samkit.errors import InputError
from samkit.training import DataSource
from samkit.training.data import CachedImage, CachedSource, load_library, training_files


def test_objects_are_cut_out_of_small_images(config):
    library = load_library(config)
    assert [len(images) for images in library.images] == [4, 4]
    assert len(library.backgrounds) == 4
    assert sum(library.weights) == pytest.approx(1)
    for image in library.images[0]:
        assert image.image.shape == (75, 100, 3)
        assert len(image.objects) == 3
        for item in image.objects:
            height, width = item.mask.shape
            inside = image.image[item.y : item.y + height, item.x : item.x + width]
            assert inside[item.mask > 200].mean() > 100
            assert item.mask.max() == 255


def test_what_there_is_no_room_for_is_read_again():
    reads = []

    def read(index):
        reads.append(index)
        return CachedImage(image=np.full((10, 10, 3), index, np.uint8))

    source = CachedSource(read, 3, limit=700)  # room for two images of 300 bytes
    for _ in range(2):
        assert [image.image[0, 0, 0] for image in source] == [0, 1, 2]
    assert reads == [0, 1, 2, 2]
    assert len(source) == 3
    assert [image.image[0, 0, 0] for image in source[1:]] == [1, 2]


def test_classes_give_figures_regions_and_parts(config):
    objects = load_library(config).images[1][0].objects
    # Three discs of two classes: the union, two classes, and both discs of the first class.
    assert len(objects) == 5
    assert [item.whole for item in objects] == [True, False, False, False, False]
    areas = [np.count_nonzero(item.mask > 127) for item in objects]
    assert areas[0] == pytest.approx(areas[1] + areas[-1], rel=0.1)


def test_classes_of_several_folders(config, photos, tmp_path):
    """As of one folder, once for each."""
    for name in ("a", "b"):
        shutil.copytree(photos / "classes", tmp_path / name)
    (one,) = load_library(replace(config, sources=config.sources[1:])).images
    source = DataSource(path=str(tmp_path), kind="classes")
    (both,) = load_library(replace(config, sources=(source,))).images
    assert len(both) == 2 * len(one)
    assert [len(both[i].objects) for i in range(8)] == 2 * [len(one[i].objects) for i in range(4)]


def test_files_that_are_read(config, photos):
    files = training_files(config)
    assert len(files) == 12
    assert all(photos in path.parents for path in files)


def test_sources_that_cannot_be_used(config, photos, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    from PIL import Image

    Image.new("RGB", (120, 90)).save(tmp_path / "images" / "0.png")
    Image.new("L", (120, 90)).save(tmp_path / "masks" / "0.png")
    with pytest.raises(InputError, match="at least one annotated object"):
        load_library(replace(config, sources=(DataSource(path=str(tmp_path)),)))
    classes = DataSource(path=str(photos / "coco"), kind="classes")
    with pytest.raises(InputError, match="classes are read from"):
        load_library(replace(config, sources=(classes,)))


def test_objects_that_are_all_too_small(config, tmp_path):
    """They are there, and it is said why they do not count: of 10 x 8 pixels 5 x 4 are left."""
    from PIL import Image

    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        Image.new("RGB" if folder == "images" else "L", (200, 90)).save(tmp_path / folder / "0.png")
    labels = np.zeros((90, 200), np.uint8)
    labels[10:18, 20:30] = 1
    labels[50:58, 20:30] = 2
    Image.fromarray(labels).save(tmp_path / "masks" / "0.png")
    config = replace(config, sources=(DataSource(path=str(tmp_path)),))
    with pytest.raises(InputError, match=r"2 that are too small: .* 30 pixels .* to 100 pixels"):
        load_library(config)


def test_names_choose_images(config):
    first = replace(config.sources[0], names="[01].png")
    (images,) = load_library(replace(config, sources=(first,))).images
    assert len(images) == 2
    files = training_files(replace(config, sources=(first,), backgrounds=()))
    assert [path.name for path in files] == ["0.png", "1.png"]
    nothing = replace(first, names="*.jpg")
    with pytest.raises(InputError, match="no annotated image is called"):
        load_library(replace(config, sources=(nothing,)))


def test_an_image_that_cannot_be_read_is_in_no_scene(config, photos, tmp_path):
    shutil.copytree(photos / "classes", tmp_path / "some")
    first, *others = sorted((tmp_path / "some" / "images").iterdir())
    for path in others:
        path.write_bytes(b"noise")
    source = DataSource(path=str(tmp_path / "some"))
    library = load_library(replace(config, sources=(source,)))
    rng = np.random.default_rng(0)
    with pytest.warns(UserWarning, match="left out"):
        found = [library.random_image(library.weights, rng) for _ in range(20)]
    assert all(image.is_readable and image.objects for image in found)
    assert first.is_file()


def test_a_pattern_of_names_that_fits_nothing(config):
    sources = (replace(config.sources[0], names="none*"),)
    with pytest.raises(InputError, match=r"no annotated image is called none\*"):
        load_library(replace(config, sources=sources))
