"""Addresses and paths."""

import pytest
from pyarrow import fs

from samkit.bulk.places import Place
from samkit.errors import InputError


def test_addresses_of_object_stores():
    place = Place.of("s3://bucket/a b/%41#1.png?region=eu-west-1", "an image")
    assert (place.filesystem.type_name, place.filesystem.region) == ("s3", "eu-west-1")
    assert str(place) == "s3://bucket/a b/%41#1.png"
    assert (place.name, place.suffix) == ("%41#1.png", ".png")
    assert str(place.parent / "c.png") == "s3://bucket/a b/c.png"
    assert str(Place.of("gs://anonymous@bucket/x/", "images")) == "gcs://bucket/x"
    again = Place.of("s3://bucket/other.png?region=eu-west-1", "an image")
    assert again.filesystem is place.filesystem


def test_what_a_table_names(tmp_path):
    table = Place.of(tmp_path / "a.parquet", "a table")
    assert str(table.named("b/c.png", "an image")) == str(tmp_path / "b" / "c.png")
    assert str(table.named("/x/c.png", "an image")) == "/x/c.png"
    assert str(table.named("file:///x/c.png", "an image")) == "/x/c.png"
    there = Place.of("s3://bucket/t/a.parquet?region=eu-west-1", "a table")
    assert str(there.named("c.png", "an image")) == "s3://bucket/t/c.png"
    assert there.named("s3://bucket/c.png", "an image").filesystem is there.filesystem
    other = there.named("s3://other/c.png?region=eu-west-2", "an image")
    assert other.filesystem.region == "eu-west-2"


def test_a_file_that_is_not_there():
    place = Place(fs.SubTreeFileSystem("/no/such/folder", fs.LocalFileSystem()), "a.png")
    assert not place.is_file()
    with pytest.raises(InputError, match=r"cannot read subtree://a\.png"):
        place.open(InputError)
    with pytest.raises(InputError, match=r"cannot write subtree://a\.png"):
        place.write(b"")
    assert place.parent.names() == set()
