"""Off-road sets as they lie on disk; sources are in the catalogue."""

from layouts import Layout

RELLIS = {"halves": (7, 10), "names": ("sky", "asphalt")}
RUGD = {"kind": "rgb", "halves": ((0, 102, 0), (0, 0, 255)), "names": ("grass", "sky")}
YCOR = {"kind": "rgb", "halves": ((1, 88, 255), (255, 0, 0)), "names": ("sky", "obstacle")}
FOREST = {"kind": "rgb", "halves": ((170, 170, 170), (0, 120, 255)), "names": ("road", "sky")}


def _rellis(split: str, frame: str) -> Layout:
    image, label = f"00000/pylon_camera_node/{frame}.jpg", f"00000/pylon_camera_node_label_id/{frame}.png"
    lists = ((f"{split}.lst", f"{image} {label}\n"),)
    return Layout(split, f"00000/{frame}", image, label, lists=lists, **RELLIS)


def _wildscenes(split: str, scene: str, frame: str) -> Layout:
    image, label = (f"WildScenes2d/{scene}/{folder}/{frame}.png" for folder in ("image", "indexLabel"))
    lists = ((f"data/splits/opt2d/{split}.csv", f"id,im_path,label_path\n{frame},{image},{label}\n"),)
    return Layout(
        split, f"{scene}/{frame}", image, label, halves=(17, 4), names=("sky", "water"), lists=lists
    )


OFFROAD_LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "goose": tuple(
        Layout(
            split,
            f"2022-07-22_flight/2022-07-22_flight__0071_{n}",
            f"images/{split}/2022-07-22_flight/2022-07-22_flight__0071_{n}_windshield_vis.png",
            label.format(n=n),
            halves=(2, 1),
            names=("snow", "traffic_cone"),
        )
        for n, split, label in (
            (1, "train", "labels/train/2022-07-22_flight/2022-07-22_flight__0071_{n}_labelids.png"),
            (2, "val", "labels/val/2022-07-22_flight/2022-07-22_flight__0071_{n}_labelids.png"),
            (3, "test", ""),
        )
    ),
    "rellis3d": (
        _rellis("train", "frame000000-1581624652_750"),
        _rellis("val", "frame000001-1581624652_950"),
        _rellis("test", "frame000002-1581624653_050"),
    ),
    "rugd": tuple(
        Layout(
            split,
            f"{video}/{video}_00001",
            f"RUGD_frames-with-annotations/{video}/{video}_00001.png",
            f"RUGD_annotations/{video}/{video}_00001.png",
            **RUGD,
        )
        for split, video in (("train", "trail"), ("train", "trail-3"), ("val", "trail-5"), ("test", "creek"))
    ),
    "tas500": (
        Layout(
            "train", "a1", "train/a1.png", "train_labels_ids/a1.png", halves=(0, 16), names=("asphalt", "sky")
        ),
        Layout("val", "b1", "val/b1.png", "val_labels_ids/b1.png", halves=(16, 255), names=("sky", "void")),
        Layout("test", "c1", "test/c1.png"),
    ),
    "yamaha_cmu": tuple(
        Layout(
            split,
            f"iid00000{split}",
            f"{folder}/iid00000{split}/rgb.jpg",
            f"{folder}/iid00000{split}/labels.png",
            **YCOR,
        )
        for split, folder in (("train", "train"), ("val", "valid"))
    ),
    "freiburg_forest": (
        Layout(
            "train",
            "b1-09517",
            "train/rgb/b1-09517_Clipped.jpg",
            "train/GT_color/b1-09517_Clipped.png",
            **FOREST,
        ),
        Layout(
            "test", "b1-09519", "test/rgb/b1-09519_Clipped.jpg", "test/GT_color/b1-09519_mask.png", **FOREST
        ),
    ),
    "offsed": (
        Layout(
            "all",
            "2020-01_1",
            "left/2020-01_1.png",
            "devkit_offsed/SegmentationClass/2020-01_1.png",
            "rgb",
            ((70, 130, 180), (24, 226, 31)),
            ("sky", "grass"),
        ),
    ),
    "cat": tuple(
        Layout(
            split,
            f"Brown_Field/{n}",
            f"Brown_Field/{folder}/imgs/img_{n}.png",
            f"Brown_Field/{folder}/masks/mask_{n}.png",
            halves=(27, 56),
            names=("sedan", "pickup"),
        )
        for split, folder, n in (("train", "Train", 1), ("test", "Test", 2))
    ),
    "wildscenes": (
        _wildscenes("train", "K-03", "1639438026-369757795"),
        _wildscenes("val", "K-01", "1624326169-277052847"),
        _wildscenes("test", "V-02", "1623370893-376340233"),
    ),
    "great_outdoors": (
        Layout(
            "all",
            "00000/f1",
            "00000/pylon_camera_node/f1.png",
            "00000/pylon_camera_node_label_id/f1.png",
            **RELLIS,
        ),
    ),
}
