"""``edgewise live``: answers for a camera or a video, as it runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edgewise.cli.console import load
from edgewise.cli.live_options import Origin, Output, Page, Reading, grouped, pairs
from edgewise.cli.model_options import Models, chosen_of, opens_model
from edgewise.cli.outputs import refuse_input
from edgewise.cli.stopping import Stop
from edgewise.cli.web import serve_page
from edgewise.spec import InputError
from edgewise.spec.files import path_text
from edgewise.spec.opening import Opening

if TYPE_CHECKING:
    from edgewise.cli.live_view import Viewer
    from edgewise.runtime.camera import Source
    from edgewise.runtime.classifier import Classifier
    from edgewise.runtime.frames import Frames
    from edgewise.runtime.live import Session, Settings, State
    from edgewise.runtime.reactions import Reactions
    from edgewise.runtime.recording import Lines, Recorder
    from edgewise.runtime.window import Window

    Run = Callable[[Callable[[State], bool]], Any]
    """Runs a session until it ends or the function, which gets every state, answers False."""


@opens_model
@grouped(origin=Origin, reading=Reading, output=Output, page=Page)
def live(models: Models, *, origin: Origin, reading: Reading, output: Output, page: Page, opening: Opening) -> None:
    """Say what a camera or a video shows, as it runs.

    The newest frame is always the one that is classified; those that come meanwhile are dropped and counted. A video
    file plays at its own speed. A camera or a stream that is lost is opened again for as long as it takes, and is said
    to be lost meanwhile. Ctrl-C and SIGTERM end it, with all files closed.

    In the window q or Esc quits, space pauses, s saves the frame as it came, and k lists one class more.
    """
    # The classifier first: it sets limits on pictures that OpenCV reads only while it is imported.
    from edgewise.cli.live_view import Sinks, Viewer
    from edgewise.runtime.grabber import Grabber, Retrying

    _check(models, origin, output, page)
    if len(models) == 1:
        file, opening = chosen_of(models[0], opening)
        models = [file]
    source, settings = _source(origin), _settings(reading)
    grabber = Grabber(source, every_frame=origin.every_frame, retrying=Retrying(give_up=origin.give_up))
    recorder, lines = _files(output)
    session, classifier, run = _begin(models, opening, grabber, settings, page)
    reactions = _reactions(output, classifier, source.name)
    stop = Stop()
    try:
        with stop, ExitStack() as stack:
            for part in (recorder, lines, reactions):
                if part is not None:
                    stack.enter_context(part)
            window = None if page.web is not None else _open_window(stack, output, source.name)
            stdout = output.json_lines or (window is None and page.web is None)
            sinks = Sinks(window, recorder, lines, reactions, stdout=stdout)
            stack.enter_context(grabber)
            viewer = Viewer(sinks, grabber, stop, output.save_dir, film_time=origin.every_frame)
            _run(run, session, viewer, stop, reading.max_frames)
    except BrokenPipeError:
        # Whoever read the output has seen enough (| head).
        _leave_pipe()
    finally:
        if grabber.captured:
            # After a ^C on the terminal, a line of its own.
            stop.last_words(*[""] * stop.asked, session.summary())


def _check(models: Sequence[Path], origin: Origin, output: Output, page: Page) -> None:
    if page.web is None and len(models) > 1:
        raise InputError(
            f"{len(models)} models without --web", "one model", "add --web to choose among them in a browser"
        )
    if page.web is not None and output.window:
        raise InputError("--web together with --window", "one of them")
    for model in models if len(models) > 1 else ():
        if not model.is_file():
            raise InputError(
                f"{path_text(model)} is not a model file", "model files to choose from",
                "give an address for the page with its port, such as --web 0.0.0.0:8000",
            )  # fmt: skip
    if page.web is None and page.certificate is not None:
        raise InputError("--certificate without --web", "both, or neither")
    refuse_input("--jsonl", output.jsonl)
    if output.record and origin.source and os.path.realpath(output.record) == os.path.realpath(origin.source):
        raise InputError(f"--record {path_text(output.record)} is the source", "another file")
    if (page.certificate is None) != (page.certificate_key is None):
        raise InputError("one of --certificate and --certificate-key", "both, or neither")


def _begin(
    models: Sequence[Path], opening: Opening, frames: Frames, settings: Settings, page: Page
) -> tuple[Session, Classifier, Run]:
    """The session, its first model, and what runs it: a loop in this thread, or a server beside it."""
    if page.web is None:
        from edgewise.runtime.classifier import Classifier
        from edgewise.runtime.live import Session

        classifier = Classifier.open(models[0], opening)
        session = Session(classifier, frames, settings)
        return session, classifier, lambda heard: all(map(heard, session.states()))
    server, shows = load("edgewise.runtime.web.server", "web"), load("edgewise.runtime.web.show", "web")
    address = load("edgewise.runtime.web.address", "web").parse_address(page.web)
    certificate = server.Certificate(page.certificate, page.certificate_key) if page.certificate else None
    show = shows.LiveShow(shows.by_name(models), opening, frames, settings)
    return show.session, show.classifier, lambda heard: serve_page(show, address, certificate, heard)


def _run(run: Run, session: Session, viewer: Viewer, stop: Stop, max_frames: int | None) -> None:
    def heard(state: State) -> bool:
        """Whether to go on after a state."""
        going_on = viewer.see(state) and not stop.asked
        return going_on and (max_frames is None or session.classified < max_frames)

    try:
        run(heard)
    except KeyboardInterrupt:
        _leave_pipe()  # a reader that does not read was waited for
    finally:
        stop.settle()


def _source(origin: Origin) -> Source:
    from edgewise.runtime.camera import camera, video

    wishes = (origin.width, origin.height, origin.fps)
    if origin.source is None:
        return camera(origin.camera or "0", width=origin.width, height=origin.height, fps=origin.fps)
    if origin.camera is not None:
        raise InputError(f"--camera {origin.camera} together with --source", "one of them")
    if wishes != (None, None, None):
        raise InputError("--width, --height or --fps together with --source", "them with --camera only")
    return video(origin.source)


def _settings(reading: Reading) -> Settings:
    from edgewise.runtime.live import Settings
    from edgewise.runtime.region import Region
    from edgewise.runtime.smoothing import Method, Smoothing

    smoothing = Smoothing(Method(reading.smooth), reading.smooth_seconds, reading.smooth_margin)
    region = Region.parse(reading.region) if reading.region is not None else None
    return Settings(reading.top_k, smoothing, region=region)


def _files(output: Output) -> tuple[Recorder | None, Lines | None]:
    from edgewise.runtime.recording import Lines, Recorder

    recorder = Recorder(output.record, overwrite=output.overwrite) if output.record else None
    return recorder, Lines(output.jsonl, overwrite=output.overwrite) if output.jsonl else None


def _reactions(output: Output, classifier: Classifier, source: str) -> Reactions | None:
    from edgewise.runtime.reactions import Reaction, Reactions

    reactions = [Reaction.parse(*pair, classifier.labels) for pair in pairs(output.on_label)]
    return Reactions(reactions, every=output.on_label_every, source=source) if reactions else None


def _open_window(stack: ExitStack, output: Output, name: str) -> Window | None:
    from edgewise.runtime.window import Window, why_no_window

    if not (output.window if output.window is not None else not output.json_lines):
        return None
    reason = why_no_window()
    if reason:
        typer.echo(f"{reason}; writing JSON lines instead", err=True)
        return None
    return stack.enter_context(Window(f"Edgewise: {name}"))


def _leave_pipe() -> None:
    """Stay quiet when Python flushes standard output at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
