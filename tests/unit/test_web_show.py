from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from edgewise.runtime.frames import FrameSlot, Outage
from edgewise.runtime.live import Settings
from edgewise.runtime.region import Region
from edgewise.runtime.web import app as web_app
from edgewise.runtime.web import show
from edgewise.runtime.web.app import make_app
from edgewise.runtime.web.show import LiveShow, by_name, encode
from edgewise.spec import InputError, ModelError
from edgewise.spec.opening import Opening

DATA = Path(__file__).parents[1] / "data"
MODELS = {name: DATA / name for name in ("tiny.tflite", "tiny.onnx")}
MODEL_WISH = {"type": "model", "name": "tiny.onnx"}
COLOURS = {"blue": (250, 10, 10), "green": (10, 250, 10), "red": (10, 10, 250), "grey": (120, 120, 128)}


def picture(colour: str) -> np.ndarray[Any, Any]:
    return np.full((48, 64, 3), COLOURS[colour], np.uint8)


class Playing:
    """A show whose frames the test puts in."""

    def __init__(self) -> None:
        self.slot = FrameSlot("test")
        self.show = LiveShow(
            MODELS, Opening(threads=1), self.slot, Settings(region=Region(0.5, 0, 0.5, 1, shares=True))
        )
        self.thread = threading.Thread(target=self.show.run, args=(lambda _: True,), daemon=True)
        self.thread.start()

    def put(self, colour: str) -> None:
        before = self.slot.captured
        self.slot.put(picture(colour))
        wait_until(lambda: self.message.get("captured", 0) > before)

    @property
    def message(self) -> dict[str, Any]:
        return self.show.channel.newest.message


