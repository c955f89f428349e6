from pathlib import Path

import cv2
import numpy as np
import pytest
from pictures import FOREIGN, write_dataset, write_png

from lsu.runtime import VOID, Dataset, InputError, LabelClass, LabelSpace
from lsu.runtime.datasets.label_image import LabelDecoder

HERE = Path("x.png")


def encoded(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def test_ids_become_dense_indices_and_void() -> None:
    ids = np.array([[7, 20, 33], [0, 255, 7]], np.uint8)
    dense = LabelDecoder(FOREIGN).decode(encoded(ids), HERE)
    assert dense.tolist() == [[0, 1, 2], [VOID, VOID, 0]]
    assert dense.dtype == np.uint8


def test_colours_become_dense_indices_and_void() -> None:
    rgb = np.array([[[10, 0, 0], [0, 20, 0]], [[0, 0, 30], [1, 2, 3]]], np.uint8)
    decoder = LabelDecoder(FOREIGN, "colours")
    assert decoder.decode(encoded(rgb[..., ::-1]), HERE).tolist() == [[0, 1], [2, VOID]]


def test_the_quotient_of_16_bit_values_is_the_id() -> None:
    values = np.array([[7 * 256, 7 * 256 + 255, 20 * 256 + 1, 33]], np.uint16)
    with pytest.raises(InputError, match=r"id 0 \(1 pixels\) not in label space"):
        LabelDecoder(LabelSpace("s", FOREIGN.classes), "ids16//256").decode(encoded(values), HERE)
    dense = LabelDecoder(FOREIGN, "ids16//256").decode(encoded(values), HERE)
    assert dense.tolist() == [[0, 0, 1, VOID]]  # 33 // 256 = 0 is ego, a void id
    with pytest.raises(InputError, match="needs 16 bits a pixel"):
        LabelDecoder(FOREIGN, "ids16//256").decode(encoded(values.astype(np.uint8)), HERE)


def test_an_unknown_id_names_the_file_the_value_and_how_many_pixels() -> None:
    ids = np.array([[7, 8, 8], [9, 7, 7]], np.uint8)
    with pytest.raises(InputError, match=r"x.png: id 8 \(2 pixels\) and 1 more values not in .*'foreign'"):
        LabelDecoder(FOREIGN).decode(encoded(ids), HERE)


def test_ids_above_255_are_read_from_16_bits() -> None:
    wide = LabelSpace("wide", (LabelClass("a", 300), LabelClass("b", 40000)))
    values = np.array([[300, 40000, 255]], np.uint16)
    assert LabelDecoder(wide).decode(encoded(values), HERE).tolist() == [[0, 1, VOID]]


def test_without_ids_files_hold_dense_indices() -> None:
    plain = LabelSpace("plain", (LabelClass("a"), LabelClass("b")))
    assert LabelDecoder(plain).decode(encoded(np.array([[1, 0, 255]], np.uint8)), HERE).tolist() == [
        [1, 0, VOID]
    ]


def test_an_unknown_colour_names_the_file_the_value_and_how_many_pixels() -> None:
    rgb = np.full((2, 2, 3), (9, 8, 7), np.uint8)
    with pytest.raises(InputError, match=r"x.png: colour \[9, 8, 7\] \(4 pixels\) not in"):
        LabelDecoder(FOREIGN, "colours").decode(encoded(rgb[..., ::-1]), HERE)


def test_palette_indices_are_read_as_ids() -> None:
    # A hand-made palette PNG, since OpenCV writes none: the grey file with its type and a palette put in.
    import struct
    import zlib

    from lsu.runtime.image import PNG_SIGNATURE, _png_chunks

    grey = encoded(np.array([[7, 20], [33, 0]], np.uint8))
    chunks = _png_chunks(grey, HERE)
    chunks[0] = (b"IHDR", chunks[0][1][:9] + b"\x03" + chunks[0][1][10:])
    chunks.insert(1, (b"PLTE", bytes(range(102))))
    data = PNG_SIGNATURE + b"".join(
        struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks
    )
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED).ndim == 3  # the trap
    assert LabelDecoder(FOREIGN).decode(data, HERE).tolist() == [[0, 1], [2, VOID]]


