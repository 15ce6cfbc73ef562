"""Do other tools read our files, and give the same answers? Each part runs in an environment of its own.

make FOLDER       trains and exports a small network, and writes 50 photos with what `edgewise.runtime` says to each
mediapipe FOLDER  MediaPipe Tasks' ImageClassifier on the TFLite files, with the labels that they carry
onnx FOLDER       onnx.checker, plain ONNX Runtime and OpenVINO on the ONNX files
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

PHOTOS, SIDE = 50, 75
SCHEMES = ("fp32", "fp16", "dynamic", "int8")


def make(folder: Path) -> None:
    """Everything that the other parts need."""
    import cv2

    from edgewise.export.release import Request, export
    from edgewise.export.variants import variants
    from edgewise.runtime.classifier import Classifier
    from edgewise.spec import Format, Scheme
    from edgewise.spec.progress import Lines
    from edgewise.train.pixels import load_pixels
    from edgewise.train.recipe import Recipe
    from edgewise.train.signs import write_signs
    from edgewise.train.trainer import Plan, train

    write_signs(folder / "signs", {"train": 600, "validation": 60, "test": 100}, seed=0)
    # Long enough for clear answers: between two that are nearly as probable, rounding decides.
    plan = Plan(Recipe(weights="none", epochs=6, batch_size=32), image_size=SIDE, blocks=(1, 1, 1))
    run = train(folder / "signs", folder / "run", plan, overwrite=False, reporter=Lines())
    made = variants(list(Format), [Scheme(each) for each in SCHEMES])
    rows = export(Request(run.path, folder / "release", "signs", made, max_drop=100), Lines())
    images = load_pixels(run.photos("test")[:PHOTOS], SIDE).images[:]
    answers = {}
    for row in rows:
        classifier = Classifier.open(folder / "release" / row.file)
        answers[row.file] = [classifier.labels[best] for best in classifier.probabilities(images).argmax(axis=1)]
    for number, image in enumerate(images):
        cv2.imwrite(str(folder / f"{number:02}.png"), image[..., ::-1])
    np.save(folder / "images.npy", images)
    (folder / "answers.json").write_text(json.dumps({"labels": list(run.labels), "answers": answers}))


def mediapipe(folder: Path) -> None:
    """MediaPipe on the TFLite files."""
    import mediapipe as mp

    options = mp.tasks.vision.ImageClassifierOptions
    for name, expected in _answers(folder, ".tflite"):
        base = mp.tasks.BaseOptions(model_asset_path=str(folder / "release" / name))
        with mp.tasks.vision.ImageClassifier.create_from_options(options(base_options=base, max_results=1)) as tool:
            photos = [mp.Image.create_from_file(str(path)) for path in _photos(folder)]
            found = [tool.classify(photo).classifications[0].categories[0].category_name for photo in photos]
        _compare(f"MediaPipe, {name}", found, expected)


def onnx(folder: Path) -> None:
    """The checker, ONNX Runtime and OpenVINO on the ONNX files."""
    import onnx as format_
    import onnxruntime
    import openvino

    labels = json.loads((folder / "answers.json").read_text())["labels"]
    images = np.load(folder / "images.npy")
    for name, expected in _answers(folder, ".onnx"):
        path = str(folder / "release" / name)
        format_.checker.check_model(path, full_check=True)
        format_.shape_inference.infer_shapes(format_.load(path), check_type=True, strict_mode=True, data_prop=True)
        options = onnxruntime.SessionOptions()
        # By itself it cuts sums off at 16 bits on x86 CPUs without VNNI.
        options.add_session_config_entry("session.x64quantprecision", "1")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        tools: dict[str, Callable[[np.ndarray], np.ndarray]] = {
            "ONNX Runtime": lambda batch, session=session: session.run(None, {"pixels": batch})[0],
            "OpenVINO": lambda batch, compiled=compiled: compiled(batch)[0],
        }
        for tool, run in tools.items():
            best = [int(run(image[np.newaxis]).argmax()) for image in images]
            _compare(f"{tool}, {name}", [labels[each] for each in best], expected)


def _answers(folder: Path, suffix: str) -> list[tuple[str, list[str]]]:
    answers = json.loads((folder / "answers.json").read_text())["answers"]
    return [(name, found) for name, found in answers.items() if name.endswith(suffix)]


def _photos(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.png"))


def _compare(title: str, found: list[str], expected: list[str]) -> None:
    same = sum(one == other for one, other in zip(found, expected, strict=True))
    sys.stdout.write(f"{title}: {same} of {len(expected)} answers are the same, {len(set(expected))} different ones\n")
    if same < len(expected) or len(set(expected)) < 2:
        sys.exit(f"interop: {title} answers otherwise than edgewise")


if __name__ == "__main__":
    {"make": make, "mediapipe": mediapipe, "onnx": onnx}[sys.argv[1]](Path(sys.argv[2]))
