"""examples/processing: what each manager makes of its task, good and bad, without a balancer; and the two sensors."""

import importlib
import io
import json
import socket
import sys
from collections.abc import Iterator
from typing import Any

import av
import pytest
from PIL import Image

from steelyard import Task, TaskRefused
from tests.real.support import free_port, free_ports
from tests.systems.programs import EXAMPLES, PATIENCE_S, program

EXAMPLE = EXAMPLES / "processing"
SAMPLES = EXAMPLE / "samples"
# The sentence that textbooks of NMEA show: 48 degrees 7.038 minutes north, 11 degrees 31 minutes east.
SENTENCE = b"$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A\r\n"


@pytest.fixture(scope="module", autouse=True)
def found() -> Iterator[None]:
    """The example's modules can be imported; afterwards they are forgotten."""
    known = set(sys.modules)
    sys.path.insert(0, str(EXAMPLE))
    yield
    sys.path.remove(str(EXAMPLE))
    for name in set(sys.modules) - known:
        if name.partition(".")[0] in ("managers", "camera", "gps_sensor", "play"):
            del sys.modules[name]


def module(name: str) -> Any:
    return importlib.import_module(name)


def told(function: Any, body: bytes, content_type: str = "", path: str = "/") -> dict[str, Any]:
    """What a manager answers in JSON."""
    answer, answered_type = function(Task(body, content_type, path, worker="here/0"))
    assert "application/json" == answered_type
    result: dict[str, Any] = json.loads(answer)
    assert "here/0" == result.pop("worker")
    return result


def reason(function: Any, body: bytes, content_type: str = "") -> str:
    """Why a manager will not do it; anything but a 422 fails."""
    with pytest.raises(TaskRefused) as caught:
        function(Task(body, content_type))
    assert 422 == caught.value.status
    return caught.value.reason


def picture(mode: str, size: tuple[int, int], file_format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size).save(out, file_format, **options)
    return out.getvalue()


class TestImage:
    @pytest.mark.parametrize(
        ("mode", "file_format", "content_type"),
        [
            ("RGB", "JPEG", "image/jpeg"),
            ("RGBA", "PNG", "image/png"),
            ("P", "GIF", "image/png"),
            ("L", "BMP", "image/jpeg"),
            ("RGB", "WEBP", "image/jpeg"),
            ("CMYK", "JPEG", "image/jpeg"),
            ("I;16", "PNG", "image/jpeg"),
        ],
    )
    def test_a_thumbnail_has_the_picture_s_shape(self, mode: str, file_format: str, content_type: str) -> None:
        result = told(module("managers.image").image, picture(mode, (640, 320), file_format))
        assert (file_format, 640, 320) == (result["format"], result["width"], result["height"])
        small = result["thumbnail"]
        assert (128, 64) == (small["width"], small["height"])
        assert small["data"].startswith(f"data:{content_type};base64,")

    def test_the_picture_itself_is_had_by_its_path_and_no_larger_than_it_was(self) -> None:
        task = Task(picture("RGBA", (40, 10), "PNG"), path="/image/thumbnail")
        body, content_type = module("managers.image").image(task)
        assert "image/png" == content_type
        assert (40, 10) == Image.open(io.BytesIO(body)).size

    def test_a_camera_that_was_held_upright_is_seen_upright(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6  # turned by 90 degrees
        result = told(module("managers.image").image, picture("RGB", (640, 320), "JPEG", exif=exif))
        assert (64, 128) == (result["thumbnail"]["width"], result["thumbnail"]["height"])

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (b"", "none of BMP, GIF, JPEG, PNG, WEBP"),
            (b"%PDF-1.7", "none of BMP, GIF, JPEG, PNG, WEBP"),
            ((SAMPLES / "balance.png").read_bytes()[:700], "truncated"),
            ((SAMPLES / "balance.png").read_bytes().replace(b"IDAT", b"IDAX"), ""),
            # A hundred bytes that say that they are 100,000 times 100,000 pixels.
            (picture("1", (1, 1), "PNG").replace(b"\0\0\0\1\0\0\0\1", b"\0\1\x86\xa0" * 2), ""),
        ],
    )
    def test_what_is_no_picture_is_refused_with_the_reason(self, body: bytes, expected: str) -> None:
        said = reason(module("managers.image").image, body)
        assert said.startswith("the image cannot be read: ")
        assert expected in said


