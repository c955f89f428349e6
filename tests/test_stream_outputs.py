"""What a stream writes: PNG files in a folder, or one whole video."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from lsu.runtime.errors import BackendError, InputError
from lsu.runtime.overlay import overlay
from lsu.runtime.stream.outputs import output_for
from lsu.runtime.stream.sources import open_source

Pixels = npt.NDArray[np.uint8]
COLOURS = np.zeros((256, 3), np.uint8)
COLOURS[1] = (0, 250, 0)


def picture(red: int, height: int = 32, width: int = 48) -> Pixels:
    return np.full((height, width, 3), (red, 20, 60), np.uint8)


def test_a_folder_gets_overlays_and_class_maps(tmp_path: Path) -> None:
    classes = np.ones((32, 48), np.uint8)
    classes[0, 0] = 255
    with output_for(tmp_path / "out", COLOURS) as write:
        assert not (tmp_path / "out").exists()
        write("cam/a", picture(90), classes)
    drawn = cv2.imread(str(tmp_path / "out/overlay/cam/a.png"))[..., ::-1]
    np.testing.assert_array_equal(drawn, overlay(picture(90), classes, COLOURS))
    stored = cv2.imread(str(tmp_path / "out/classes/cam/a.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(stored, classes)


def test_a_folder_gets_only_what_is_asked_for(tmp_path: Path) -> None:
    with output_for(tmp_path / "out", COLOURS, overlays=False) as write:
        write("a", picture(90), np.ones((32, 48), np.uint8))
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["classes"]


@pytest.mark.parametrize("name", ["out.avi", "out.mp4"])
def test_a_video_of_odd_size_is_written_whole_under_its_name(tmp_path: Path, name: str) -> None:
    with output_for(tmp_path / name, COLOURS, rate=12.0) as write:
        for red in (10, 100, 200):
            write("x", picture(red, 33, 47), np.full((33, 47), 1, np.uint8))
        assert not (tmp_path / name).exists()
    assert [p.name for p in tmp_path.iterdir()] == [name]
    source = open_source(str(tmp_path / name))
    frames = [image for _, image in source.frames()]
    assert source.total == len(frames) == 3
    assert frames[0].shape == (34, 48, 3)
    assert abs(frames[2].reshape(-1, 3).mean(axis=0) - (100, 135, 30)).max() < 12


def test_a_video_that_failed_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "out.avi").write_bytes(b"old")
    with pytest.raises(InputError, match="frame 'b' is 40x30, the video is 48x32"):  # noqa: SIM117
        with output_for(tmp_path / "out.avi", COLOURS) as write:
            write("a", picture(1), np.zeros((32, 48), np.uint8))
            write("b", picture(1, 30, 40), np.zeros((30, 40), np.uint8))
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("out.avi", b"old")]


def test_a_video_that_lost_frames_on_the_way_to_the_disk_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = SimpleNamespace(get=lambda _: 0.0, release=lambda: None)
    with pytest.raises(BackendError, match="0 of 1 frames arrived; is the disk full"):  # noqa: SIM117
        with output_for(tmp_path / "out.avi", COLOURS) as write:
            write("a", picture(1), np.zeros((32, 48), np.uint8))
            monkeypatch.setattr("lsu.runtime.stream.outputs.cv2.VideoCapture", lambda _: empty)
    assert list(tmp_path.iterdir()) == []


def test_a_video_without_a_frame_is_not_written(tmp_path: Path) -> None:
    with output_for(tmp_path / "out.avi", COLOURS):
        pass
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"out\.mkv cannot be written to; name a folder or .* \.mp4 or \.avi"
    ):
        output_for(tmp_path / "out.mkv", COLOURS)
    with pytest.raises(InputError, match="a video holds overlays"):
        output_for(tmp_path / "out.mp4", COLOURS, overlays=False)
    with pytest.raises(InputError, match="nothing is written"):
        output_for(tmp_path / "out", COLOURS, overlays=False, classes=False)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written to"):
        output_for(tmp_path / "file", COLOURS)


class InterruptedWriter:
    """OpenCV's writer, interrupted right after it has taken its fifth frame."""

    real = cv2.VideoWriter
    fourcc = staticmethod(cv2.VideoWriter.fourcc)

    def __init__(self, *arguments: object) -> None:
        self.inner, self.taken = self.real(*arguments), 0

    def write(self, pixels: Pixels) -> None:
        self.inner.write(pixels)
        self.taken += 1
        if self.taken == 5:
            raise KeyboardInterrupt

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return bool(self.inner.isOpened())

    def release(self) -> None:
        self.inner.release()


@pytest.mark.parametrize("swallowed", [True, False])
def test_an_interrupt_while_a_frame_is_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swallowed: bool
) -> None:
    """A camera's run ends well by it and keeps the video; another run passes it on and leaves nothing."""
    monkeypatch.setattr(cv2, "VideoWriter", InterruptedWriter)
    path = tmp_path / "drive.avi"

    def record() -> None:
        with output_for(path, COLOURS) as write:
            try:
                for k in range(9):
                    write(str(k), picture(20 * k), np.ones((32, 48), np.uint8))
            except KeyboardInterrupt:
                if not swallowed:
                    raise

    if swallowed:
        record()
        assert int(cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT)) == 5
    else:
        with pytest.raises(KeyboardInterrupt):
            record()
        assert not path.exists()
    assert [p.name for p in tmp_path.iterdir()] == (["drive.avi"] if swallowed else [])


def test_a_video_may_not_be_named_as_a_folder_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "drive.mp4").mkdir()
    with pytest.raises(InputError, match=r"drive.mp4 is a folder; name a file"):
        output_for(tmp_path / "drive.mp4", COLOURS)
