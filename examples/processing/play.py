"""Plays all the clients at once, and prints a table of who did what; the status is 0 only if every answer is right.

    python play.py [--door http://localhost:8080] [--sensors localhost:9100] [--datagrams localhost:9100] [--rounds 1]

A web application sends texts in five scripts, a mobile one pictures, a desktop one numbers and a video, and all three
something broken too; a camera posts frames; GPS sensors send lines over TCP and datagrams over UDP.
"""

import argparse
import io
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from camera import camera
from gps_sensor import gps_sensor
from PIL import Image
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

SAMPLES = Path(__file__).resolve().parent / "samples"
AT_ONCE = 8
PATIENCE_S = 60.0
SHOW_AFTER_S = 1.0  # what takes longer gets a progress bar
STEP_M = 87.16  # between two fixes: a 36th of a circle of 500 m, along the chord
# Lines, words, and the word that is there most often.
TEXTS = {
    "arabic.txt": (2, 10, "الميزان"),
    "english.txt": (2, 22, "The"),
    "greek.txt": (2, 13, "Ο"),  # noqa: RUF001 - it is Greek
    "hindi.txt": (2, 12, "तराजू"),
    "japanese.txt": (2, 28, "つ"),
}


class Answer(NamedTuple):
    """An HTTP answer; said: its JSON, where it is some."""

    status: int
    content_type: str
    body: bytes

    @property
    def said(self) -> dict[str, Any]:
        return dict(json.loads(self.body)) if self.content_type == "application/json" else {}


class Done(NamedTuple):
    """What came of one piece of work. workers: who did it; right: it is what it should be."""

    workers: list[str]
    result: str
    right: bool


class Work(NamedTuple):
    """One piece of work: who asks, for which kind of it, with what, and how."""

    client: str
    kind: str
    what: str
    do: Callable[[], Done]


def post(door: str, client: str, body: bytes, content_type: str, path: str = "/") -> Answer:
    """Send something; errors that were answered are answers."""
    request = Request(door + path, body, {"Content-Type": content_type, "User-Agent": client})
    try:
        with urlopen(request, timeout=PATIENCE_S) as answer:
            return Answer(answer.status, answer.headers["Content-Type"], answer.read())
    except HTTPError as error:
        with error:
            return Answer(error.code, error.headers["Content-Type"], error.read())


def judged(answer: Answer, result: str, right: bool) -> Done:
    """The end of a work over HTTP."""
    if answer.status != 200:
        return Done([], f"{answer.status}: {answer.body.decode(errors='replace').strip()}", False)
    return Done([answer.said["worker"]] if answer.said else [], result, right)


def refused(answer: Answer, reason: str) -> Done:
    """The end of a work that must be refused for this reason."""
    said = answer.body.decode(errors="replace").strip()
    return Done([], f"{answer.status}: {said}", answer.status == 422 and reason in said)


def a_text(door: str, name: str) -> Done:
    answer = post(door, "web app", (SAMPLES / name).read_bytes(), "text/plain; charset=utf-8")
    said = answer.said
    lines, words, top = said.get("lines"), said.get("words"), (said.get("top") or [[None]])[0][0]
    return judged(answer, f"{lines} lines, {words} words, most often {top}", (lines, words, top) == TEXTS[name])


def a_broken_text(door: str) -> Done:
    return refused(
        post(door, "web app", b"gr\xfcn", "text/plain; charset=utf-8"), "can't decode byte 0xfc in position 2"
    )


def a_picture(door: str) -> Done:
    answer = post(door, "mobile app", (SAMPLES / "balance.png").read_bytes(), "image/png")
    said = answer.said
    sizes = [(one.get("width"), one.get("height")) for one in (said, said.get("thumbnail", {}))]
    result = " becomes ".join(f"{width} x {height}" for width, height in sizes)
    return judged(answer, result, sizes == [(400, 300), (128, 96)])


def a_thumbnail(door: str) -> Done:
    """By its path, without a content type that would say it."""
    body = (SAMPLES / "balance.png").read_bytes()
    answer = post(door, "mobile app", body, "application/octet-stream", "/image/thumbnail")
    if answer.status != 200:
        return judged(answer, "", False)
    with Image.open(io.BytesIO(answer.body)) as small:
        return judged(answer, f"{small.format} of {small.width} x {small.height}", small.size == (128, 96))


def a_broken_picture(door: str) -> Done:
    half = (SAMPLES / "balance.png").read_bytes()[:700]
    return refused(post(door, "mobile app", half, "image/png"), "the image cannot be read")


def a_video(door: str) -> Done:
    answer = post(door, "desktop app", (SAMPLES / "levels.mp4").read_bytes(), "video/mp4")
    frames, brightness = answer.said.get("frames"), answer.said.get("mean_brightness", -1.0)
    return judged(answer, f"{frames} frames, brightness {brightness}", frames == 24 and abs(brightness - 145.75) < 2)


def some_numbers(door: str, name: str, content_type: str, mean: float, deviation: float, median: float) -> Done:
    answer = post(door, "desktop app", (SAMPLES / name).read_bytes(), content_type)
    said = answer.said
    found = (said.get("mean", 0.0), said.get("deviation", 0.0), said.get("quantiles", {}).get("50%", 0.0))
    right = all(abs(a - b) < 1e-6 for a, b in zip(found, (mean, deviation, median), strict=True))
    return judged(answer, "mean {:.3f}, deviation {:.3f}, median {:.3f}".format(*found), right)


