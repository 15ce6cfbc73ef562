"""Reading model files: what is accepted, and what every kind of bad file says."""

from __future__ import annotations

import io
import os
import random
import zipfile
from pathlib import Path

import pytest

from edgewise.runtime import modelfile
from edgewise.runtime.modelfile import MANIFEST_FILE, read_model
from edgewise.runtime.protobuf import encode_field
from edgewise.spec import Format, InputSpec, Manifest, ModelError, Scheme
from edgewise.spec.digest import BLANK, MARKER, seal
from edgewise.spec.files import sha256

DATA = Path(__file__).parent.parent / "data"
TFLITE = (DATA / "tiny.tflite").read_bytes()
ONNX = (DATA / "tiny.onnx").read_bytes()
MANIFEST = Manifest("m", ("a", "b"), InputSpec(8, 8), Scheme.FP32)


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        read_model(path)
    return str(caught.value)


def blanked(content: bytes) -> bytes:
    start = content.index(MARKER)
    return content[:start] + BLANK + content[start + len(BLANK) :]


@pytest.mark.parametrize(("name", "form"), [("tiny.tflite", Format.TFLITE), ("tiny.onnx", Format.ONNX)])
def test_a_model_is_read_with_its_manifest(name: str, form: Format) -> None:
    model = read_model(DATA / name)
    assert model.format is form
    assert model.content == (DATA / name).read_bytes()
    assert model.sha256 == sha256(model.content)
    assert model.manifest.labels == ("blue", "green", "red")
    assert model.manifest.input == InputSpec(32, 32)
    assert model.manifest.scheme is Scheme.FP32
    assert model.manifest.accuracy is not None
    assert model.manifest.accuracy.top1 == 1.0
    assert model.manifest.parity is not None
    assert model.manifest.parity.agreement == 1.0
    assert "content" not in repr(model)


def test_the_shipped_models_are_small() -> None:
    assert max(len(TFLITE), len(ONNX)) < 20_000


# Files that are not there, or are something else


def test_a_missing_file(tmp_path: Path) -> None:
    message = refused(tmp_path / "no.tflite")
    assert f"{tmp_path / 'no.tflite'} does not exist" in message
    assert "Do: check the path" in message


def test_a_name_no_file_can_have() -> None:
    assert "cannot be read" in refused(Path("a\0b.tflite"))


def test_an_empty_file(tmp_path: Path) -> None:
    message = refused(put(tmp_path, "m.onnx", b""))
    assert "m.onnx is empty" in message
    assert "Expected: a .tflite or .onnx file made by `edgewise export`" in message


def test_a_folder(tmp_path: Path) -> None:
    message = refused(tmp_path)
    assert f"{tmp_path} is a folder" in message
    assert "Do: name one file in it, or export one: `edgewise export tflite RUN`" in message


def test_a_saved_model_folder(tmp_path: Path) -> None:
    put(tmp_path, "saved_model.pb", b"x")
    assert "is a TensorFlow SavedModel, which can run code on loading" in refused(tmp_path)


@pytest.mark.parametrize("name", ["m.h5", "m.KERAS", "m.hdf5"])
def test_a_keras_file_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    message = refused(put(tmp_path, name, b"x"))
    assert "is a Keras file, which can run code on loading; export it with `edgewise export tflite RUN`" in message


def test_a_keras_file_under_another_name(tmp_path: Path) -> None:
    assert "is a Keras file" in refused(put(tmp_path, "m.onnx", b"\x89HDF\r\n\x1a\n" + bytes(100)))


def test_a_frozen_graph(tmp_path: Path) -> None:
    assert "m.pb is a TensorFlow graph" in refused(put(tmp_path, "m.pb", b"x"))


def test_another_suffix(tmp_path: Path) -> None:
    assert "is not a model file, by its suffix '.png'" in refused(put(tmp_path, "m.png", b"x"))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.onnx")
    assert "is not a regular file" in refused(tmp_path / "m.onnx")


def test_a_file_too_large(tmp_path: Path) -> None:
    path = put(tmp_path, "m.onnx", b"x")
    os.truncate(path, modelfile.MAX_FILE_BYTES + 1)  # sparse: takes no room
    assert "is 4294967297 bytes large\nExpected: at most 4294967296 bytes" in refused(path)


def test_formats_under_the_wrong_suffix(tmp_path: Path) -> None:
    assert "is not a TFLite file: the mark TFL3 is missing" in refused(put(tmp_path, "m.tflite", ONNX))
    assert "is a TFLite file with the suffix of ONNX\nDo: rename it to .tflite" in refused(
        put(tmp_path, "m.onnx", TFLITE)
    )


# Manifest and digest


def test_no_manifest_in_tflite(tmp_path: Path) -> None:
    bare = TFLITE[: TFLITE.index(b"PK\x03\x04")]
    message = refused(put(tmp_path, "m.tflite", seal(blanked(bare))))
    assert "m.tflite carries no Edgewise manifest" in message
    assert "Expected: a .tflite or .onnx file made by `edgewise export`" in message
    assert "Do: export it with `edgewise export`" in message


def test_no_manifest_in_onnx(tmp_path: Path) -> None:
    assert "m.onnx carries no Edgewise manifest" in refused(put(tmp_path, "m.onnx", encode_field(7, b"")))


def test_a_foreign_archive_is_no_manifest(tmp_path: Path) -> None:
    assert "carries no Edgewise manifest" in refused(with_archive(tmp_path, {"labels.txt": b"a\n"}))


@pytest.mark.parametrize(("name", "content"), [("m.tflite", TFLITE), ("m.onnx", ONNX)])
def test_a_manifest_without_digest(tmp_path: Path, name: str, content: bytes) -> None:
    unsealed = content.replace(MARKER, b"edgewise-nothing")
    assert "carries an Edgewise manifest but no digest" in refused(put(tmp_path, name, unsealed))