class TestVideo:
    def test_the_sample_has_its_frames_and_its_brightness(self) -> None:
        result = told(module("managers.video").video, (SAMPLES / "levels.mp4").read_bytes(), "video/mp4")
        assert abs((0 + 128 + 255 + 200) / 4 - result.pop("mean_brightness")) < 2
        assert {"frames": 24, "width": 64, "height": 48, "frames_per_second": 12.0} == result

    @pytest.mark.parametrize(
        "body",
        [
            b"ffconcat version 1.0\nfile samples/levels.mp4\n",
            b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 5004 RTP/AVP 96\r\n",
        ],
        ids=["names a file of ours", "has us listen at a port"],
    )
    def test_what_is_no_video_but_names_one_is_refused(self, body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(SAMPLES.parent)
        said = reason(module("managers.video").video, body)
        assert said.startswith("the video cannot be read: ")

    @pytest.mark.parametrize(
        ("kind", "codec"), [("avi", "mpeg4"), ("webm", "libvpx"), ("gif", "gif"), ("mpegts", "mpeg4")]
    )
    def test_other_containers_are_read(self, kind: str, codec: str) -> None:
        made = io.BytesIO()
        with av.open(made, "w", format=kind) as container:
            stream = container.add_stream(
                codec, rate=5, width=32, height=16, pix_fmt="rgb8" if kind == "gif" else "yuv420p"
            )
            assert isinstance(stream, av.VideoStream)
            for _ in range(60):  # FFmpeg is not always sure of a shorter mpegts
                container.mux(stream.encode(av.VideoFrame(32, 16, "rgb24").reformat(format=stream.pix_fmt)))
            container.mux(stream.encode(None))
        assert 60 == told(module("managers.video").video, made.getvalue(), "video/x")["frames"]

    @pytest.mark.parametrize("size", [0, 4, 1000])
    def test_half_a_video_is_refused(self, size: int) -> None:
        said = reason(module("managers.video").video, (SAMPLES / "levels.mp4").read_bytes()[:size])
        assert "the video cannot be read: Invalid data found when processing input" == said

    def test_one_without_an_end_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module("managers.video"), "MAX_FRAMES", 23)
        with pytest.raises(TaskRefused, match="more than 23 frames") as caught:
            module("managers.video").video(Task((SAMPLES / "levels.mp4").read_bytes()))
        assert 413 == caught.value.status


class TestText:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", []),
            ("Don't stop, l\u2019eau 'quoted' well-known", ["Don't", "stop", "l'eau", "quoted", "well", "known"]),
            ("Größe, Straße; x2 2x 3", ["Größe", "Straße", "x2", "2x", "3"]),
            ("Скажи-ка, дядя!", ["Скажи", "ка", "дядя"]),
            ("तराजू भार।", ["तराजू", "भार"]),
            ("e\u0301te\u0301", ["\xe9t\xe9"]),
            ("عن الحمل", ["عن", "الحمل"]),
            ("می\u200cخواهم", ["می\u200cخواهم"]),  # noqa: RUF001 - it is Persian
            ("荷は重い", ["荷", "は", "重", "い"]),
            ("サーバー、server", ["サーバー", "server"]),
            ("무게를 단다", ["무게를", "단다"]),
            ("ตาชั่ง", ["ตาชั่ง"]),
            ("😀 ¡olé! — 100 %", ["olé", "100"]),
            ("soft\u00adhyphen", ["softhyphen"]),
        ],
    )
    def test_words_are_what_a_reader_of_the_script_would_say(self, text: str, expected: list[str]) -> None:
        assert expected == module("managers.text").words(text)

    def test_a_text_is_counted(self) -> None:
        result = told(module("managers.text").text, b"Ein Ding, zwei DINGE:\nein ding.\n", "text/plain")
        assert {
            "lines": 2,
            "words": 6,
            "distinct": 4,
            "letters": 23,
            "characters": 32,
            "longest": "DINGE",
            "top": [["Ein", 2], ["Ding", 2], ["zwei", 1], ["DINGE", 1]],
        } == result

    @pytest.mark.parametrize(
        ("body", "content_type"),
        [
            ("grün".encode(), "text/plain"),
            ("\ufeffgrün".encode(), "text/plain"),
            ("grün".encode("latin-1"), 'text/plain; charset="ISO-8859-1"'),
            ("grün".encode("utf-16"), "text/html; x=y;Charset=utf-16"),
        ],
    )
    def test_the_charset_is_the_one_that_the_type_names(self, body: bytes, content_type: str) -> None:
        assert "grün" == told(module("managers.text").text, body, content_type)["longest"]

    @pytest.mark.parametrize(
        ("body", "content_type", "expected"),
        [
            (b"gr\xfcn", "text/plain", "the text cannot be read: 'utf-8' codec can't decode byte 0xfc in position 2"),
            (b"x", "text/plain; charset=klingon", "the charset 'klingon' is not known here"),
            (b"x", "text/plain; charset=zip", "the charset 'zip' is not known here"),
            (b"x", "text/plain; charset=a\0b", "the text cannot be read"),
        ],
    )
    def test_what_is_no_text_is_refused_with_the_reason(self, body: bytes, content_type: str, expected: str) -> None:
        assert reason(module("managers.text").text, body, content_type).startswith(expected)