def broken_numbers(door: str) -> Done:
    return refused(post(door, "desktop app", b"1\n2\nthree\n", "application/x-ndjson"), "line 3: no JSON")


def a_frame(door: str, number: int) -> Done:
    answer = post(door, "camera", camera.frame(number), "image/jpeg")
    small = answer.said.get("thumbnail", {})
    size = (small.get("width"), small.get("height"))
    return judged(answer, f"thumbnail of {small.get('bytes')} bytes", size == (128, 96))


def a_journey(sensors: tuple[str, int]) -> Done:
    return travelled(gps_sensor.over_tcp(sensors, 5), [1, 2, 3, 4, 5], 4 * STEP_M)


def some_datagrams(datagrams: tuple[str, int]) -> Done:
    return travelled(gps_sensor.over_udp(datagrams, 2), [3, 3], 2 * STEP_M)


def travelled(answers: list[str], fixes: list[int], metres: float) -> Done:
    """The end of a work of GPS sensors. fixes: how many each answer counts; metres: the length of the last one."""
    wrong = [answer for answer in answers if not answer.startswith("{")]
    if wrong:
        return Done([], wrong[0] or "the connection was closed", False)
    said = [json.loads(answer) for answer in answers]
    workers = sorted({one["worker"] for one in said})
    length, speed = said[-1]["distance_m"], said[-1]["speed_kmh"]
    right = [one["fixes"] for one in said] == fixes and abs(length - metres) < 1 and abs(speed - 35.9) < 0.1
    return Done(workers, f"{length} m at {speed} km/h", right)


def works(door: str, sensors: tuple[str, int], datagrams: tuple[str, int]) -> Iterator[Work]:
    """One round of all."""
    for name in TEXTS:
        yield Work("web app", "text", name, partial(a_text, door, name))
    yield Work("web app", "text", "not UTF-8", partial(a_broken_text, door))
    yield Work("mobile app", "image", "balance.png", partial(a_picture, door))
    yield Work("mobile app", "image", "balance.png, by path", partial(a_thumbnail, door))
    yield Work("mobile app", "image", "half a picture", partial(a_broken_picture, door))
    yield Work("desktop app", "video", "levels.mp4", partial(a_video, door))
    array = ("numbers.json", "application/json", 5.0, 2.13809, 4.5)
    yield Work("desktop app", "numbers", array[0], partial(some_numbers, door, *array))
    lines = ("numbers.ndjson", "application/x-ndjson", -8.125, 21.26568, 2.0)
    yield Work("desktop app", "numbers", lines[0], partial(some_numbers, door, *lines))
    yield Work("desktop app", "numbers", "no number", partial(broken_numbers, door))
    for number in range(4):
        yield Work("camera", "image", f"frame {number}", partial(a_frame, door, number))
    for _ in range(2):
        yield Work("GPS sensor", "position", "5 lines, TCP", partial(a_journey, sensors))
        yield Work("GPS sensor", "position", "2 datagrams, UDP", partial(some_datagrams, datagrams))


def timed(work: Work) -> tuple[Done, float]:
    """Do it; what came of it, and the seconds that it took."""
    began = time.monotonic()
    try:
        done = work.do()
    except (OSError, ValueError, KeyError) as exc:
        done = Done([], f"{getattr(exc, 'reason', exc)}", False)
    return done, time.monotonic() - began


def played(all_works: list[Work], console: Console) -> list[tuple[Done, float]]:
    """Do them, several at once; what came of each."""
    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as threads, Progress(console=console, transient=True) as progress:
        bar = progress.add_task("Working", total=len(all_works), visible=False)
        futures = [threads.submit(timed, work) for work in all_works]
        for _ in as_completed(futures):
            progress.update(bar, advance=1, visible=time.monotonic() - began > SHOW_AFTER_S)
        return [future.result() for future in futures]


def shown(all_works: list[Work], results: list[tuple[Done, float]], console: Console) -> None:
    """The table of who did what, and how much each worker had to do."""
    table = Table("client", "kind", "what", "worker", "result")
    table.add_column("ms", justify="right")
    table.add_column("")
    for work, (done, seconds) in zip(all_works, results, strict=True):
        mark = "[green]right[/]" if done.right else "[red]WRONG[/]"
        words = [work.client, work.kind, work.what, ", ".join(done.workers) or "-", done.result]
        table.add_row(*(word.replace("[", r"\[") for word in words), f"{1000 * seconds:.0f}", mark)
    console.print(table)
    counted = Counter(worker for done, _ in results for worker in done.workers)
    console.print("  ".join(f"{worker}: {count}" for worker, count in sorted(counted.items())))


def main() -> int:
    parser = argparse.ArgumentParser(description="Play all the clients of the example.")
    parser.add_argument("--door", default="http://localhost:8080", metavar="URL")
    parser.add_argument("--sensors", type=gps_sensor.place_of, default=("localhost", 9100), metavar="HOST:PORT")
    parser.add_argument("--datagrams", type=gps_sensor.place_of, default=("localhost", 9100), metavar="HOST:PORT")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    console = Console()
    door = options.door.rstrip("/")
    all_works = list(works(door, options.sensors, options.datagrams)) * options.rounds
    results = played(all_works, console)
    shown(all_works, results, console)
    wrong = sum(not done.right for done, _ in results)
    console.print(f"{len(results) - wrong} of {len(results)} answers are right")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
