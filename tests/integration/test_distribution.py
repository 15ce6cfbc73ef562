"""Several devices and several machines train as one: two virtual CPU devices, and two processes on loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgewise.cli.main import app
from edgewise.spec import EdgewiseError
from edgewise.train.run import Run

PROGRAM = (sys.executable, "-c", "import sys; from edgewise.cli.main import main; sys.exit(main())")
OPTIONS = (
    "--weights", "none", "--epochs", "2", "--batch-size", "20", "--image-size", "75", "--blocks", "1,1,1",
    "--optimizer", "sgd", "--learning-rate", "0.001", "--mixup", "0.2", "--ema", "0.9", "--checkpoint-minutes", "0",
    "--precision", "float32",
)  # fmt: skip

STEPS = """
import json, sys
import numpy as np
from edgewise.spec.progress import Silent
from edgewise.train.framework import keras, prepare_process, seed_everything, tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
prepare_process(0)
from edgewise.train.architecture import choose
from edgewise.train.devices import Devices, choose_devices
from edgewise.train.freezing import freeze
from edgewise.train.network import build
from edgewise.train.optimization import Optimizer, Schedule
from edgewise.train.recipe import Recipe
from edgewise.train.stepping import TrainingStep


def small():
    return build(choose("inception_resnet_v2", 10, image_size=75, counts=(1, 1, 1), dropout=0.2), momentum=0.9)


def tiny():
    inputs = keras.Input((75, 75, 3))
    x = keras.layers.Conv2D(8, 3, 2, use_bias=False)(inputs)
    x = keras.layers.Activation("relu")(keras.layers.BatchNormalization()(x))
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = keras.layers.Dropout(0.2, name="dropout")(x)
    return keras.Model(inputs, keras.layers.Dense(10, "softmax", name="predictions")(x))


RANDOM = np.random.default_rng(0)
# Small ones: on noise and batches of eight, the rounding of sums in another order grows with every larger step.
RATES = {"sgd": 1e-3, "adamw": 1e-4}
BATCHES = [tf.constant(RANDOM.uniform(-1, 1, (8, 75, 75, 3)), tf.float32) for _ in range(5)]
TARGETS = tf.one_hot(np.arange(8), 10)


def losses(devices, network, weights, optimizer):
    recipe = Recipe(weights=weights, optimizer=optimizer, ema=0.9)
    seed_everything(0)
    model = network()
    freeze(model, recipe)
    twin = devices.twin(model)
    with devices.scope():
        state = Optimizer(twin.trainable_variables, recipe, Schedule(RATES[optimizer], 10, 1))
    devices.share(model, twin, state.state)
    step = TrainingStep(twin, state, recipe, None, devices)
    result = [step(batch, TARGETS)[0] for batch in BATCHES]
    devices.fetch(model, twin)
    return result


two = choose_devices("mirrored", Silent())
cases = [(small, "none", "sgd"), (tiny, "given", "adamw")]
told = {
    "devices": two.count,
    "one": [losses(Devices(), *case) for case in cases],
    "two": [losses(two, *case) for case in cases],
    "bfloat16": losses(Devices().computing("bfloat16"), *cases[1]),
    "float16": losses(Devices().computing("float16"), *cases[1]),
}
print(json.dumps(told))
"""


def test_two_devices_have_the_loss_curve_of_one_and_16_bits_come_close() -> None:
    done = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["devices"] == 2
    for one, two in zip(told["one"], told["two"], strict=True):
        assert two == pytest.approx(one, abs=1e-3)
        assert len(set(one)) > 1
    for precision in ("bfloat16", "float16"):
        assert told[precision] != told["one"][1]
        assert told[precision] == pytest.approx(told["one"][1], abs=0.1)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports: list[int] = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start(words: tuple[str, ...], config: str = "") -> subprocess.Popen[str]:
    environment = {**os.environ, "TF_CONFIG": config}
    return subprocess.Popen(
        [*PROGRAM, "train", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
    )


def start_both(*cases: tuple[str, ...]) -> list[subprocess.Popen[str]]:
    """One process for each of two machines."""
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    return [
        start(words, json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}))
        for index, words in enumerate(cases)
    ]


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, told = process.communicate(timeout=300)
    return process.returncode, told


def losses(run: Path) -> list[float]:
    rows = (run / "history.csv").read_text().splitlines()
    place = rows[0].split(",").index("loss")
    return [float(row.split(",")[place]) for row in rows[1:]]


@pytest.fixture(scope="module")
def alone(signs_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """The losses of one machine."""
    out = tmp_path_factory.mktemp("alone") / "run"
    result = CliRunner().invoke(app, ["train", str(signs_folder), "--out", str(out), *OPTIONS])
    assert result.exit_code == 0, result.output
    return losses(out)


def test_two_machines_train_as_one_and_go_on_after_one_was_lost(
    alone: list[float], signs_folder: Path, tmp_path: Path
) -> None:
    # The second machine sees neither the run folder of the first nor its checkpoints.
    out, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    begin = [(str(signs_folder), "--out", str(folder), *OPTIONS) for folder in (out, elsewhere)]
    first, second = start_both(*begin)
    within = out / "checkpoints" / "epoch-00001-step-0000002" / "state.json"
    while not within.is_file():
        assert first.poll() is None, first.communicate()
        time.sleep(0.005)
    second.send_signal(signal.SIGKILL)
    code, told = finish(first)
    assert code == 1, told
    assert "another machine of this training does not answer any more" in told
    assert "each with --resume" in told
    assert "Traceback" not in told

    first, second = start_both(
        ("--out", str(out), "--resume"), (str(signs_folder), "--out", str(elsewhere), "--resume")
    )
    (code, told), (second_code, second_told) = finish(first), finish(second)
    assert (code, second_code) == (0, 0), told + second_told
    assert "continuing after epoch 1 of 2 and " in told
    assert "training on 2 devices as one" in told
    assert losses(out) == pytest.approx(alone, abs=1e-3)
    assert Run.open(out).finished
    assert not elsewhere.exists()
    assert "next: edgewise export release" not in second_told


def test_machines_that_were_told_different_things_refuse(signs_folder: Path, tmp_path: Path) -> None:
    words = [(str(signs_folder), "--out", str(tmp_path / name), *OPTIONS, "--seed", name) for name in ("0", "1")]
    first, second = start_both(*words)
    code, told = finish(second)
    assert code == 1, told
    assert "this machine was given other photos, options or first weights than the leading one" in told
    code, told = finish(first)
    assert code == 1, told
    assert "another machine of this training does not answer any more" in told


@pytest.mark.parametrize(
    ("words", "config", "message"),
    [
        (("--distribute", "all"), "", "--distribute all"),
        (("--distribute", "mirrored"), "", "--distribute mirrored: TensorFlow sees one device here"),
        (("--distribute", "multiworker"), "", "--distribute multiworker without other machines"),
        ((), "{", "the environment variable TF_CONFIG cannot be used"),
        ((), '{"cluster": {"worker": ["a:1", "b:2"]}}', "TF_CONFIG cannot be used: 'task' is missing"),
    ],
)
def test_what_is_not_there_is_said(
    words: tuple[str, ...], config: str, message: str, signs_folder: Path, tmp_path: Path
) -> None:
    command = ["train", str(signs_folder), "--out", str(tmp_path / "run"), *words]
    error = CliRunner().invoke(app, command, env={"TF_CONFIG": config}).exception
    assert isinstance(error, EdgewiseError)
    assert message in error.got
    assert not (tmp_path / "run").exists()
