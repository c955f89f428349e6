"""The appearance of a drawn world: colours, light, lens and how often things occur.

Two looks share one geometry, so that two drawn worlds differ as two real data sets of roads do: by the season
and the hour, by the camera and by where the vehicle drove. `DAY` is a green suburb at noon; `DUSK` is an
autumn evening in haze, seen from a higher camera behind a bonnet.
"""

from __future__ import annotations

from dataclasses import dataclass

from .road_canvas import Colour


@dataclass(frozen=True)
class Look:
    """One world's appearance.

    Colours are RGB, 0 to 255, and lengths metres. `light` scales the channels, `noise` is in grey levels and
    `blur` in pixels (standard deviations). `built` is the share of lots that have a house, `fenced` the share
    of the others that have a fence; `cars`, `trucks`, `people` and `riders` are means per scene.
    """

    sky: tuple[Colour, Colour]
    cloud: Colour
    walls: tuple[Colour, ...]
    windows: tuple[Colour, ...]
    leaves: tuple[Colour, ...]
    trunk: Colour
    grass: Colour
    asphalt: Colour
    pavement: Colour
    fences: tuple[Colour, ...]
    poles: tuple[Colour, ...]
    signs: tuple[Colour, ...]
    paints: tuple[Colour, ...]
    clothes: tuple[Colour, ...]
    haze: Colour
    visibility: float
    shadow: float
    light: Colour
    contrast: float
    noise: float
    blur: float
    eye: float
    bonnet: bool
    built: float
    fenced: float
    cars: float
    trucks: float
    people: float
    riders: float


DAY = Look(
    sky=((84, 142, 212), (186, 214, 236)),
    cloud=(240, 244, 248),
    walls=((188, 104, 82), (214, 190, 152), (176, 172, 166), (226, 214, 198)),
    windows=((70, 92, 118), (52, 66, 84), (120, 148, 172)),
    leaves=((62, 118, 50), (84, 138, 58), (46, 98, 56)),
    trunk=(88, 66, 48),
    grass=(112, 158, 72),
    asphalt=(92, 94, 100),
    pavement=(168, 164, 160),
    fences=((150, 112, 74), (206, 204, 198), (122, 88, 62)),
    poles=((110, 116, 120), (84, 88, 92)),
    signs=((200, 34, 40), (30, 84, 180), (236, 190, 30)),
    paints=((178, 32, 38), (38, 70, 142), (226, 226, 226), (58, 60, 66), (150, 156, 160)),
    clothes=((190, 60, 60), (50, 80, 150), (230, 180, 60), (60, 130, 90), (50, 50, 60)),
    haze=(196, 214, 230),
    visibility=260.0,
    shadow=0.42,
    light=(1.0, 1.0, 0.98),
    contrast=1.0,
    noise=3.5,
    blur=0.35,
    eye=1.35,
    bonnet=False,
    built=0.42,
    fenced=0.65,
    cars=3.2,
    trucks=0.9,
    people=5.0,
    riders=2.4,
)

DUSK = Look(
    sky=((106, 134, 190), (230, 206, 184)),
    cloud=(226, 186, 176),
    walls=((120, 122, 138), (150, 134, 128), (98, 104, 112), (172, 160, 150)),
    windows=((244, 204, 118), (58, 60, 78), (70, 70, 86)),
    leaves=((176, 112, 46), (128, 122, 54), (80, 108, 56), (150, 88, 48), (68, 96, 58)),
    trunk=(62, 50, 46),
    grass=(130, 140, 80),
    asphalt=(112, 106, 108),
    pavement=(146, 124, 116),
    fences=((104, 92, 88), (142, 136, 134), (86, 92, 84)),
    poles=((78, 76, 82), (122, 116, 112)),
    signs=((176, 42, 48), (44, 78, 150), (208, 164, 60)),
    paints=((120, 40, 46), (64, 84, 110), (188, 182, 178), (52, 52, 60), (88, 104, 84)),
    clothes=((120, 66, 70), (62, 72, 104), (160, 134, 92), (72, 92, 80), (52, 48, 56)),
    haze=(224, 182, 156),
    visibility=120.0,
    shadow=0.25,
    light=(1.03, 0.95, 0.88),
    contrast=0.9,
    noise=5.0,
    blur=0.6,
    eye=1.75,
    bonnet=True,
    built=0.5,
    fenced=0.5,
    cars=2.6,
    trucks=1.6,
    people=6.0,
    riders=2.8,
)
