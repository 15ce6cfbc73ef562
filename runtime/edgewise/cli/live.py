"""``edgewise live``: answers for a camera or a video, as it runs."""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from edgewise.cli.model_options import Model, opens_model
from edgewise.spec import InputError
from edgewise.spec.opening import Opening

if TYPE_CHECKING:
    from edgewise.runtime.camera import Source
    from edgewise.runtime.grabber import Grabber
    from edgewise.runtime.live import Answer, Session
    from edgewise.runtime.overlay import Window


@opens_model
def live(
    model: Model,
    camera: Annotated[int | None, typer.Option(min=0, help="Number of the camera. Default: 0.")] = None,
    source: Annotated[
        str | None, typer.Option(help="A video file, or a stream at http://, https:// or rtsp://, instead of a camera.")
    ] = None,
    window: Annotated[
        bool | None,
        typer.Option(
            "--window/--no-window", help="Show a window. Default: where one is possible, unless --json is given."
        ),
    ] = None,
    json_lines: Annotated[
        bool, typer.Option("--json", help="JSON lines on standard output. Without a window they come anyway.")
    ] = False,
    every_frame: Annotated[
        bool, typer.Option("--every-frame", help="Classify every frame of a video file, however long that takes.")
    ] = False,
    top_k: Annotated[int, typer.Option("--top-k", min=1, help="How many classes to list per frame.")] = 5,
    width: Annotated[int | None, typer.Option(min=1, help="Width to ask the camera for, in pixels.")] = None,
    height: Annotated[int | None, typer.Option(min=1, help="Height to ask the camera for, in pixels.")] = None,
    fps: Annotated[float | None, typer.Option(min=0.1, help="Frames per second to ask the camera for.")] = None,
    max_frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many classified frames.")] = None,
    *,
    opening: Opening,
) -> None:
    """Say what a camera or a video shows, as it runs.

    The newest frame is always the one that is classified; those that come meanwhile are dropped and counted. A video
    file plays at its own speed. In the window q or Esc quits and space pauses. Ctrl-C ends too.
    """
    # The classifier first: it sets limits on pictures that OpenCV reads only while it is imported.
    from edgewise.runtime.classifier import Classifier
    from edgewise.runtime.grabber import Grabber
    from edgewise.runtime.live import Session, Settings

    origin = _origin(camera, source, width, height, fps)
    grabber = Grabber(origin, every_frame=every_frame)
    classifier = Classifier.open(model, opening)
    session = Session(classifier, grabber, Settings(top_k))
    try:
        with ExitStack() as stack:
            shown = _open_window(stack, window if window is not None else not json_lines, origin.name)
            stack.enter_context(grabber)
            _run(session, grabber, shown, json_lines=json_lines or shown is None, max_frames=max_frames)
    except KeyboardInterrupt:
        typer.echo(err=True)
    except BrokenPipeError:
        # Whoever read the output has seen enough (| head): stay quiet when Python flushes it at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        if grabber.captured:
            typer.echo(session.summary(), err=True)


def _origin(camera: int | None, source: str | None, width: int | None, height: int | None, fps: float | None) -> Source:
    from edgewise.runtime.camera import camera as open_camera
    from edgewise.runtime.camera import video

    if source is None:
        return open_camera(camera or 0, width=width, height=height, fps=fps)
    if camera is not None:
        raise InputError(f"--camera {camera} together with --source", "one of them")
    if (width, height, fps) != (None, None, None):
        raise InputError("--width, --height or --fps together with --source", "them with --camera only")
    return video(source)


def _open_window(stack: ExitStack, wanted: bool, name: str) -> Window | None:
    from edgewise.runtime.overlay import Window, why_no_window

    if not wanted:
        return None
    reason = why_no_window()
    if reason:
        typer.echo(f"{reason}; writing JSON lines instead", err=True)
        return None
    return stack.enter_context(Window(f"Edgewise: {name}"))


def _run(
    session: Session, grabber: Grabber, window: Window | None, *, json_lines: bool, max_frames: int | None
) -> None:
    from edgewise.runtime.live import Answer, answer_json

    latest = None
    for state in session.states():
        answer = state if isinstance(state, Answer) else None
        if answer and json_lines:
            sys.stdout.write(answer_json(answer) + "\n")
            sys.stdout.flush()
        latest = answer or latest
        if window and latest:
            _show(window, latest, fresh=answer is not None)
        if window and not _serve(window, grabber):
            return
        if max_frames is not None and session.classified >= max_frames:
            return


def _show(window: Window, answer: Answer, *, fresh: bool) -> None:
    """Show a new answer, or the last one again once its frame is so old that the window has to say so."""
    from edgewise.runtime.overlay import STALE_MS, draw

    age_ms = answer.age_ms if fresh else (time.monotonic() - answer.frame.captured_at) * 1000
    if fresh or age_ms > STALE_MS:
        window.show(draw(answer.frame.picture, answer.prediction, age_ms, answer.fps))


def _serve(window: Window, grabber: Grabber) -> bool:
    """Serve the window, for as long as it is paused; False when the user quits."""
    going_on = window.serve()
    if window.paused:
        grabber.hold(True)
        while going_on and window.paused:
            going_on = window.serve()
        grabber.hold(False)
    return going_on