class TestNumbers:
    NDJSON = "application/x-ndjson"

    @pytest.mark.parametrize(
        ("body", "content_type"),
        [
            (b"[2, 4, 4, 4, 5, 5, 7, 9]", "application/json"),
            (b"2\n4\n4\n\n4\r\n5\n5\n7\n9\n", NDJSON),
            (b"2\n4\n4\n4\n5\n5\n7\n9", "Application/X-NDJSON; charset=utf-8"),
        ],
    )
    def test_an_array_and_lines_say_the_same(self, body: bytes, content_type: str) -> None:
        result = told(module("managers.numbers").numbers, body, content_type)
        assert pytest.approx((32 / 7) ** 0.5) == result.pop("deviation")
        quantiles = {"min": 2.0, "25%": 4.0, "50%": 4.5, "75%": 5.5, "max": 9.0}
        assert {"count": 8, "mean": 5.0, "quantiles": quantiles} == result

    def test_a_single_number_deviates_from_nothing(self) -> None:
        result = told(module("managers.numbers").numbers, b"[5]", "application/json")
        assert (5.0, None, {5.0}) == (result["mean"], result["deviation"], set(result["quantiles"].values()))

    def test_large_numbers_have_a_deviation(self) -> None:
        result = told(module("managers.numbers").numbers, b"[1e200, 3e200]", "application/json")
        assert pytest.approx(2**0.5 * 1e200) == result["deviation"]

    @pytest.mark.parametrize(
        ("body", "content_type", "expected"),
        [
            (b"[1, true]", "", "number 2: is true or false, and no number"),
            (b'[1, "2"]', "", "number 2: is a string, and no number"),
            (b"[null]", "", "number 1: is null, and no number"),
            (b"[[1]]", "", "number 1: is an array, and no number"),
            (b"[NaN]", "", "number 1: is not finite"),
            (b"[1e999]", "", "number 1: is not finite"),
            (b"[1%b]" % (b"0" * 400), "", "number 1: is too large"),
            (b"[1%b]" % (b"0" * 5000), "", "too large or too deep to be read"),
            (b"[" * 100_000, "", "too large or too deep to be read"),
            (b"[]", "", "there is no number"),
            (b"\n\n", NDJSON, "there is no number"),
            (b"{}", "", "an array of numbers is asked for, and not an object"),
            (b"7", "", "an array of numbers is asked for, and not a number"),
            (b"[1,", "", "no JSON: Expecting value at line 1 column 4"),
            (b"1\n2 3\n", NDJSON, "line 2: no JSON: Extra data at column 3"),
            (b"1\n{}\n", NDJSON, "line 2: is an object, and no number"),
            (b"\xff", "", "the numbers are no UTF-8: "),
            (b"[1e308, 1e308]", "", "the numbers are too large to be added up"),
            (b"[1e308, -1e308]", "", "the numbers are too large to be added up"),
        ],
    )
    def test_what_are_no_numbers_is_refused_with_the_reason(
        self, body: bytes, content_type: str, expected: str
    ) -> None:
        assert reason(module("managers.numbers").numbers, body, content_type).startswith(expected)