def test_labels_of_fewer_than_8_bits_are_refused() -> None:
    bits = cv2.imencode(".png", np.eye(8, dtype=np.uint8) * 255, [cv2.IMWRITE_PNG_BILEVEL, 1])[1].tobytes()
    with pytest.raises(InputError, match="has 1 bits a pixel; ids need 8 or 16"):
        LabelDecoder(FOREIGN).decode(bits, HERE)


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        ("id", "unknown encoding 'id'; did you mean 'ids'"),
        *((f"ids16//{n}", "unknown encoding") for n in ("0", "70000", "²", "-1", "1 ")),
    ],
)
def test_an_unknown_encoding_is_refused(encoding, message) -> None:
    with pytest.raises(InputError, match=message):
        LabelDecoder(FOREIGN, encoding)
    with pytest.raises(InputError, match="lacks some classes' colours"):
        LabelDecoder(LabelSpace("s", (LabelClass("a"),)), "colours")


def test_frames_pair_by_the_text_that_the_wildcards_matched(tmp_path) -> None:
    split = Dataset.load(write_dataset(tmp_path)).split("train")
    assert [f.key for f in split.frames] == ["f0", "f1", "f2", "f3", "f4"]
    assert split.frames[1].label == tmp_path / "labels/train/f1_ids.png"
    sample = split.read(split.frames[0])
    assert sample.image.shape == (24, 40, 3)
    assert set(np.unique(sample.labels)) <= {0, 1, 2, VOID}


def test_several_wildcards_make_one_key(tmp_path) -> None:
    for name in ("a/1", "b/1", "b/c/2"):
        write_png(tmp_path / f"img/{name}_left.png", np.zeros((2, 2, 3), np.uint8))
        write_png(tmp_path / f"gt/{name}_ids.png", np.full((2, 2), 7, np.uint8))
    (tmp_path / "foreign.toml").write_text(FOREIGN.to_toml())
    (tmp_path / "dataset.toml").write_text(
        'name = "n"\nlabel_space = "foreign.toml"\n'
        '[splits.one]\nimages = "img/*/*_left.png"\nlabels = "gt/*/*_ids.png"\n'
        '[splits.deep]\nimages = "img/**/*_left.png"\nlabels = "gt/**/*_ids.png"\n'
    )
    dataset = Dataset.load(tmp_path)
    assert [f.key for f in dataset.split("one").frames] == ["a/1", "b/1"]
    assert [f.key for f in dataset.split("deep").frames] == ["a/1", "b/1", "b/c/2"]


def dataset_with(folder: Path, images: str, *names: str, split: str = "one") -> Dataset:
    """A data set of unlabelled images with these names, found by a glob."""
    for name in names:
        write_png(folder / name, np.zeros((2, 2, 3), np.uint8))
    (folder / "foreign.toml").write_text(FOREIGN.to_toml())
    text = f'name = "n"\nlabel_space = "foreign.toml"\n[splits."{split}"]\nimages = "{images}"\n'
    (folder / "dataset.toml").write_text(text)
    return Dataset.load(folder)


def test_a_question_mark_is_one_character_and_sets_choose(tmp_path) -> None:
    names = ("img/a1.png", "img/b1.png", "img/c22.png")
    assert [f.key for f in dataset_with(tmp_path, "img/a?.png", *names).split("one").frames] == ["1"]
    assert [f.key for f in dataset_with(tmp_path, "img/[bc]*.png", *names).split("one").frames] == ["1", "22"]
    assert [f.key for f in dataset_with(tmp_path, "img/[!a]*.png", *names).split("one").frames] == ["1", "22"]


