"""The table of backbones: every figure in it is counted on the built network, and it can be printed at once."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from edgewise.cli.backbones import list_backbones
from edgewise.train.architecture import Architecture, choose, keep_blocks
from edgewise.train.backbones import BACKBONES, DEFAULT_BACKBONE
from edgewise.train.complexity import complexity
from edgewise.train.framework import keras
from edgewise.train.network import build


@pytest.mark.parametrize("name", BACKBONES)
def test_the_figures_of_the_table_are_those_of_the_network(name: str) -> None:
    known = BACKBONES[name]
    network = build(choose(name, 2), top=False)
    assert known.name == network.name == name
    assert (known.parameters, known.macs) == (complexity(network).parameters, complexity(network).macs)
    assert network.output_shape == (None, known.features)
    assert (known.fp32_bytes, known.int8_bytes) == (4 * known.parameters, known.parameters)


def test_multiply_accumulates_are_counted_by_hand() -> None:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(inputs)  # 4 x 4 x 4 outputs of 3 x 3 x 3
    x = keras.layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(x)  # 4 x 4 x 8 outputs of 3 x 3
    x = keras.layers.Conv2D(6, (1, 3), padding="valid", groups=2)(x)  # 4 x 2 x 6 outputs of 1 x 3 x 4
    x = keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(x))  # 5 outputs of 6
    network = keras.Model(inputs, x)
    counted = complexity(network)
    assert counted.macs == 64 * 27 + 128 * 9 + 48 * 12 + 30
    assert counted.parameters == network.count_params()
    assert str(counted) == "0.0 million parameters, 0.00 GMAC per picture"


def test_fewer_blocks_and_smaller_pictures_cost_less() -> None:
    small = complexity(build(Architecture(10, 75, keep_blocks((1, 1, 1)))))
    assert small.parameters < BACKBONES[DEFAULT_BACKBONE].parameters / 3
    assert small.macs < BACKBONES[DEFAULT_BACKBONE].macs / 30


def test_the_table_shows_what_can_be_typed_and_what_it_costs(capsys: pytest.CaptureFixture[str]) -> None:
    list_backbones()
    title, first, *others = capsys.readouterr().out.splitlines()
    assert title.split() == ["backbone", "size", "smallest", "parameters", "GMAC", "fp32", "int8"]
    assert " ".join(first.split()) == "inception_resnet_v2 299 px 75 px 54.3 M 13.15 217.3 MB 54.3 MB"
    assert [line.split()[0] for line in others[:5]] == list(BACKBONES)[1:]
    assert "estimates: 4 bytes per parameter in fp32, 1 in int8" in " ".join(others)


def test_the_table_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    list_backbones(as_json=True)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["backbone"] for row in rows] == list(BACKBONES)
    assert rows[0]["macs"] == 13_154_258_016
    assert rows[3] == {
        "backbone": "mobilenet_v3_small",
        "image_size": 224,
        "min_image_size": 32,
        "parameters": 939_120,
        "macs": 54_896_576,
        "fp32_bytes_estimate": 3_756_480,
        "int8_bytes_estimate": 939_120,
    }


def test_the_table_needs_no_tensorflow() -> None:
    code = (
        "import sys; from edgewise.cli.backbones import list_backbones; list_backbones(); "
        "assert not {'tensorflow', 'tf_keras', 'cv2'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "efficientnet_v2_b0" in done.stdout
