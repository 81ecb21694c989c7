"""Video processing: how many frames a video has and how bright they are, with PyAV (FFmpeg's libraries)."""

import io
from typing import Any

import av

from managers.answer import said
from steelyard import Task, TaskRefused

MAX_FRAMES = 10_000
# Containers that hold their pictures themselves. FFmpeg knows others, which name files of ours, or make it listen at a
# port (ffconcat, SDP): what a stranger sends is to do neither.
ALONE = {"format_whitelist": "avi,flv,gif,matroska,webm,mov,mp4,mpeg,mpegts,ogg,asf", "protocol_whitelist": "none"}
WIDTH = 160  # pixels: brightness is measured on frames no wider than that


def video(task: Task) -> tuple[str, str]:
    """Frame statistics, in JSON."""
    return said(task, statistics(task.body))


def statistics(body: bytes) -> dict[str, Any]:
    """Frames, their size, the rate, and the mean brightness: 0 is black, 255 white. Raises TaskRefused."""
    frames = 0
    brightness = 0.0
    try:
        with av.open(io.BytesIO(body), "r", options=ALONE) as container:
            if not container.streams.video:
                raise TaskRefused("the video has sound, or nothing at all, and no pictures")
            stream = container.streams.video[0]
            for frame in container.decode(stream):
                frames += 1
                if frames > MAX_FRAMES:
                    raise TaskRefused(f"the video has more than {MAX_FRAMES} frames", 413)
                brightness += _brightness(frame)
            size, rate = (stream.width, stream.height), stream.average_rate
    except (av.FFmpegError, ValueError) as exc:
        raise TaskRefused(
            f"the video cannot be read: {exc.strerror if isinstance(exc, av.FFmpegError) else exc}"
        ) from exc
    if not frames:
        raise TaskRefused("the video has no frame")
    return {
        "frames": frames,
        "width": size[0],
        "height": size[1],
        "frames_per_second": None if rate is None else round(float(rate), 3),
        "mean_brightness": round(brightness / frames, 1),
    }


def _brightness(frame: av.VideoFrame) -> float:
    """The mean of red, green and blue over all pixels, 0 to 255."""
    width = min(frame.width, WIDTH)
    small = frame.reformat(width, max(1, frame.height * width // frame.width), "rgb24")
    plane = small.planes[0]
    data, used = memoryview(plane), 3 * small.width
    rows = range(0, small.height * plane.line_size, plane.line_size)
    return sum(sum(data[at : at + used]) for at in rows) / (used * small.height)
