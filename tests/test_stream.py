"""Sources of frames, with files that the tests write."""

import struct
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from lsu.runtime.errors import BackendError, InputError
from lsu.runtime.stream.sources import CaptureSource, open_source

Pixels = npt.NDArray[np.uint8]


def picture(red: int, height: int = 32, width: int = 48) -> Pixels:
    return np.full((height, width, 3), (red, 20, 60), np.uint8)


def write_image(path: Path, image: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def write_video(path: Path, images: Iterable[Pixels], codec: str) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25.0, (48, 32))
    for image in images:
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    writer.release()


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """The JPEG with an EXIF segment that asks for a turn (TIFF tag 0x0112)."""
    tiff = b"MM\x00\x2a" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\x00\x00" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def test_a_folder_gives_its_images_in_order_as_rgb(tmp_path: Path) -> None:
    for name, red in (("b.png", 200), ("a.png", 100), ("c.JPG", 150)):
        write_image(tmp_path / name, picture(red))
    (tmp_path / "notes.txt").write_text("not an image")
    source = open_source(str(tmp_path))
    frames = list(source.frames())
    assert source.total == 3
    assert [name for name, _ in frames] == ["a", "b", "c"]
    assert frames[0][1].dtype == np.uint8
    np.testing.assert_array_equal(frames[0][1], picture(100))
    assert abs(frames[2][1].astype(int) - picture(150)).max() < 6


def test_one_image_is_a_source_of_one_frame(tmp_path: Path) -> None:
    write_image(tmp_path / "one.png", picture(7))
    [(name, image)] = open_source(str(tmp_path / "one.png")).frames()
    assert name == "one"
    np.testing.assert_array_equal(image, picture(7))


def test_a_glob_names_frames_below_its_fixed_folder(tmp_path: Path) -> None:
    for name in ("left/x.png", "right/x.png", "right/y.png"):
        write_image(tmp_path / "cam" / name, picture(1))
    assert [n for n, _ in open_source(f"{tmp_path}/cam/*/x.png").frames()] == ["left/x", "right/x"]
    assert [n for n, _ in open_source(f"{tmp_path}/**/y.png").frames()] == ["cam/right/y"]


@pytest.mark.parametrize(("name", "codec"), [("v.avi", "MJPG"), ("v.mp4", "mp4v")])
def test_a_video_gives_its_frames_as_rgb(tmp_path: Path, name: str, codec: str) -> None:
    write_video(tmp_path / name, [picture(red) for red in (40, 120, 220)], codec)
    source = open_source(str(tmp_path / name))
    assert (source.total, source.rate, source.endless) == (3, 25.0, False)
    frames = list(source.frames())
    assert [n for n, _ in frames] == ["000000", "000001", "000002"]
    for (_, image), red in zip(frames, (40, 120, 220), strict=True):
        assert image.dtype == np.uint8
        assert abs(image.reshape(-1, 3).mean(axis=0) - (red, 20, 60)).max() < 12


def test_exif_orientation_is_not_applied(tmp_path: Path) -> None:
    _, data = cv2.imencode(".jpg", picture(90))
    (tmp_path / "turned.jpg").write_bytes(with_orientation(data.tobytes(), 6))
    assert cv2.imread(str(tmp_path / "turned.jpg")).shape == (48, 32, 3)  # the tag is a real one
    [(_, image)] = open_source(str(tmp_path / "turned.jpg")).frames()
    assert image.shape == (32, 48, 3)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no image"):
        open_source(str(tmp_path))


def test_a_source_that_is_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no file, folder, glob or camera"):
        open_source(str(tmp_path / "missing.mp4"))
    with pytest.raises(InputError, match=r"no file matches .*\*\.png"):
        open_source(f"{tmp_path}/*.png")
    with pytest.raises(InputError, match="a camera has a number, such as camera:0"):
        open_source("camera:front")
    for number in ("²", "99999999999", "-1"):
        with pytest.raises(InputError, match="a camera has a number"):
            open_source(f"camera:{number}")


def test_a_file_that_is_no_video_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"not a video" * 100)
    with pytest.raises(InputError, match=r"broken\.mp4: neither an image .* nor a video"):
        open_source(str(tmp_path / "broken.mp4"))


def test_a_glob_that_matches_other_files_is_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", picture(1))
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError, match=r"a\.txt is no image"):
        open_source(f"{tmp_path}/*")


def test_two_images_with_one_name_are_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", picture(1))
    write_image(tmp_path / "a.jpg", picture(1))
    with pytest.raises(InputError, match="differ only in their suffix"):
        open_source(str(tmp_path))


def test_a_cut_off_png_is_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", picture(1))
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"a\.png: the PNG file is cut off"):
        list(open_source(str(tmp_path)).frames())


def test_a_16_bit_image_is_refused(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "deep.png"), np.zeros((4, 4, 3), np.uint16))
    with pytest.raises(InputError, match=r"3 channels of uint16; 3 channels of uint8 are needed"):
        list(open_source(str(tmp_path / "deep.png")).frames())


class FakeCapture:
    """A capture that gives some frames and then none."""

    def __init__(self, frames: int) -> None:
        self.left, self.released = frames, False

    def read(self) -> tuple[bool, Pixels | None]:
        """Whether a frame came, and the frame."""
        self.left -= 1
        return (True, picture(1)) if self.left >= 0 else (False, None)

    def get(self, _: int) -> float:
        """Nothing is known of any property."""
        return 0.0

    def release(self) -> None:
        """Remember it."""
        self.released = True


def test_a_video_without_a_readable_frame_is_refused() -> None:
    capture = FakeCapture(0)
    with pytest.raises(InputError, match="no frame of this video can be read"):
        list(CaptureSource.of(capture, "v.mp4", endless=False).frames())
    assert capture.released


def test_a_camera_that_stops_is_a_failed_device() -> None:
    source = CaptureSource.of(FakeCapture(2), "camera:0", endless=True)
    assert (source.total, source.rate) == (None, None)
    with pytest.raises(BackendError, match="camera:0 stopped after 2 frames"):
        list(source.frames())
