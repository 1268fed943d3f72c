"""Sensor widths of common cameras, in millimetres: the longer side of the area that a full-size photo uses.

From the makers' published specifications. Keys are the EXIF model, lower case, as the camera writes it.
"""

from __future__ import annotations

_FULL_FRAME, _APS_C, _APS_C_CANON, _FOUR_THIRDS, _ONE_INCH = 36.0, 23.5, 22.3, 17.3, 13.2
_ONE_2_3, _ONE_1_7 = 6.17, 7.6  # types 1/2.3" and 1/1.7"

SENSOR_WIDTH_MM: dict[str, float] = {
    # DJI (the EXIF model is the camera's)
    "fc200": _ONE_2_3,  # Phantom 2 Vision
    "fc220": _ONE_2_3,  # Mavic Pro
    "fc230": _ONE_2_3,  # Mavic Air
    "fc2103": _ONE_2_3,  # Mavic Air
    "fc300c": _ONE_2_3,  # Phantom 3 Standard
    "fc300s": _ONE_2_3,  # Phantom 3 Professional
    "fc300x": _ONE_2_3,  # Phantom 3 Advanced
    "fc300xw": _ONE_2_3,
    "fc330": _ONE_2_3,  # Phantom 4
    "fc350": _ONE_2_3,  # Inspire 1, Zenmuse X3
    "fc350z": _ONE_2_3,  # Zenmuse Z3
    "fc550": _FOUR_THIRDS,  # Zenmuse X5
    "fc550raw": _FOUR_THIRDS,
    "fc6310": _ONE_INCH,  # Phantom 4 Pro
    "fc6310s": _ONE_INCH,
    "fc6310r": _ONE_INCH,  # Phantom 4 RTK
    "fc6360": 4.87,  # Phantom 4 Multispectral
    "fc6510": _ONE_INCH,  # Zenmuse X4S
    "fc6520": _FOUR_THIRDS,  # Zenmuse X5S
    "fc6540": _APS_C,  # Zenmuse X7
    "fc7203": _ONE_2_3,  # Mavic Mini
    "fc7303": _ONE_2_3,  # Mini 2
    "fc2204": _ONE_2_3,  # Mavic 2 Zoom
    "fc3170": 6.4,  # Air 2, 1/2"
    "fc3411": _ONE_INCH,  # Air 2S
    "fc3582": 9.6,  # Mini 3 Pro, 1/1.3"
    "fc3682": 9.6,  # Mini 3
    "fc8482": 9.6,  # Mini 4 Pro
    "fc8282": 9.6,  # Air 3
    "fc4170": 17.3,  # Mavic 3, main camera
    "l1d-20c": _ONE_INCH,  # Mavic 2 Pro
    "l2d-20c": _FOUR_THIRDS,  # Mavic 3
    "m3e": _FOUR_THIRDS,  # Mavic 3 Enterprise
    "m3m": _FOUR_THIRDS,  # Mavic 3 Multispectral, colour camera
    "m3t": 6.4,  # Mavic 3 Thermal, wide camera, 1/2"
    "zenmusep1": 35.9,
    "zh20": 6.17,
    "zh20t": 6.17,
    # Other drones
    "anafi": 5.92,  # Parrot Anafi, 1/2.4"
    "bebop drone": 6.17,
    "sequoia": 4.8,
    "evo": _ONE_2_3,  # Autel
    "xt701": 6.4,  # Autel Evo II
    "xt705": _ONE_INCH,  # Autel Evo II Pro
    "rededge": 4.8,
    "rededge-m": 4.8,
    "rededge-p": 8.5,
    "altum": 7.12,
    "canon powershot s110": 7.44,
    "dsc-wx220": _ONE_2_3,
    # GoPro (photos in the wide field of view use the whole sensor)
    "hero3": _ONE_2_3,
    "hero3+ black edition": _ONE_2_3,
    "hero3-black edition": _ONE_2_3,
    "hero4 black": _ONE_2_3,
    "hero4 silver": _ONE_2_3,
    "hero4 session": _ONE_2_3,
    "hero5 black": _ONE_2_3,
    "hero5 session": _ONE_2_3,
    "hero6 black": _ONE_2_3,
    "hero7 black": _ONE_2_3,
    "hero8 black": _ONE_2_3,
    "hero9 black": 6.4,  # 1/1.9" class from here on, full width
    "hero10 black": 6.4,
    "hero11 black": 6.4,
    "hero12 black": 6.4,
    "hero13 black": 6.4,
    # Phones, main camera
    "iphone 4": 4.54,
    "iphone 4s": 4.54,
    "iphone 5": 4.54,
    "iphone 5c": 4.54,
    "iphone 5s": 4.89,
    "iphone 6": 4.89,
    "iphone 6 plus": 4.89,
    "iphone 6s": 4.89,
    "iphone 6s plus": 4.89,
    "iphone se": 4.89,
    "iphone 7": 4.89,
    "iphone 7 plus": 4.89,
    "iphone 8": 4.89,
    "iphone 8 plus": 4.89,
    "iphone x": 4.89,
    "iphone xr": 5.64,
    "iphone xs": 5.64,
    "iphone xs max": 5.64,
    "iphone 11": 5.64,
    "iphone 11 pro": 5.64,
    "iphone 12": 5.64,
    "nexus 5": 4.54,
    "nexus 5x": 6.2,
    "nexus 6p": 6.2,
    "pixel": 6.2,
    "pixel xl": 6.2,
    "pixel 2": 5.64,
    "pixel 2 xl": 5.64,
    "pixel 3": 5.64,
    "pixel 3a": 5.64,
    "pixel 4": 5.64,
    "pixel 4a": 5.64,
    "pixel 5": 5.64,
    "pixel 6": 9.8,  # 1/1.31"
    "pixel 6 pro": 9.8,
    "pixel 7": 9.8,
    "pixel 7 pro": 9.8,
    "pixel 8": 9.8,
    "pixel 8 pro": 9.8,
    "sm-g900f": 5.95,
    "sm-g920f": 5.95,
    "sm-g930f": 5.64,
    "sm-g935f": 5.64,
    "sm-g950f": 5.64,
    "sm-g955f": 5.64,
    "sm-g960f": 5.64,
    "sm-g973f": 5.64,
    # Single-lens reflex and mirrorless cameras
    "canon eos 5d": 35.8,
    "canon eos 5d mark ii": _FULL_FRAME,
    "canon eos 5d mark iii": _FULL_FRAME,
    "canon eos 5d mark iv": _FULL_FRAME,
    "canon eos 5ds": _FULL_FRAME,
    "canon eos 5ds r": _FULL_FRAME,
    "canon eos 6d": 35.8,
    "canon eos 6d mark ii": 35.9,
    "canon eos r": _FULL_FRAME,
    "canon eos r5": _FULL_FRAME,
    "canon eos r6": 35.9,
    "canon eos rp": 35.9,
    "canon eos 7d": _APS_C_CANON,
    "canon eos 7d mark ii": 22.4,
    "canon eos 40d": 22.2,
    "canon eos 50d": _APS_C_CANON,
    "canon eos 60d": _APS_C_CANON,
    "canon eos 70d": 22.5,
    "canon eos 80d": 22.5,
    "canon eos 90d": 22.3,
    "canon eos 400d digital": 22.2,
    "canon eos 450d": 22.2,
    "canon eos 500d": _APS_C_CANON,
    "canon eos 550d": _APS_C_CANON,
    "canon eos 600d": _APS_C_CANON,
    "canon eos 650d": _APS_C_CANON,
    "canon eos 700d": _APS_C_CANON,
    "canon eos 750d": _APS_C_CANON,
    "canon eos 800d": _APS_C_CANON,
    "canon eos m": _APS_C_CANON,
    "canon eos m50": _APS_C_CANON,
    "nikon d3": _FULL_FRAME,
    "nikon d600": 35.9,
    "nikon d610": 35.9,
    "nikon d700": _FULL_FRAME,
    "nikon d750": 35.9,
    "nikon d780": 35.9,
    "nikon d800": 35.9,
    "nikon d800e": 35.9,
    "nikon d810": 35.9,
    "nikon d850": 35.9,
    "nikon z 5": 35.9,
    "nikon z 6": 35.9,
    "nikon z 6_2": 35.9,
    "nikon z 7": 35.9,
    "nikon z 7_2": 35.9,
    "nikon z 50": 23.5,
    "nikon d70": 23.7,
    "nikon d80": 23.6,
    "nikon d90": 23.6,
    "nikon d200": 23.6,
    "nikon d300": 23.6,
    "nikon d3100": 23.1,
    "nikon d3200": 23.2,
    "nikon d3300": 23.5,
    "nikon d5100": 23.6,
    "nikon d5200": 23.5,
    "nikon d5300": 23.5,
    "nikon d5500": 23.5,
    "nikon d7000": 23.6,
    "nikon d7100": 23.5,
    "nikon d7200": 23.5,
    "nikon d7500": 23.5,
    "nikon d500": 23.5,
    "ilce-5000": 23.2,
    "ilce-5100": _APS_C,
    "ilce-6000": _APS_C,
    "ilce-6100": _APS_C,
    "ilce-6300": _APS_C,
    "ilce-6400": _APS_C,
    "ilce-6500": _APS_C,
    "ilce-6600": _APS_C,
    "ilce-qx1": 23.2,
    "nex-5": 23.4,
    "nex-5n": 23.4,
    "nex-5r": 23.4,
    "nex-5t": 23.4,
    "nex-6": _APS_C,
    "nex-7": _APS_C,
    "ilce-7": 35.8,
    "ilce-7m2": 35.8,
    "ilce-7m3": 35.6,
    "ilce-7m4": 35.9,
    "ilce-7r": 35.9,
    "ilce-7rm2": 35.9,
    "ilce-7rm3": 35.9,
    "ilce-7rm4": 35.7,
    "ilce-7s": 35.6,
    "ilce-7sm2": 35.6,
    "dsc-rx1": 35.8,
    "dsc-rx1rm2": 35.9,
    "dsc-rx100": _ONE_INCH,
    "dsc-rx100m2": _ONE_INCH,
    "dsc-rx100m3": _ONE_INCH,
    "dsc-rx100m4": _ONE_INCH,
    "dsc-rx100m5": _ONE_INCH,
    "dsc-rx100m6": _ONE_INCH,
    "dsc-rx100m7": _ONE_INCH,
    "dsc-rx0": _ONE_INCH,
    "x-t1": 23.6,
    "x-t2": 23.6,
    "x-t3": 23.5,
    "x-t4": 23.5,
    "x-t10": 23.6,
    "x-t20": 23.6,
    "x-t30": 23.5,
    "x-e2": 23.6,
    "x100": 23.6,
    "x100s": 23.6,
    "x100t": 23.6,
    "x100f": 23.6,
    "x100v": 23.5,
    "gfx100": 43.8,
    "gfx 50s": 43.8,
    "gfx 50r": 43.8,
    "gfx100s": 43.8,
    "ricoh gr": 23.7,
    "gr": 23.7,
    "gr ii": 23.7,
    "ricoh gr iii": 23.5,
    "pentax k-5": 23.7,
    "pentax k-3": 23.5,
    "pentax k-1": 35.9,
    "e-m1": _FOUR_THIRDS,
    "e-m1markii": 17.4,
    "e-m5": _FOUR_THIRDS,
    "e-m5markii": _FOUR_THIRDS,
    "e-m10": _FOUR_THIRDS,
    "e-m10markii": _FOUR_THIRDS,
    "e-pl5": _FOUR_THIRDS,
    "dmc-gh3": _FOUR_THIRDS,
    "dmc-gh4": _FOUR_THIRDS,
    "dc-gh5": _FOUR_THIRDS,
    "dmc-gx7": _FOUR_THIRDS,
    "dmc-gm1": _FOUR_THIRDS,
    "dmc-lx100": _FOUR_THIRDS,
    # Compact cameras
    "tg-4": _ONE_2_3,
    "tg-5": _ONE_2_3,
    "tg-6": _ONE_2_3,
    "canon powershot s90": _ONE_1_7,
    "canon powershot s95": _ONE_1_7,
    "canon powershot s100": 7.44,
    "canon powershot g10": _ONE_1_7,
    "canon powershot g12": _ONE_1_7,
    "canon powershot g15": 7.44,
    "canon powershot g7 x": _ONE_INCH,
    "canon powershot g7 x mark ii": _ONE_INCH,
    "canon powershot g9 x": _ONE_INCH,
    "canon powershot sx260 hs": _ONE_2_3,
    "canon powershot elph 110 hs": _ONE_2_3,
    "canon powershot elph 320 hs": _ONE_2_3,
    "canon ixus 125 hs": _ONE_2_3,
    "canon ixus 127 hs": _ONE_2_3,
}


def sensor_width_mm(make: str, model: str) -> float | None:
    """Sensor width of a camera, millimetres, by its EXIF `make` and `model`; None where the table lacks it."""
    name = " ".join(model.lower().split())
    maker = make.lower().split()[0] if make.split() else ""
    for key in (name, f"{maker} {name}", name.removeprefix(maker).strip()):
        if key in SENSOR_WIDTH_MM:
            return SENSOR_WIDTH_MM[key]
    return None
