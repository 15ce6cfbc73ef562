"""Files opened for a few pictures: the same answers, from a private copy and weights that are packed once."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgewise.export.metadata import embed_onnx
from edgewise.runtime import Classifier, copies, few
from edgewise.runtime.copies import private_copy
from edgewise.runtime.early import begin, begin_for
from edgewise.runtime.engines.litert import LiteRtEngine
from edgewise.runtime.engines.packed import PackedEngine, pack
from edgewise.runtime.few import open_few
from edgewise.runtime.modelfile import read_model
from edgewise.spec import BackendError, ModelError
from edgewise.spec.files import sha256
from edgewise.spec.opening import Opening

DATA = Path(__file__).parents[1] / "data"
TINY = DATA / "tiny.tflite"
CONTENT = TINY.read_bytes()
DIGEST = sha256(CONTENT)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, in which even the smallest file is worth a copy; the folder of that of tiny.tflite."""
    monkeypatch.setenv("EDGEWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(copies, "MIN_BYTES", 1)
    return tmp_path / "cache" / "models" / DIGEST


def engine_of(classifier: Classifier) -> object:
    return classifier.backend._engine  # type: ignore[attr-defined]


def answer(classifier: Classifier) -> list[float]:
    return [score.probability for score in classifier.predict(DATA / "red.png").top]


def test_the_answers_are_the_same_the_first_time_and_ever_after(kept: Path) -> None:
    usual = answer(Classifier.open(TINY))
    first = open_few(TINY, Opening())
    assert answer(first) == usual
    assert sorted(path.suffix for path in kept.rglob("*")) == [".kept", ".packed", ".sha256", ".tflite"]
    before = {path: path.stat().st_mtime_ns for path in kept.rglob("*")}
    again = open_few(TINY, Opening(threads=2, backend="litert"))
    assert isinstance(engine_of(again), PackedEngine)
    assert again.backend.threads == 2
    assert answer(again) == usual
    assert {path: path.stat().st_mtime_ns for path in kept.rglob("*")} == before


def test_nobody_else_can_look_into_the_copies(kept: Path) -> None:
    open_few(TINY, Opening())
    assert stat.S_IMODE(kept.stat().st_mode) == stat.S_IMODE(kept.parent.stat().st_mode) == 0o700


def test_a_folder_that_others_can_look_into_is_not_used(kept: Path) -> None:
    kept.parent.mkdir(parents=True)
    kept.parent.chmod(0o755)
    assert isinstance(engine_of(open_few(TINY, Opening())), LiteRtEngine)
    assert not kept.exists()


def test_a_link_in_the_place_of_the_folder_is_not_used(kept: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    kept.parent.parent.mkdir()
    kept.parent.symlink_to(tmp_path / "elsewhere")
    assert private_copy(CONTENT, DIGEST, ".tflite") is None


def test_a_damaged_copy_is_replaced_and_never_written_to(kept: Path) -> None:
    path = private_copy(CONTENT, DIGEST, ".tflite")
    assert path is not None
    path.write_bytes(CONTENT[:-1] + b"?")
    with path.open("rb") as mapped_elsewhere:
        assert private_copy(CONTENT, DIGEST, ".tflite") == path
        assert mapped_elsewhere.read() == CONTENT[:-1] + b"?"
    assert path.read_bytes() == CONTENT


def test_damaged_packed_weights_are_made_again(kept: Path) -> None:
    usual = answer(open_few(TINY, Opening()))
    weights = next(kept.rglob("*.packed"))
    whole = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(whole[: len(whole) // 2])
    assert answer(open_few(TINY, Opening())) == usual
    assert weights.read_bytes() == whole


def test_weights_that_were_refused_once_are_not_tried_again(kept: Path) -> None:
    open_few(TINY, Opening())
    next(kept.rglob("*.packed")).unlink()
    next(kept.glob("*.sha256")).write_text("refused")
    assert isinstance(engine_of(open_few(TINY, Opening())), LiteRtEngine)
    assert not list(kept.rglob("*.packed"))


def test_the_copies_used_longest_ago_make_room(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [CONTENT + bytes([number]) for number in range(3)]
    monkeypatch.setattr(copies, "MAX_FOLDER_BYTES", 2 * len(contents[0]))
    paths = [private_copy(content, sha256(content), ".tflite") for content in contents]
    last = private_copy(CONTENT, DIGEST, ".tflite")
    assert [path is not None and path.exists() for path in (*paths, last)] == [False, True, True, True]


def test_a_nearly_full_disk_gets_no_copy(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=len(CONTENT))
    monkeypatch.setattr(copies.shutil, "disk_usage", lambda _: usage)
    assert isinstance(engine_of(open_few(TINY, Opening())), LiteRtEngine)
    assert not kept.exists()


def larger_onnx(folder: Path) -> Path:
    """tiny.onnx with a factor for each pixel in the place of one for all: ONNX Runtime leaves small arrays inside."""
    path = DATA / "tiny.onnx"
    model, manifest = onnx.load(path), read_model(path).manifest
    scale = next(each for each in model.graph.initializer if each.name == "scale")
    factors = np.full((32, 32, 3), numpy_helper.to_array(scale), np.float32)
    scale.CopyFrom(numpy_helper.from_array(factors, "scale"))
    del model.metadata_props[:]
    (folder / "larger.onnx").write_bytes(embed_onnx(model.SerializeToString(), manifest))
    return folder / "larger.onnx"


def test_onnx_runtime_starts_from_the_graph_it_optimized_before(kept: Path, tmp_path: Path) -> None:
    path = larger_onnx(tmp_path)
    usual = answer(Classifier.open(path))
    assert answer(open_few(path, Opening())) == usual
    folder = kept.parent / sha256(path.read_bytes())
    (made,) = folder.glob("onnxruntime-*.kept")
    assert sorted(path.name for path in made.iterdir()) == ["model.onnx", "model.weights"]
    for name in ("model.onnx", "model.weights"):
        assert answer(open_few(path, Opening())) == usual
        whole = (made / name).read_bytes()
        (made / name).write_bytes(whole[:-1] + b"?")
        assert answer(open_few(path, Opening())) == usual
        assert (made / name).read_bytes() == whole


def test_small_files_and_other_engines_are_opened_as_usual(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "MIN_BYTES", 8 << 20)
    assert isinstance(engine_of(open_few(TINY, Opening())), LiteRtEngine)
    assert not kept.exists()
    with pytest.raises(BackendError, match=r"--backend onnxruntime does not run tiny\.tflite"):
        open_few(TINY, Opening(backend="onnxruntime"))


def test_the_file_is_verified_before_its_copy_is_looked_for(kept: Path, tmp_path: Path) -> None:
    open_few(TINY, Opening())
    damaged = tmp_path / "tiny.tflite"
    damaged.write_bytes(CONTENT.replace(b"softmax", b"SOFTMAX", 1) if b"softmax" in CONTENT else CONTENT[:-40])
    with pytest.raises(ModelError, match="damaged"):
        open_few(damaged, Opening())


def test_nothing_of_the_engine_is_heard_on_standard_error(kept: Path) -> None:
    code = f"""
from edgewise.runtime import copies
copies.MIN_BYTES = 1
from pathlib import Path
from edgewise.runtime.few import open_few
from edgewise.spec.opening import Opening
for _ in range(2):
    print(open_few(Path({str(TINY)!r}), Opening()).predict({str(DATA / "red.png")!r}).label)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert (ran.stdout, ran.stderr) == ("red\nred\n", "")


def test_a_picture_of_another_size_is_refused_as_elsewhere(kept: Path) -> None:
    opened = open_few(TINY, Opening())
    assert isinstance(engine_of(opened), PackedEngine)
    pictures = np.zeros((3, 32, 32, 3), np.uint8)
    assert np.array_equal(opened.probabilities(pictures), few.Classifier.open(TINY).probabilities(pictures))


def test_a_file_that_kills_the_loader_kills_a_child_and_is_opened_as_usual(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = kept.parent.parent / "bad.tflite"
    bad.parent.mkdir()
    bad.write_bytes(CONTENT[:100])
    with pytest.raises(RuntimeError, match=r"packing .*bad.tflite ended with (SIG|1)"):
        pack(bad, bad.with_suffix(".packed"), 1)
    monkeypatch.setattr(few, "pack", lambda *_: pack(bad, bad.with_suffix(".packed"), 1))
    assert isinstance(engine_of(open_few(TINY, Opening())), LiteRtEngine)
    assert next(kept.glob("*.sha256")).read_text() == "refused"


def test_a_model_file_can_be_read_before_numpy_is_there() -> None:
    code = "import sys, edgewise.runtime.early; sys.exit(not {'numpy', 'cv2'}.isdisjoint(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_file_that_is_replaced_meanwhile_never_answers_under_the_old_names(kept: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(DATA / "tiny.onnx", tmp_path))
    begun = begin(path)
    begun.result()
    larger_onnx(tmp_path).replace(path)
    with pytest.raises(ModelError, match=r"tiny\.onnx was replaced while it was read"):
        open_few(path, Opening(), begun)
    assert not list(kept.parent.rglob("model.onnx"))


def test_what_was_begun_to_be_read_is_not_read_again(kept: Path, tmp_path: Path) -> None:
    usual = answer(open_few(TINY, Opening()))
    model = shutil.copy(TINY, tmp_path)
    begun = begin(Path(model))
    assert begun.result()[1] == kept
    Path(model).write_bytes(b"something else meanwhile")
    assert answer(open_few(Path(model), Opening(), begun)) == usual


def test_a_file_is_read_early_only_for_a_few_photos(tmp_path: Path) -> None:
    photo = str(TINY.with_name("red.png"))
    assert begin_for(TINY, [photo]) is not None
    assert begin_for(TINY, [str(tmp_path)]) is None
    assert begin_for(TINY, [photo] * 9) is None