def wait_until(true: Any) -> None:
    for _ in range(1000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it never came")


@pytest.fixture
def playing() -> Iterator[Playing]:
    found = Playing()
    yield found
    found.slot.close()
    found.thread.join(10)
    assert not found.thread.is_alive()


@pytest.fixture
def client(playing: Playing) -> Iterator[TestClient]:
    with TestClient(make_app(playing.show)) as found:
        yield found


def test_it_tells_the_answer_and_what_can_be_chosen(playing: Playing) -> None:
    playing.put("red")
    message = playing.message
    assert (message["status"], message["label"], message["known"]) == ("live", "red", True)
    assert message["top"][0][0] == "red"
    assert message["region"] == [0.5, 0.0, 0.5, 1.0]
    assert (message["captured"], message["classified"], message["dropped"]) == (1, 1, 0)
    assert (message["model"], message["models"]) == ("tiny.tflite", ["tiny.tflite", "tiny.onnx"])
    assert message["smoothings"] == ["off", "ema", "majority"]


def test_a_lost_source_is_said_to_be_lost_with_the_last_answer(playing: Playing) -> None:
    playing.put("green")
    playing.slot.lose(Outage(time.monotonic() - 7, 2, "no answer"))
    wait_until(lambda: playing.message["status"] == "lost")
    assert playing.message["label"] == "green"
    assert playing.message["notice"] == "The source was lost 7 s ago (no answer). It is being opened again, try 3."
    assert playing.message["up"] == 0
    playing.put("red")
    wait_until(lambda: playing.message["status"] == "live")
    assert (playing.message["reopened"], playing.message["notice"]) == (1, None)


def test_a_silent_source_shows_an_old_picture_whose_age_grows(playing: Playing) -> None:
    playing.put("green")
    assert playing.message["status"] == "live"
    wait_until(lambda: playing.message["status"] == "old picture")
    assert (playing.message["label"], playing.message["up"]) == ("green", 1)
    assert playing.message["age_ms"] > 1000
    before = playing.message["age_ms"]
    wait_until(lambda: playing.message["age_ms"] > before)
    playing.put("red")
    assert (playing.message["status"], playing.message["label"]) == ("live", "red")
    assert playing.message["age_ms"] < before


def test_another_model_answers_from_the_next_frame_on(playing: Playing) -> None:
    playing.put("red")
    playing.show.change({"type": "model", "name": "tiny.onnx"})
    playing.put("blue")
    assert (playing.message["model"], playing.message["label"]) == ("tiny.onnx", "blue")


def test_settings_change_between_frames(playing: Playing) -> None:
    playing.show.change({"type": "set", "smoothing": "off", "threshold": 0.9})
    playing.put("grey")
    assert (playing.message["smoothing"], playing.message["threshold"]) == ("off", 0.9)
    assert (playing.message["label"], playing.message["known"]) == ("unknown", False)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ({"type": "model", "name": "other.onnx"}, r"there is no model 'other.onnx' here\nExpected: one of tiny"),
        ({"type": "model", "name": "../etc/passwd"}, "there is no model"),
        ({"type": "model", "name": []}, r"there is no model \[\] here"),
        ({"type": "set", "smoothing": []}, r"smoothing \[\]"),
        ({"type": "set", "smoothing": "much"}, r"smoothing 'much'\nExpected: one of off, ema, majority"),
        ({"type": "set", "threshold": 2}, r"threshold 2\nExpected: a probability from 0 to 1"),
        ({"type": "set", "threshold": True}, "threshold True"),
        ({"type": "set", "threshold": "0.5"}, "threshold '0.5'"),
    ],
)
def test_what_is_not_there_cannot_be_asked_for(playing: Playing, command: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        playing.show.change(command)


def test_a_model_that_is_gone_leaves_the_one_before(playing: Playing, tmp_path: Path) -> None:
    playing.show._models["gone.onnx"] = tmp_path / "gone.onnx"
    with pytest.raises(ModelError, match=r"gone.onnx does not exist"):
        playing.show.change({"type": "model", "name": "gone.onnx"})
    playing.put("red")
    assert playing.message["model"] == "tiny.tflite"
    assert "gone.onnx does not exist" in playing.message["notice"]
    playing.show.change({"type": "model", "name": "tiny.onnx"})
    playing.put("blue")
    assert (playing.message["model"], playing.message["notice"]) == ("tiny.onnx", None)


def test_whoever_listens_gets_as_many_classes_as_were_asked_for() -> None:
    slot, heard = FrameSlot("test"), list[Any]()
    show = LiveShow(MODELS, Opening(threads=1), slot, Settings(top_k=1))
    slot.put(picture("red"))
    slot.close()
    show.run(lambda state: not heard.append(state))
    assert [len(state.prediction.top) for state in heard] == [1]
    assert len(show.channel.newest.message["top"]) > 1


def test_a_video_that_ends_is_said_to_be_over(playing: Playing) -> None:
    playing.put("blue")
    playing.slot.close()
    wait_until(lambda: playing.message["status"] == "ended")
    assert (playing.message["label"], playing.message["notice"]) == ("blue", "The video is over.")


def test_equal_file_names_are_told_apart_by_their_folders() -> None:
    named = by_name([Path("a/net.onnx"), Path("b/net.onnx"), Path("b/other.tflite")])
    assert list(named) == ["a/net.onnx", "b/net.onnx", "other.tflite"]


def test_large_pictures_are_made_smaller_for_viewers() -> None:
    sent = cv2.imdecode(np.frombuffer(encode(np.zeros((600, 1920, 3), np.uint8)), np.uint8), cv2.IMREAD_COLOR)
    assert sent.shape == (300, 960, 3)


def test_a_viewer_gets_the_answer_and_then_the_picture(playing: Playing, client: TestClient) -> None:
    with client.websocket_connect("/live") as viewer:
        wait_until(lambda: playing.show.channel.viewers == 1)
        playing.put("red")
        answer = json.loads(viewer.receive_text())
        assert (answer["label"], answer["picture"]) == ("red", True)
        shown = cv2.imdecode(np.frombuffer(viewer.receive_bytes(), np.uint8), cv2.IMREAD_COLOR)
        assert shown.shape == (48, 64, 3)


def test_a_slow_viewer_misses_answers_and_never_sees_old_ones(playing: Playing, client: TestClient) -> None:
    with client.websocket_connect("/live") as viewer:
        wait_until(lambda: playing.show.channel.viewers == 1)
        playing.show.change({"type": "set", "smoothing": "off"})
        for colour in ("red", "green", "blue"):
            playing.put(colour)
        assert json.loads(viewer.receive_text())["label"] == "red"
        viewer.receive_bytes()
        viewer.send_json({"type": "next"})
        assert json.loads(viewer.receive_text())["label"] == "blue"


@pytest.mark.parametrize("text", ["", "{", "[]", "17", '{"type": "nothing"}', "x" * 5000, "[" * 2000])
def test_a_viewer_that_talks_nonsense_is_ignored(playing: Playing, client: TestClient, text: str) -> None:
    with client.websocket_connect("/live") as viewer:
        wait_until(lambda: playing.show.channel.viewers == 1)
        viewer.send_text(text)
        playing.put("green")
        assert json.loads(viewer.receive_text())["label"] == "green"


def test_a_wrong_wish_is_answered_by_a_notice(playing: Playing, client: TestClient) -> None:
    playing.put("red")
    with client.websocket_connect("/live") as viewer:
        viewer.receive_text()
        viewer.receive_bytes()
        viewer.send_json({"type": "model", "name": "other.onnx"})
        viewer.send_json({"type": "next"})
        told = json.loads(viewer.receive_text())
        assert told["notice"].startswith("there is no model 'other.onnx' here")
        assert (told["refused"], told["model"]) == (1, "tiny.tflite")
    playing.put("green")  # it can still be read while pictures go on
    assert playing.message["top"][0][0] == "green"
    assert playing.message["notice"].startswith("there is no model 'other.onnx' here")


def test_pictures_go_on_while_a_model_is_opened(
    playing: Playing, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening, opened = threading.Event(), threading.Event()

    def slow(command: dict[str, Any]) -> None:
        opening.set()
        assert opened.wait(30)

    monkeypatch.setattr(playing.show, "change", slow)
    playing.put("red")
    with client.websocket_connect("/live") as viewer:
        viewer.receive_text()
        viewer.receive_bytes()
        viewer.send_json({"type": "model", "name": "tiny.onnx"})
        try:
            assert opening.wait(30)
            playing.put("blue")
            viewer.send_json({"type": "next"})
            assert json.loads(viewer.receive_text())["top"][0][0] == "blue"
        finally:
            opened.set()


def test_more_viewers_than_can_be_served_are_asked_to_come_later(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_app, "MAX_VIEWERS", 0)
    with client.websocket_connect("/live") as viewer, pytest.raises(WebSocketDisconnect) as closed:
        viewer.receive_text()
    assert closed.value.code == 1013


def test_a_browsers_camera_gets_an_answer_for_each_picture(client: TestClient) -> None:
    with client.websocket_connect("/camera") as camera:
        for colour in ("blue", "red"):
            camera.send_bytes(cv2.imencode(".jpg", picture(colour))[1].tobytes())
            answer = json.loads(camera.receive_text())
            assert (answer["status"], answer["top"][0][0]) == ("live", colour)
        assert answer["classified"] == 2


@pytest.mark.parametrize(
    ("sent", "notice"),
    [
        (b"", "the browser's picture is empty"),
        (b"hello", "the browser's picture is not a picture that can be read"),
        (cv2.imencode(".png", picture("red"))[1].tobytes(), "the browser sent a PNG picture of 64 x 48 pixels"),
        (cv2.imencode(".jpg", np.zeros((2001, 2000, 3), np.uint8))[1].tobytes(), "of 2000 x 2001 pixels"),
    ],
)
def test_what_is_no_picture_is_said_and_the_next_is_answered(client: TestClient, sent: bytes, notice: str) -> None:
    with client.websocket_connect("/camera") as camera:
        camera.send_bytes(sent)
        answer = json.loads(camera.receive_text())
        assert (answer["label"], answer["status"]) == (None, "lost")
        assert notice in answer["notice"]
        camera.send_bytes(cv2.imencode(".jpg", picture("red"))[1].tobytes())
        assert json.loads(camera.receive_text())["label"] == "red"


def test_metrics_and_health(playing: Playing, client: TestClient) -> None:
    assert "edgewise_viewers 0" in client.get("/metrics").text
    playing.put("red")
    lines = client.get("/metrics").text.splitlines()
    assert "edgewise_frames_captured_total 1" in lines
    assert "# TYPE edgewise_frames_captured_total counter" in lines
    assert "edgewise_source_up 1" in lines
    assert client.get("/metrics").headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert client.get("/healthz").json() == {"status": "ok"}


def test_only_the_pages_own_files_are_served(client: TestClient) -> None:
    for path in ("/", "/live.js", "/camera.js", "/charts.js", "/live.css", "/icon.svg"):
        found = client.get(path)
        assert found.status_code == 200
        assert "http://" not in found.text.replace("http://www.w3.org/2000/svg", "").replace("http://localhost", "")
        assert "https://" not in found.text.replace("https: ", "")
    assert client.get("/../show.py").status_code == 404
    assert client.get("/page/live.js").status_code == 404


def test_a_change_is_refused_while_a_model_is_being_opened(playing: Playing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show, "_TURN_SECONDS", 0.05)
    opening, opened = threading.Event(), threading.Event()

    def slow(_: str) -> Any:
        opening.set()
        assert opened.wait(30)
        raise ModelError("no model")

    monkeypatch.setattr(playing.show, "_open", slow)
    playing.put("red")

    def wish() -> None:
        with pytest.raises(ModelError):
            playing.show.change(MODEL_WISH)

    thread = threading.Thread(target=wish, daemon=True)
    thread.start()
    try:
        assert opening.wait(30)
        with pytest.raises(InputError, match="a model is being opened, which takes a while"):
            playing.show.change({"type": "set", "threshold": 0.5})
        assert playing.message["notice"].startswith("a model is being opened")
    finally:
        opened.set()
        thread.join(30)
    playing.show.change({"type": "set", "threshold": 0.5})
