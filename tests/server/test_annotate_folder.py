"""Which file tells of which photograph, whatever is listed beside it and wherever it goes."""

import json

import numpy as np
import pytest
from PIL import Image

from samkit.errors import InputError
from samkit.masks import Masks
from samkit.server import Project
from samkit.server.annotate.sidecars import ObjectRequest

STROKE = ObjectRequest(strokes=[{"points": [[3, 3]], "radius": 2}])


@pytest.fixture
def photo(tmp_path):
    """Write a photograph of a grey value -> its path. All have the same length in bytes."""

    def photo(name, grey=0):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 9, 3), grey, np.uint8)).save(path)
        return path

    return photo


def put(project, index, name):
    masks = Masks.from_pixels([np.eye(8, 9, dtype=bool)], (8, 9), [1.0])
    project.put(index, None, STROKE.model_copy(update={"name": name}), masks, "tiny")


def kept(project):
    """Names of objects by names of photographs."""
    sidecars = [project.sidecar(i) for i in range(len(project))]
    return {
        name: [one.name for one in sidecar.objects]
        for name, sidecar in zip(project.names, sidecars, strict=True)
    }


@pytest.fixture
def opened(tmp_path):
    """A project of these photographs, in the same folder each time."""
    return lambda *images, out="out": Project(images, tmp_path / out)


def test_another_folder_with_the_same_names(opened, photo):
    first, second = photo("monday/1.bmp"), photo("tuesday/1.bmp", 9)
    put(opened(first.parent), 0, "of monday")
    other = opened(second.parent)
    assert kept(other) == {"1.bmp": []}
    put(other, 0, "of tuesday")
    both = opened(first.parent, second.parent)
    assert kept(both) == {"monday/1.bmp": ["of monday"], "tuesday/1.bmp": ["of tuesday"]}
    put(both, 0, "more")
    assert kept(opened(first)) == {"1.bmp": ["of monday", "more"]}
    assert kept(opened(second)) == {"1.bmp": ["of tuesday"]}


def test_photographs_and_annotations_move_together(opened, photo, tmp_path):
    image = photo("all/photos/1.bmp")
    put(opened(image, out="all/out"), 0, "kept")
    (tmp_path / "all").rename(tmp_path / "elsewhere")
    moved = opened(tmp_path / "elsewhere/photos", out="elsewhere/out")
    assert kept(moved) == {"1.bmp": ["kept"]}


def test_photographs_move_alone(opened, photo, tmp_path):
    for name in ("a", "b"):
        photo(f"photos/{name}/1.bmp")
    project = opened(tmp_path / "photos/a", tmp_path / "photos/b")
    put(project, 0, "of a")
    put(project, 1, "of b")
    (tmp_path / "photos").rename(tmp_path / "pictures")
    moved = opened(tmp_path / "pictures/b", tmp_path / "pictures/a")
    assert kept(moved) == {"b/1.bmp": ["of b"], "a/1.bmp": ["of a"]}
    put(moved, 0, "more")
    assert kept(opened(tmp_path / "pictures/b")) == {"1.bmp": ["of b", "more"]}


def test_a_moved_photograph_is_not_guessed(opened, photo, tmp_path):
    put(opened(photo("photos/1.bmp")), 0, "kept")
    (tmp_path / "photos/1.bmp").unlink()
    one, other = photo("x/1.bmp"), photo("y/1.bmp")
    assert kept(opened(one, other)) == {"x/1.bmp": [], "y/1.bmp": []}
    longer = tmp_path / "z/1.bmp"
    longer.parent.mkdir()
    longer.write_bytes(one.read_bytes() + b"more")
    assert kept(opened(longer)) == {"1.bmp": []}
    assert kept(opened(one)) == {"1.bmp": ["kept"]}


def test_links_to_folders_lead_to_the_same_photograph(opened, photo, tmp_path):
    image = photo("photos/1.bmp")
    put(opened(image), 0, "kept")
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    project = opened(tmp_path / "link", tmp_path / "photos")
    assert kept(project) == {"1.bmp": ["kept"]}


def test_a_photograph_that_cannot_be_read_can_be_done(opened, photo):
    whole, broken = photo("photos/1.bmp"), photo("photos/2.bmp")
    content = broken.read_bytes()
    broken.write_bytes(b"nothing")
    project = opened(whole.parent)
    put(project, 0, "kept")
    project.set_done(1, True)
    assert opened(whole.parent).state(1) == "done"
    images = json.loads(project.export("coco").read_text())["images"]
    assert [one["file_name"] for one in images] == ["1.bmp"]
    broken.write_bytes(content)
    mended = opened(whole.parent)
    put(mended, 1, "after all")
    assert opened(whole.parent).sidecar(1).image_size == (8, 9)
    assert mended.state(1) == "done"


def test_a_photograph_that_has_changed_is_refused(opened, photo):
    image = photo("photos/1.bmp")
    put(opened(image), 0, "kept")
    Image.new("RGB", (5, 5)).save(image)
    with pytest.raises(InputError, match=r"1\.bmp has changed: .*\(8, 9\).*\(5, 5\)"):
        opened(image).pixels(0)


@pytest.mark.parametrize("form", ["png", "labelme"])
def test_photographs_are_not_written_over(photo, tmp_path, form):
    image = photo(f"photos/{form}/1.png")
    other = photo(f"photos/{form}/2.png")
    before = image.read_bytes(), other.read_bytes()
    project = Project([image.parent], tmp_path / "photos")
    put(project, 0, "kept")
    with pytest.raises(InputError, match="is there already"):
        project.export(form)
    assert (image.read_bytes(), other.read_bytes()) == before
    image.parent.rename(tmp_path / "elsewhere")
    assert Project([tmp_path / "elsewhere"], tmp_path / "photos").export(form).is_dir()


def test_two_files_of_one_photograph(opened, photo, tmp_path):
    put(opened(photo("photos/1.bmp")), 0, "kept")
    file = tmp_path / "out/objects/1.bmp.json"
    file.with_name("copy.json").write_bytes(file.read_bytes())
    with pytest.raises(InputError, match="tell of one photograph"):
        opened(tmp_path / "photos")


@pytest.mark.parametrize("parts", [("file",), ("file", "inner")])
def test_where_nothing_can_be_written(opened, photo, tmp_path, parts):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot write to"):
        opened(photo("photos/1.bmp"), out="/".join(parts))