@pytest.mark.parametrize(("name", "content"), [("m.tflite", TFLITE), ("m.onnx", ONNX)])
def test_every_changed_byte_is_noticed(tmp_path: Path, name: str, content: bytes) -> None:
    for at in random.Random(7).sample(range(len(content)), 200):
        changed = bytearray(content)
        changed[at] ^= 0x10
        message = refused(put(tmp_path, name, bytes(changed)))
        assert "damaged" in message or "no digest" in message


@pytest.mark.parametrize("length", [1, 4, 8, 21, 22, 100, 1000])
@pytest.mark.parametrize(("name", "content"), [("m.tflite", TFLITE), ("m.onnx", ONNX)])
def test_a_file_cut_short(tmp_path: Path, name: str, content: bytes, length: int) -> None:
    refused(put(tmp_path, name, content[:length]))
    refused(put(tmp_path, name, content[:-length]))


def test_sums_that_fit(tmp_path: Path) -> None:
    put(tmp_path, "m.onnx", ONNX)
    put(tmp_path, "SHA256SUMS", f"{sha256(b'x')}  other.onnx\n{sha256(ONNX).upper()} *m.onnx\n".encode())
    assert read_model(tmp_path / "m.onnx").sha256 == sha256(ONNX)


def test_sums_that_do_not_fit_name_both_digests(tmp_path: Path) -> None:
    path = put(tmp_path, "m.onnx", ONNX)
    put(tmp_path, "SHA256SUMS", f"{'0' * 64}  m.onnx\n".encode())
    message = refused(path)
    assert f"{path} is damaged: its SHA-256 is {sha256(ONNX)}" in message
    assert f"Expected: {'0' * 64}, as {tmp_path / 'SHA256SUMS'} says" in message


def test_sums_that_are_a_folder(tmp_path: Path) -> None:
    (tmp_path / "SHA256SUMS").mkdir()
    message = refused(put(tmp_path, "m.onnx", ONNX))
    assert "SHA256SUMS is not a file" in message


# Hostile archives, sealed by the one who made them


def with_archive(folder: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return with_tail(folder, archive.getvalue())


def with_tail(folder: Path, tail: bytes) -> Path:
    return put(folder, "m.tflite", seal(blanked(TFLITE[: TFLITE.index(b"PK\x03\x04")]) + tail))


def good_json() -> bytes:
    return MANIFEST.to_json().encode()


def test_the_archive_may_hold_only_its_two_files(tmp_path: Path) -> None:
    path = with_archive(tmp_path, {"labels.txt": b"a\nb\n", MANIFEST_FILE: good_json()})
    assert read_model(path).manifest == MANIFEST
    for name in ("../../etc/passwd", "/abs", "evil.so", "labels.txt/"):
        members = {"labels.txt": b"a\nb\n", MANIFEST_FILE: good_json(), name: b"x"}
        message = refused(with_archive(tmp_path, members))
        assert f"the archive at its end holds 'labels.txt', 'edgewise.json', '{name}'" in message
        assert "Expected: labels.txt and edgewise.json" in message


def test_a_name_twice(tmp_path: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(MANIFEST_FILE, good_json())
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr(MANIFEST_FILE, good_json())
    assert "holds 'edgewise.json', 'edgewise.json'" in refused(with_tail(tmp_path, archive.getvalue()))


def test_a_compressed_bomb(tmp_path: Path) -> None:
    members = {"labels.txt": b"a\nb\n", MANIFEST_FILE: b" " * (64 << 20)}
    assert "the manifest in it is compressed" in refused(with_archive(tmp_path, members, zipfile.ZIP_DEFLATED))


def test_a_manifest_too_long(tmp_path: Path) -> None:
    members = {"labels.txt": b"a\nb\n", MANIFEST_FILE: b" " * (9 << 20)}
    assert "its manifest is 9437184 bytes long\nExpected: at most 8388608 bytes" in refused(
        with_archive(tmp_path, members)
    )


def test_a_huge_count(tmp_path: Path) -> None:
    message = refused(with_archive(tmp_path, {f"{number}": b"" for number in range(60_000)}))
    assert "the archive at its end lists 60000 files" in message


def test_an_archive_with_64_bit_counts(tmp_path: Path) -> None:
    locator = b"PK\x06\x07" + bytes(16)
    assert "the archive at its end lists" in refused(with_tail(tmp_path, locator + b"PK\x05\x06" + bytes(18)))


def test_a_broken_archive_is_damaged(tmp_path: Path) -> None:
    end = b"PK\x05\x06" + bytes(4) + b"\x02\x00\x02\x00" + b"\x50\x00\x00\x00" + bytes(6)
    assert "the archive at its end is damaged" in refused(with_tail(tmp_path, bytes(80) + end))


@pytest.mark.parametrize("seed", range(300))
def test_mutated_archives_raise_nothing_else(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    tail = bytearray(TFLITE[TFLITE.index(b"PK\x03\x04") :])
    for _ in range(chance.randint(1, 8)):
        tail[chance.choice((chance.randrange(-200, 0), chance.randrange(len(tail))))] = chance.randrange(256)
    try:
        read_model(with_tail(tmp_path, bytes(tail)))
    except ModelError:
        return


@pytest.mark.parametrize("seed", range(300))
def test_random_bytes_raise_nothing_else(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    noise = chance.randbytes(chance.randint(1, 400))
    refused(put(tmp_path, "m.onnx", noise))
    refused(put(tmp_path, "m.tflite", noise[:4] + b"TFL3" + noise[4:]))