def test_a_root_with_brackets_is_taken_literally(tmp_path) -> None:
    assert len(dataset_with(tmp_path / "set [1]", "img/*.png", "img/a.png").split("one").frames) == 1


def test_two_files_of_one_key_are_refused(tmp_path) -> None:
    dataset = dataset_with(tmp_path, "img/[ab]*.png", "img/a1.png", "img/b1.png")
    with pytest.raises(InputError, match="have the same key '1'; make the glob more exact"):
        dataset.split("one")


@pytest.mark.parametrize(
    ("images", "name"),
    [("img/f*.png", "img/f.png"), ("img/f*.png", "img/f.9.png"), ("img/*_*.png", "img/a_.png")],
)
def test_a_key_that_could_not_name_a_file_is_refused(tmp_path, images, name) -> None:
    with pytest.raises(InputError, match="a match must not be empty, start with '.'"):
        dataset_with(tmp_path, images, name).split("one")


def test_a_split_that_could_not_name_a_folder_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match=r"a split's name has letters, digits"):
        dataset_with(tmp_path, "img/*.png", split="../../x")


@pytest.mark.parametrize("splits", ["3", "[1]", "{ one = 3 }"])
def test_splits_that_are_no_tables_are_refused(tmp_path, splits) -> None:
    (tmp_path / "foreign.toml").write_text(FOREIGN.to_toml())
    (tmp_path / "dataset.toml").write_text(f'name = "n"\nlabel_space = "foreign.toml"\nsplits = {splits}\n')
    with pytest.raises(InputError, match="is not a table"):
        Dataset.load(tmp_path)


def test_a_glob_without_a_wildcard_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="has no wildcard such as"):
        dataset_with(tmp_path, "img/a.png", "img/a.png")


def test_a_frames_file_selects(tmp_path) -> None:
    path = write_dataset(tmp_path)
    (tmp_path / "some.txt").write_bytes(b"\xef\xbb\xbff3\r\n\r\nf1\r\n")
    path.write_text(path.read_text() + 'frames = "some.txt"\n')
    assert [f.key for f in Dataset.load(path).split("train").frames] == ["f1", "f3"]
    (tmp_path / "some.txt").write_text("f1\nf1\n")
    with pytest.raises(InputError, match="frame 'f1' of .*some.txt stands twice"):
        Dataset.load(path).split("train")
    (tmp_path / "some.txt").write_text("f9\n")
    with pytest.raises(InputError, match="frame 'f9' .* matched by no file"):
        Dataset.load(path).split("train")


def test_an_image_without_its_label_is_named(tmp_path) -> None:
    path = write_dataset(tmp_path)
    (tmp_path / "labels/train/f2_ids.png").unlink()
    with pytest.raises(InputError, match=r"1 of 5 images have no label, first .*f2.png"):
        Dataset.load(path).split("train")


def test_a_label_without_its_image_is_named(tmp_path) -> None:
    path = write_dataset(tmp_path)
    (tmp_path / "images/train/f2.png").unlink()
    with pytest.raises(InputError, match=r"1 of 5 labels have no image, first .*f2_ids.png"):
        Dataset.load(path).split("train")


def test_an_empty_folder_is_named(tmp_path) -> None:
    path = write_dataset(tmp_path, frames=0)
    with pytest.raises(InputError, match=r"no image matches .*images/train/\*.png"):
        Dataset.load(path).split("train")


def test_sizes_that_differ_are_refused(tmp_path) -> None:
    split = Dataset.load(write_dataset(tmp_path)).split("train")
    write_png(tmp_path / "labels/train/f0_ids.png", np.full((24, 41), 7, np.uint8))
    with pytest.raises(InputError, match=r"f0_ids.png is 41x24, its image f0.png is 40x24"):
        split.read(split.frames[0])


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_cut_off_png_is_refused(tmp_path, share) -> None:
    split = Dataset.load(write_dataset(tmp_path)).split("train")
    data = split.frames[0].image.read_bytes()
    split.frames[0].image.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match="f0.png: the PNG file is cut off after"):
        split.read(split.frames[0])