class TestGps:
    def test_a_textbook_s_sentence_is_understood(self) -> None:
        fix = module("managers.gps").read(SENTENCE)
        assert pytest.approx((48.1173, 11.5166667, 41.4848)) == tuple(fix)

    def test_south_and_west_are_negative(self) -> None:
        gps = module("managers.gps")
        body = "GPRMC,1,A,3351.000,S,07040.000,W,,,,,"
        assert pytest.approx((-33.85, -70.6666667, 0)) == tuple(gps.read(f"${body}*{gps.checksum(body)}".encode()))

    def test_a_degree_of_the_equator_is_a_360th_of_it(self) -> None:
        gps = module("managers.gps")
        assert pytest.approx(111_195, abs=1) == gps.distance_m(gps.Fix(0, 0, 0), gps.Fix(0, 1, 0))
        assert pytest.approx(3.14159265 * gps.EARTH_M) == gps.distance_m(gps.Fix(0, -90, 0), gps.Fix(0, 90, 0))

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ("", " is no RMC sentence, or too short"),
            ("GPGGA,1,2,3,4,5,6,7,8,9", "GPGGA is no RMC sentence"),
            ("GPRMC,1,A,1,N,1,E", "GPRMC is no RMC sentence, or too short"),
            ("GPRMC,1,V,,,,,,,,,", "the receiver has no fix"),
            ("GPRMC,1,A,9100.0,N,1.0,E,0,,,,", "9100.0,N is nowhere on Earth"),
            ("GPRMC,1,A,nan,N,1.0,E,0,,,,", "nan,N is nowhere on Earth"),
            ("GPRMC,1,A,1.0,E,1.0,E,0,,,,", "1.0,E is nowhere on Earth"),
            ("GPRMC,1,A,1.0,,1.0,E,0,,,,", "1.0, is nowhere on Earth"),
            ("GPRMC,1,A,1.0,N,1.0,E,nan,,,,", "nan is no speed"),
            ("GPRMC,1,A,1.0,N,1.0,E,-1,,,,", "-1 is no speed"),
            ("GPRMC,1,A,x,N,1.0,E,0,,,,", "could not convert string to float: 'x'"),
        ],
    )
    def test_a_sentence_that_says_no_place_is_an_error(self, body: str, expected: str) -> None:
        gps = module("managers.gps")
        said = gps.answer_to(f"${body}*{gps.checksum(body)}".encode(), "here/0").decode()
        assert said.startswith(f"ERROR: {expected}")
        assert said.endswith("\n")

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            (b"hello\n", "ERROR: no sentence: it is $GPRMC,...*checksum\n"),
            (SENTENCE.replace(b"48", b"49"), "ERROR: the checksum is 6A, and should be 6B\n"),
            (b"\xff\xfe$*", "ERROR: no sentence"),
        ],
    )
    def test_a_line_that_was_garbled_is_an_error(self, line: bytes, expected: str) -> None:
        assert module("managers.gps").answer_to(line, "here/0").decode().startswith(expected)

    @pytest.mark.real
    @pytest.mark.parametrize("protocol", ["tcp", "udp"])
    def test_the_sensor_is_told_how_far_it_has_gone(self, protocol: str) -> None:
        port = free_port()
        with program(EXAMPLE / "managers" / "gps.py", protocol, port, "here/0") as manager:
            manager.until(f"listens on {protocol} port {port}")
            sends = [protocol, "--fixes", 4, "--every", 0, f"127.0.0.1:{port}"]  # in the order of its README
            with program(EXAMPLE / "gps_sensor" / "gps_sensor.py", *sends) as sensor:
                assert 0 == sensor.process.wait(PATIENCE_S)
                sensor.end()
                answers = [json.loads(line) for line in sensor.rest()]
            assert 0 == manager.end()
        assert {"here/0"} == {answer["worker"] for answer in answers}
        assert ([1, 2, 3, 4] if protocol == "tcp" else [3, 3, 3, 3]) == [answer["fixes"] for answer in answers]
        assert pytest.approx(3 * 87.16 if protocol == "tcp" else 2 * 87.16, abs=1) == answers[-1]["distance_m"]
        assert 35.9 == answers[-1]["speed_kmh"]

    @pytest.mark.real
    def test_a_line_that_never_ends_is_an_error_and_a_close(self) -> None:
        port = free_port()
        with program(EXAMPLE / "managers" / "gps.py", "tcp", port, "here/0") as manager:
            manager.until("listens on")
            with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as sock, sock.makefile("rb") as lines:
                sock.sendall(b"$" * 500)
                assert lines.read().startswith(b"ERROR: ")


@pytest.mark.real
def test_the_play_ends_with_one_where_answers_are_wrong() -> None:
    nobody, nowhere = free_ports(2)
    places = ["--door", f"http://127.0.0.1:{nobody}", "--sensors", f"127.0.0.1:{nowhere}"]
    with program(EXAMPLE / "play.py", *places, "--datagrams", f"127.0.0.1:{nowhere}", COLUMNS="160") as play:
        assert 1 == play.process.wait(PATIENCE_S)
        play.end()
        said = play.rest()
    assert "0 of 21 answers are right" == said[-1]
    assert 21 == sum("WRONG" in line for line in said)


@pytest.mark.real
def test_a_camera_that_finds_no_door_says_so() -> None:
    door = f"http://127.0.0.1:{free_port()}"
    with program(EXAMPLE / "camera" / "camera.py", door) as camera:
        assert 1 == camera.process.wait(PATIENCE_S)
        camera.end()
        assert [f"{door}: <urlopen error [Errno 111] Connection refused>"] == camera.rest()
