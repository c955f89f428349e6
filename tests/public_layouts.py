"""Public sets as they lie on disk, in the words of their documentation; sources are in the catalogue."""

from layouts import Layout
from offroad_layouts import OFFROAD_LAYOUTS

ROAD_SKY = ("road", "sky")
CAMVID = {"kind": "rgb", "halves": ((128, 64, 128), (128, 128, 128)), "names": ("Road", "Sky")}
IDD = {"kind": "polygons", "halves": ("road", "cargroup"), "names": ("road", "car")}


def _apolloscape(road: str, split: str, record: str, ending: str) -> Layout:
    name = f"{record}/Camera 5/170908_061502408_Camera_5"
    image, label = f"road{road}_ins/ColorImage/{name}.jpg", f"road{road}_ins/Label/{name}{ending}.png"
    return Layout(
        f"road{road}-{split}",
        name,
        image,
        label,
        halves=(49, 17),
        names=ROAD_SKY,
        lists=((f"image_lists/road{road}_ins_{split}.lst", f"{image}\t{label}\n"),),
    )


def _acdc(split: str, weather: str, frame: str) -> Layout:
    folder = f"{weather}/{split}/GOPR0475"
    label = "" if split == "test" else f"gt/{folder}/{frame}_gt_labelIds.png"
    image = f"rgb_anon/{folder}/{frame}_rgb_anon.png"
    return Layout(split, f"{weather}/GOPR0475/{frame}", image, label, halves=(7, 23), names=ROAD_SKY)


LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "cityscapes": (
        Layout(
            "train",
            "aachen/aachen_000000_000019",
            "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png",
            "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png",
            halves=(7, 26),
            names=("road", "car"),
        ),
        Layout(
            "val",
            "frankfurt/frankfurt_000000_000294",
            "leftImg8bit/val/frankfurt/frankfurt_000000_000294_leftImg8bit.png",
            "gtFine/val/frankfurt/frankfurt_000000_000294_gtFine_labelIds.png",
            halves=(23, 0),
            names=("sky", "void"),
        ),
        Layout(
            "test",
            "berlin/berlin_000000_000019",
            "leftImg8bit/test/berlin/berlin_000000_000019_leftImg8bit.png",
        ),
    ),
    "mapillary_vistas_1_2": (
        Layout(
            "train",
            "-_1",
            "training/images/-_1.jpg",
            "training/v1.2/labels/-_1.png",
            "palette",
            (13, 27),
            ("construction--flat--road", "nature--sky"),
        ),
        Layout(
            "val",
            "a2",
            "validation/images/a2.jpg",
            "validation/labels/a2.png",
            "palette",
            (0, 65),
            ("animal--bird", "void"),
        ),
        Layout("test", "t", "testing/images/t.jpg"),
    ),
    "mapillary_vistas_2_0": (
        Layout(
            "train",
            "-_1",
            "training/images/-_1.jpg",
            "training/v2.0/labels/-_1.png",
            "palette",
            (0, 123),
            ("animal--bird", "void"),
        ),
        Layout(
            "val",
            "a2",
            "validation/images/a2.jpg",
            "validation/v2.0/labels/a2.png",
            "palette",
            (1, 0),
            ("animal--ground-animal", "animal--bird"),
        ),
        Layout("test", "t", "testing/images/t.jpg"),
    ),
    "bdd100k": (
        Layout(
            "train",
            "0004a4c0-d4dff0ad",
            "images/10k/train/0004a4c0-d4dff0ad.jpg",
            "labels/sem_seg/masks/train/0004a4c0-d4dff0ad.png",
            halves=(0, 255),
            names=("road", "void"),
        ),
        Layout(
            "val",
            "7d128593-0ccfea4c",
            "seg/images/val/7d128593-0ccfea4c.jpg",
            "seg/labels/val/7d128593-0ccfea4c_train_id.png",
            halves=(10, 13),
            names=("sky", "car"),
        ),
        Layout("test", "cabc30fc-e7726578", "images/10k/test/cabc30fc-e7726578.jpg"),
    ),
    "idd": (
        Layout(
            "train",
            "IDD_Segmentation/0/005626",
            "IDD_Segmentation/leftImg8bit/train/0/005626_leftImg8bit.png",
            "IDD_Segmentation/gtFine/train/0/005626_gtFine_polygons.json",
            **IDD,
        ),
        Layout(
            "train",
            "idd20kII/201/frame0299",
            "idd20kII/leftImg8bit/train/201/frame0299_leftImg8bit.jpg",
            "idd20kII/gtFine/train/201/frame0299_gtFine_polygons.json",
            **IDD,
        ),
        Layout(
            "val",
            "idd20kII/213/frame0029",
            "idd20kII/leftImg8bit/val/213/frame0029_leftImg8bit.jpg",
            "idd20kII/gtFine/val/213/frame0029_gtFine_polygons.json",
            **IDD,
        ),
        Layout(
            "test",
            "IDD_Segmentation/103/034557",
            "IDD_Segmentation/leftImg8bit/test/103/034557_leftImg8bit.png",
        ),
    ),
    "kitti_semantics": (
        Layout(
            "train",
            "000040_10",
            "training/image_2/000040_10.png",
            "training/semantic/000040_10.png",
            halves=(7, 33),
            names=("road", "bicycle"),
        ),
        Layout("test", "000125_10", "testing/image_2/000125_10.png"),
    ),
    "apolloscape": tuple(
        _apolloscape(road, split, record, ending)
        for road, split, record, ending in (
            ("01", "train", "Record011", ""),
            ("01", "val", "Record013", "_bin"),
            ("02", "train", "Record001", "_bin"),
            ("02", "val", "Record004", "_bin"),
            ("03", "train", "Record001", "_bin"),
            ("03", "val", "Record006", "_bin"),
        )
    ),
    "a2d2": (
        Layout(
            "all",
            "20180807_145028/cam_front_center/20180807145028/frontcenter_000001617",
            "camera_lidar_semantic/20180807_145028/camera/cam_front_center/"
            "20180807145028_camera_frontcenter_000001617.png",
            "camera_lidar_semantic/20180807_145028/label/cam_front_center/"
            "20180807145028_label_frontcenter_000001617.png",
            "rgb",
            ((255, 0, 0), (204, 153, 255)),
            ("Car 1", "Pedestrian 1"),
        ),
    ),
    "nuimages": tuple(
        Layout(
            split,
            f"CAM_FRONT/n{split}",
            f"samples/CAM_FRONT/n{split}.jpg",
            f"v1.0-{split}",
            "nuimages",
            ("vehicle.car", "flat.driveable_surface"),
            ("vehicle.car", "flat.driveable_surface"),
        )
        for split in ("train", "val", "mini")
    ),
    "waymo": tuple(
        Layout(
            split,
            f"ctx_1_{split}",
            f"{split}/images/ctx_1_{split}.png",
            f"{split}/segmentation/ctx_1_{split}_seg.png",
            "grey16",
            (2 * 1000 + 17, 1000),
            ("car", "ego_vehicle"),
        )
        for split in ("train", "val")
    ),
    "coco_panoptic": (
        Layout(
            "train",
            "000000000009",
            "train2017/000000000009.jpg",
            "annotations/panoptic_train2017/000000000009.png",
            "coco",
            (1, 2),
            ("person", "bicycle"),
        ),
        Layout(
            "val",
            "000000000139",
            "images/val2017/000000000139.jpg",
            "annotations/panoptic_val2017/000000000139.png",
            "coco",
            (3, 1),
            ("car", "person"),
        ),
    ),
    "wilddash2": (
        Layout(
            "all",
            "au0000_00000",
            "images/au0000_00000.jpg",
            "panoptic/au0000_00000.png",
            "wilddash",
            (7, 23),
            ROAD_SKY,
        ),
    ),
    "acdc": (
        _acdc("train", "fog", "GOPR0475_frame_000041"),
        _acdc("val", "night", "GOPR0356_frame_000321"),
        _acdc("test", "snow", "GP010376_frame_000077"),
    ),
    "gta5": (
        Layout(
            "all",
            "00001",
            "images/00001.png",
            "labels/00001.png",
            "palette",
            (7, 34),
            ("road", "license plate"),
        ),
    ),
    "synthia": (
        Layout("all", "0000000", "RGB/0000000.png", "GT/LABELS/0000000.png", "red16", (3, 1), ROAD_SKY),
    ),
    "camvid32": tuple(
        Layout(split, frame, f"701_StillsRaw_full/{frame}.png", f"{folder}/{frame}_L.png", **CAMVID)
        for folder, split, frame in (
            ("LabeledApproved_full", "train", "0001TP_008520"),
            ("LabeledApproved_full", "train", "0016E5_00901"),
            ("LabeledApproved_full", "val", "0016E5_08159"),
            ("LabeledApproved_full", "test", "0001TP_008550"),
            ("LabeledApproved_full", "test", "Seq05VD_f00000"),
        )
    ),
    "road_lane_segmentation": tuple(
        Layout(
            split,
            split[0],
            f"{split}/images/{split[0]}.jpg",
            f"{split}/masks/{split[0]}.png",
            "rgb",
            ((128, 0, 0), (0, 128, 0)),
            ("road", "lane_mark_solid"),
        )
        for split in ("train", "val")
    ),
    **OFFROAD_LAYOUTS,
}