def test_a_damaged_png_is_refused(tmp_path) -> None:
    split = Dataset.load(write_dataset(tmp_path)).split("train")
    data = bytearray(split.frames[0].image.read_bytes())
    data[len(data) // 2] ^= 1
    split.frames[0].image.write_bytes(bytes(data))
    with pytest.raises(InputError, match="is damaged near byte"):
        split.read(split.frames[0])


def test_a_cut_off_jpeg_is_refused(tmp_path) -> None:
    from lsu.runtime.image import image_from_bytes

    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    data = cv2.imencode(".jpg", noise)[1].tobytes()
    assert image_from_bytes(data, HERE).shape == (64, 64, 3)
    with pytest.raises(InputError, match="JPEG file is cut off"):
        image_from_bytes(data[: len(data) // 2], HERE)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((4, 4, 3), np.uint16), "3 channels of uint16; 3 channels of uint8 are needed"),
        (np.zeros((4, 4), np.uint8), "1 channels of uint8"),
        (np.zeros((4, 4, 4), np.uint8), "4 channels of uint8"),
    ],
)
def test_an_image_that_is_not_rgb8_is_refused(pixels, message) -> None:
    from lsu.runtime.image import image_from_bytes

    with pytest.raises(InputError, match=message):
        image_from_bytes(encoded(pixels), HERE)


def test_images_are_rgb() -> None:
    from lsu.runtime.image import image_from_bytes, png_from_pixels

    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 200
    assert image_from_bytes(png_from_pixels(red, rgb=True), HERE)[0, 0].tolist() == [200, 0, 0]
    assert cv2.imdecode(np.frombuffer(png_from_pixels(red, rgb=True), np.uint8), 1)[0, 0].tolist() == [
        0,
        0,
        200,
    ]


def test_unknown_splits_and_keys_list_the_near_ones(tmp_path) -> None:
    path = write_dataset(tmp_path)
    with pytest.raises(InputError, match="has no split 'trian'; did you mean 'train'"):
        Dataset.load(path).split("trian")
    path.write_text(path.read_text().replace("images =", "image ="))
    with pytest.raises(InputError, match="unknown key 'image'; did you mean 'images'"):
        Dataset.load(path)


def test_a_folder_of_a_catalogue_name_does_not_hide_the_catalogue(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "camvid11").mkdir()
    assert Dataset.load("camvid11", tmp_path / "camvid11").label_space.name == "camvid11"


def test_a_jpeg_whose_thumbnail_alone_is_whole_is_refused() -> None:
    from lsu.runtime.image import image_from_bytes

    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    data = cv2.imencode(".jpg", noise)[1].tobytes()
    thumbnail = data[:2] + b"\xff\xe1\x00\x0aEXIF\xff\xd8\xff\xd9" + data[2:]
    assert image_from_bytes(thumbnail, HERE).shape == (64, 64, 3)
    with pytest.raises(InputError, match="cut off"):
        image_from_bytes(thumbnail[: len(thumbnail) // 2], HERE)


def test_a_picture_of_impossible_size_is_refused() -> None:
    import struct
    import zlib

    from lsu.runtime.image import image_from_bytes

    data = bytearray(encoded(np.zeros((4, 4, 3), np.uint8)))
    data[16:24] = struct.pack(">II", 100000, 100000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    with pytest.raises(InputError, match="x.png"):
        image_from_bytes(bytes(data), HERE)


def test_a_catalogue_data_set_needs_a_root() -> None:
    with pytest.raises(InputError, match="needs its folder: add --root DIR"):
        Dataset.load("camvid11")


def test_a_folder_without_a_dataset_toml_is_told_what_it_lacks(tmp_path) -> None:
    with pytest.raises(
        InputError, match=f"{tmp_path} holds no dataset.toml: write one, or name a set of the"
    ):
        Dataset.load(tmp_path)
