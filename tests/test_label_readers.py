"""Labels that are not one picture of ids: polygons, segments and tables of masks."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from layouts import palette_png, runs_text, write_picture

from lsu.runtime import VOID, InputError, LabelClass, LabelSpace
from lsu.runtime.datasets.label_image import LabelDecoder
from lsu.runtime.datasets.label_readers import label_reader
from lsu.runtime.datasets.nuimages import NuImagesReader, mask_from_runs
from lsu.runtime.datasets.panoptic import PanopticReader
from lsu.runtime.datasets.polygons import PolygonReader

NAMED = LabelSpace(
    "named",
    (LabelClass("road", 7, (1, 2, 3)), LabelClass("car", 20, (4, 5, 6)), LabelClass("sky", 33, (7, 8, 9))),
    (LabelClass("ego", 0, (0, 0, 0)), LabelClass("plate"), LabelClass("border", 2, (0, 0, 0))),
)
HERE = Path("x.png")


def painted(folder: Path, *objects: dict, size: tuple[int, int] = (5, 6)) -> list[list[int]]:
    path = folder / "p.json"
    path.write_text(json.dumps({"imgHeight": size[0], "imgWidth": size[1], "objects": list(objects)}))
    return PolygonReader(NAMED).read(HERE, path).tolist()


def box(label: str, left: float, top: float, right: float, bottom: float, **more: object) -> dict:
    corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
    return {"label": label, "polygon": corners, **more}


def test_a_polygon_owns_its_border_and_the_rest_is_void(tmp_path) -> None:
    v = VOID
    assert painted(tmp_path, box("car", 1, 1, 3, 2)) == [
        [v, v, v, v, v, v],
        [v, 1, 1, 1, v, v],
        [v, 1, 1, 1, v, v],
        [v, v, v, v, v, v],
        [v, v, v, v, v, v],
    ]


def test_vertices_are_cut_to_whole_pixels(tmp_path) -> None:
    assert painted(tmp_path, box("car", 1.9, 1.2, 3.99, 2.7)) == painted(tmp_path, box("car", 1, 1, 3, 2))


def test_later_polygons_cover_earlier_ones_and_deleted_ones_nothing(tmp_path) -> None:
    row = painted(
        tmp_path, box("sky", 0, 0, 5, 4), box("road", 2, 0, 9, 9), box("car", 0, 0, 9, 9, deleted=1)
    )
    assert row == [[2, 2, 0, 0, 0, 0]] * 5


def test_a_group_is_its_members_label(tmp_path) -> None:
    assert painted(tmp_path, box("cargroup", 0, 0, 9, 9)) == [[1] * 6] * 5


def test_void_names_are_painted_and_those_without_an_id_are_not(tmp_path) -> None:
    row = painted(tmp_path, box("car", 0, 0, 9, 9), box("ego", 0, 0, 1, 9), box("plate", 4, 0, 9, 9))
    assert row == [[VOID, VOID, 1, 1, 1, 1]] * 5


def test_idds_polygons_of_ground_are_not_painted_as_in_its_own_script(tmp_path) -> None:
    objects = [box("road", 0, 0, 9, 9), box("ground", 0, 0, 9, 9)]
    (tmp_path / "p.json").write_text(json.dumps({"imgHeight": 1, "imgWidth": 2, "objects": objects}))
    assert PolygonReader(LabelSpace.load("idd")).read(HERE, tmp_path / "p.json").tolist() == [[0, 0]]


def test_a_polygon_of_two_corners_is_nothing(tmp_path) -> None:
    assert painted(tmp_path, {"label": "car", "polygon": [[0, 0], [5, 4]]}) == [[VOID] * 6] * 5


def test_an_unknown_label_lists_the_near_ones(tmp_path) -> None:
    with pytest.raises(
        InputError, match=r"p.json: no label 'carr' in label space 'named'; did you mean 'car'"
    ):
        painted(tmp_path, box("carr", 0, 0, 1, 1))


@pytest.mark.parametrize("corner", ["NaN", "Infinity", "-1e30", "2147483648"])
def test_a_corner_that_is_no_pixel_is_refused(tmp_path, corner) -> None:
    polygon = f'[{{"label": "car", "polygon": [[{corner}, 0], [1, 1], [0, 2]]}}]'
    (tmp_path / "p.json").write_text(f'{{"imgHeight": 5, "imgWidth": 6, "objects": {polygon}}}')
    with pytest.raises(InputError, match="p.json: not a file of polygons.*a corner of 'car' is no pixel"):
        PolygonReader(NAMED).read(HERE, tmp_path / "p.json")


def test_polygons_far_outside_are_cut_at_the_border(tmp_path) -> None:
    far = 2.0**31 - 1000
    assert painted(tmp_path, box("car", -far, -far, 1, far), size=(2, 3)) == [[1, 1, VOID]] * 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"imgHeight": 5, "imgWidth": 6, "objects": [{"label": 3}]}',
        "\x00",
        "[" * 100_000,
        '{"imgHeight": 20000, "imgWidth": 20000, "objects": []}',
        '{"imgHeight": Infinity, "imgWidth": 6, "objects": []}',
        '{"imgHeight": 0, "imgWidth": 6, "objects": []}',
    ],
)
def test_a_file_that_holds_no_polygons_is_refused(tmp_path, text) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(InputError, match="p.json: not a file of polygons"):
        PolygonReader(NAMED).read(HERE, tmp_path / "p.json")


def panoptic(folder: Path, *infos: tuple[int, int], name: str = "a.png") -> PanopticReader:
    segments = [{"id": number, "category_id": category} for number, category in infos]
    (folder / "p.json").write_text(
        json.dumps({"annotations": [{"file_name": name, "segments_info": segments}]})
    )
    return PanopticReader.load(folder / "p.json", NAMED)


def test_segment_numbers_are_red_first_and_zero_is_void(tmp_path) -> None:
    write_picture(tmp_path / "a.png", np.array([[[7, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]], np.uint8))
    reader = panoptic(tmp_path, (7, 7), (256, 20), (65536, 33))
    assert reader.read(HERE, tmp_path / "a.png").tolist() == [[0, 1, 2, VOID]]


def test_segments_of_one_category_are_one_class_and_void_categories_void(tmp_path) -> None:
    write_picture(tmp_path / "a.png", np.array([[[1, 0, 0], [2, 0, 0], [3, 0, 0]]], np.uint8))
    assert panoptic(tmp_path, (1, 20), (2, 20), (3, 0)).read(HERE, tmp_path / "a.png").tolist() == [
        [1, 1, VOID]
    ]


def test_segments_that_nobody_lists_are_refused(tmp_path) -> None:
    write_picture(tmp_path / "a.png", np.array([[[1, 0, 0], [2, 1, 0]]], np.uint8))
    with pytest.raises(InputError, match=r"a.png: segment 258 is not in the split's annotations"):
        panoptic(tmp_path, (1, 20)).read(HERE, tmp_path / "a.png")
    with pytest.raises(InputError, match="do not list this file; they are of another split"):
        panoptic(tmp_path, (1, 20), name="b.png").read(HERE, tmp_path / "a.png")


@pytest.mark.parametrize("number", [-5, 1 << 24])
def test_segment_numbers_that_no_pixel_can_hold_are_refused(tmp_path, number) -> None:
    with pytest.raises(InputError, match=f"segment {number} is not of 0 to 16777215"):
        panoptic(tmp_path, (number, 20))


def test_panoptic_tables_that_cannot_be_used_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="category 5 is no id of label space 'named'"):
        panoptic(tmp_path, (1, 5))
    for text, message in (
        ("{}", "the key 'annotations' is missing"),
        ("x", "not a file of"),
        ("[1]", "not a file of"),
        ("[" * 100_000, "not a file of"),
    ):
        (tmp_path / "p.json").write_text(text)
        with pytest.raises(InputError, match=message):
            PanopticReader.load(tmp_path / "p.json", NAMED)


# Runs that pycocotools 2.0 encodes: mask -> `counts`.
KNOWN_RUNS = {
    b"04": np.ones((2, 2), bool),
    b"4": np.zeros((2, 2), bool),
    b"13": np.array([[0, 1], [1, 1]], bool),
}


@pytest.mark.parametrize("text", KNOWN_RUNS)
def test_runs_are_decoded_by_hand(text) -> None:
    mask = KNOWN_RUNS[text]
    assert mask_from_runs(text, (2, 2)).tolist() == mask.tolist()


@pytest.mark.parametrize("seed", range(8))
def test_runs_of_random_masks_come_back(seed) -> None:
    generator = np.random.default_rng(seed)
    size = tuple(generator.integers(1, 300, 2).tolist())
    blocks = generator.random((9, 9)) < 0.4
    mask = blocks[np.arange(size[0]) * 9 // size[0]][:, np.arange(size[1]) * 9 // size[1]]
    assert np.array_equal(mask_from_runs(base64.b64decode(runs_text(mask)), size), mask)


@pytest.mark.parametrize("text", [b"", b"03", b"05", b"T", b"0P"])
def test_runs_that_do_not_fill_the_mask_are_refused(text) -> None:
    with pytest.raises(ValueError, match="its runs do not fill 2x2 pixels"):
        mask_from_runs(text, (2, 2))


def nuimages(
    folder: Path, *masks: tuple[str, str, str], categories: tuple[str, ...] = ("car", "road")
) -> NuImagesReader:
    """Tables of one key frame, with masks (table, token, 2x2 runs) of the categories in turn."""
    tables: dict[str, list[dict]] = {"surface_ann": [], "object_ann": []}
    tables["category"] = [{"token": name, "name": name} for name in categories]
    tables["sample_data"] = [
        {"token": "d", "filename": "a.jpg", "is_key_frame": True, "height": 2, "width": 2}
    ]
    for k, (table, token, runs) in enumerate(masks):
        mask = {"size": [2, 2], "counts": base64.b64encode(runs.encode()).decode()}
        category = categories[k % len(categories)]
        tables[table].append(
            {"token": token, "sample_data_token": "d", "category_token": category, "mask": mask}
        )
    for name, table in tables.items():
        (folder / f"{name}.json").write_text(json.dumps(table))
    return NuImagesReader.load(folder, folder, NAMED)


def test_objects_cover_surfaces_and_go_by_their_tokens(tmp_path) -> None:
    masks = (("object_ann", "b", "022"), ("surface_ann", "z", "04"))
    assert nuimages(tmp_path, *masks).read(tmp_path / "a.jpg", tmp_path).tolist() == [[1, 0], [1, 0]]
    masks = (("object_ann", "b", "04"), ("object_ann", "a", "04"))  # car last, though it stands first
    assert nuimages(tmp_path, *masks).read(tmp_path / "a.jpg", tmp_path).tolist() == [[1, 1], [1, 1]]


def test_what_no_mask_covers_is_void(tmp_path) -> None:
    dense = nuimages(tmp_path, ("object_ann", "a", "13")).read(tmp_path / "a.jpg", tmp_path)
    assert dense.tolist() == [[VOID, 1], [1, 1]]


def test_tables_that_cannot_be_used_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match=r"category.json: cannot be read"):
        NuImagesReader.load(tmp_path / "none", tmp_path, NAMED)
    with pytest.raises(InputError, match=r"'named' has no class 'lorry'"):
        nuimages(tmp_path, categories=("lorry",))
    reader = nuimages(tmp_path, ("object_ann", "a", "15"))
    with pytest.raises(InputError, match=r"a mask of a.jpg is damaged: its runs do not fill 2x2"):
        reader.read(tmp_path / "a.jpg", tmp_path)
    for size in ([2, 3], [1, 2]):
        entry = {"token": "t", "sample_data_token": "d", "category_token": "car"}
        (tmp_path / "object_ann.json").write_text(
            json.dumps([entry | {"mask": {"size": size, "counts": "MDQ="}}])
        )
        with pytest.raises(
            InputError, match=r"a mask of a.jpg is \(.*the image \(2, 2\); they must be equal"
        ):
            NuImagesReader.load(tmp_path, tmp_path, NAMED).read(tmp_path / "a.jpg", tmp_path)
    for size in ([-2, 2], [20_000, 20_000], [2, None]):
        (tmp_path / "object_ann.json").write_text(
            json.dumps([entry | {"mask": {"size": size, "counts": "MDQ="}}])
        )
        with pytest.raises(InputError, match="not the tables of nuImages: ValueError"):
            NuImagesReader.load(tmp_path, tmp_path, NAMED)
    (tmp_path / "object_ann.json").write_text('[{"token": "t"}]')
    with pytest.raises(InputError, match="the tables lack 'mask'"):
        NuImagesReader.load(tmp_path, tmp_path, NAMED)
    (tmp_path / "category.json").write_text("{")
    with pytest.raises(InputError, match="category.json: not JSON"):
        NuImagesReader.load(tmp_path, tmp_path, NAMED)


def test_the_red_channel_of_16_bits_is_the_id(tmp_path) -> None:
    pixels = np.array([[[7, 20, 33], [20, 0, 0]]], np.uint16)
    write_picture(tmp_path / "a.png", pixels)
    assert LabelDecoder(NAMED, "ids16-red").read(HERE, tmp_path / "a.png").tolist() == [[0, 1]]
    write_picture(tmp_path / "b.png", pixels.astype(np.uint8))
    with pytest.raises(
        InputError, match="b.png: .* 3 channels of uint16 are needed: convert it to 16-bit RGB"
    ):
        LabelDecoder(NAMED, "ids16-red").read(HERE, tmp_path / "b.png")


def test_palette_files_are_ids_or_colours_as_the_encoding_says(tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(palette_png(np.array([[7, 20]], np.uint8)))
    assert LabelDecoder(NAMED, "ids").read(HERE, tmp_path / "a.png").tolist() == [[0, 1]]
    grey = LabelSpace("g", (LabelClass("a", 7, (21, 22, 23)), LabelClass("b", 20, (60, 61, 62))))
    assert LabelDecoder(grey, "colours").read(HERE, tmp_path / "a.png").tolist() == [
        [0, 1]
    ]  # palette: 3 k, ...


def test_colours_that_two_names_share_are_refused_unless_both_are_void() -> None:
    LabelDecoder(NAMED, "colours")  # ego and border are both black
    for void in ((), (LabelClass("v", 9, (1, 1, 1)),)):
        twins = (LabelClass("a", 1, (1, 1, 1)), LabelClass("b", 2, (1, 1, 1)))[: 2 - len(void)]
        with pytest.raises(InputError, match=r"paints 'a' and '[bv]' alike, \[1, 1, 1\]"):
            LabelDecoder(LabelSpace("s", twins, void), "colours")


def test_annotations_stand_with_the_encodings_that_need_them(tmp_path) -> None:
    for encoding in ("panoptic", "nuimages"):
        with pytest.raises(InputError, match=f'encoding "{encoding}" needs `annotations`'):
            label_reader(encoding, NAMED, tmp_path, "")
    with pytest.raises(InputError, match='encoding "ids" has no use for `annotations`'):
        label_reader("ids", NAMED, tmp_path, "a.json")
    with pytest.raises(InputError, match="unknown encoding 'polygon'; did you mean 'polygons'"):
        label_reader("polygon", NAMED, tmp_path, "")
