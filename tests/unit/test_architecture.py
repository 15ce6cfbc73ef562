"""The architecture as data: what is kept, what is refused, and that it survives a file."""

from __future__ import annotations

from typing import Any

import pytest

from edgewise.spec import InputError, ModelError
from edgewise.train.architecture import Architecture, all_blocks, choose, keep_blocks
from edgewise.train.backbones import BACKBONES, STAGES


def test_the_full_network_has_ten_twenty_and_ten_blocks() -> None:
    assert {stage: len(blocks) for stage, blocks in all_blocks().items()} == {
        "block35": 10,
        "block17": 20,
        "block8": 10,
    }
    assert keep_blocks((10, 20, 10)) == all_blocks()


@pytest.mark.parametrize("counts", [(1, 1, 1), (2, 5, 3), (5, 10, 5), (9, 19, 9)])
def test_kept_blocks_are_spread_and_end_with_the_last(counts: tuple[int, ...]) -> None:
    kept = keep_blocks(counts)
    assert tuple(map(len, kept.values())) == counts
    for stage, blocks in kept.items():
        assert list(blocks) == sorted(set(blocks))
        assert blocks[-1] == STAGES[stage]
        assert set(blocks) <= set(all_blocks()[stage])


def test_half_of_the_blocks_is_every_second() -> None:
    assert keep_blocks((5, 10, 5))["block35"] == (2, 4, 6, 8, 10)


@pytest.mark.parametrize("counts", [(0, 1, 1), (11, 1, 1), (1, 21, 1), (1, 1, 11), (1, 1), (1, 1, 1, 1), ()])
def test_other_counts_of_blocks_are_refused(counts: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="--blocks") as refused:
        keep_blocks(counts)
    assert "three numbers from 1,1,1 (smallest) to 10,20,10" in refused.value.expected


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image_size", 74),
        ("image_size", 1025),
        ("image_size", 299.0),
        ("classes", 1),
        ("classes", True),
        ("dropout", 1.0),
        ("dropout", float("nan")),
        ("dropout", "0.2"),
        ("backbone", "resnet50"),
        ("backbone", ["inception_v3"]),
        ("blocks", {"block35": (1,), "block17": (1,)}),
        ("blocks", {"block35": (), "block17": (1,), "block8": (1,)}),
        ("blocks", {"block35": (2, 1), "block17": (1,), "block8": (1,)}),
        ("blocks", {"block35": (11,), "block17": (1,), "block8": (1,)}),
        ("blocks", {"block35": ("1",), "block17": (1,), "block8": (1,)}),
    ],
)
def test_a_field_out_of_range_is_named(field: str, value: Any) -> None:
    with pytest.raises(ModelError, match=f"^{field} of the network is "):
        Architecture(**{"classes": 3, field: value})


def test_the_smallest_image_is_said() -> None:
    with pytest.raises(ModelError, match=r"image_size of the network is 74\nExpected: .* from 75 to 1024"):
        Architecture(3, image_size=74)


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_has_its_own_smallest_image(name: str) -> None:
    smallest = BACKBONES[name].min_image_size
    assert choose(name, 3, image_size=smallest).image_size == smallest
    with pytest.raises(ModelError, match=rf"image_size of the network is 31\nExpected: .* from {smallest} to 1024"):
        Architecture(3, 31, choose(name, 3).blocks, backbone=name)
    with pytest.raises(InputError, match=f"--image-size {smallest - 1} with --backbone {name}") as refused:
        choose(name, 3, image_size=smallest - 1)
    assert refused.value.expected == f"{smallest} to 1024 pixels"


def test_only_inception_resnet_has_blocks_to_choose() -> None:
    assert choose("inception_resnet_v2", 3, counts=(1, 2, 3)).blocks == keep_blocks((1, 2, 3))
    assert choose("mobilenet_v2", 3).blocks == {}
    with pytest.raises(InputError, match="--blocks with --backbone mobilenet_v2"):
        choose("mobilenet_v2", 3, counts=(1, 2, 3))
    with pytest.raises(ModelError, match=r"blocks of the network is .*\nExpected: none, which mobilenet_v2 has"):
        Architecture(3, 96, all_blocks(), backbone="mobilenet_v2")


def test_the_default_is_the_full_network_as_its_weights_were_trained() -> None:
    assert choose("inception_resnet_v2", 7) == Architecture(7)
    assert choose("mobilenet_v3_large", 7).image_size == 224


def test_a_backbone_that_does_not_exist_lists_those_that_do() -> None:
    with pytest.raises(InputError, match=r"^--backbone 'resnet50'\n") as refused:
        choose("resnet50", 3)
    assert refused.value.expected == "one of " + ", ".join(BACKBONES)
    assert "--list-backbones" in refused.value.do


@pytest.mark.parametrize("name", BACKBONES)
def test_data_of_every_backbone_survives(name: str) -> None:
    architecture = choose(name, 4, image_size=100, dropout=0.3)
    assert Architecture.from_data(architecture.to_data(), "f") == architecture


def test_a_configuration_from_before_there_were_other_backbones_is_still_read() -> None:
    data = {
        "classes": 10,
        "image_size": 75,
        "blocks": {"block35": [10], "block17": [20], "block8": [10]},
        "dropout": 0.2,
        "backbone": "inception_resnet_v2",
    }
    assert Architecture.from_data(data, "config.yaml") == Architecture(10, 75, keep_blocks((1, 1, 1)))


def test_data_survives() -> None:
    architecture = Architecture(7, 128, keep_blocks((2, 3, 1)), dropout=0.5)
    assert Architecture.from_data(architecture.to_data(), "f") == architecture
    assert architecture.input_shape == (128, 128, 3)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {**Architecture(3).to_data(), "layers": []},
        {**Architecture(3).to_data(), "blocks": [1]},
        {**Architecture(3).to_data(), "blocks": {"block35": 1, "block17": [1], "block8": [1]}},
        {key: value for key, value in Architecture(3).to_data().items() if key != "classes"},
    ],
)
def test_other_data_is_refused(data: Any) -> None:
    with pytest.raises(ModelError):
        Architecture.from_data(data, "config.yaml")


def test_data_that_refers_to_itself_a_million_times_is_refused_shortly() -> None:
    bomb: list[Any] = ["x"]
    for _ in range(60):
        bomb = [bomb, bomb]  # written out, it has 2^60 parts
    with pytest.raises(ModelError) as refused:
        Architecture.from_data({"blocks": bomb}, "config.yaml")
    assert len(str(refused.value)) < 1000
    with pytest.raises(ModelError, match="classes") as refused:
        Architecture.from_data({**Architecture(3).to_data(), "classes": bomb}, "config.yaml")
    assert len(str(refused.value)) < 1000
