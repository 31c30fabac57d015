"""What the catalogue's models are good for: roles like "sofa" or "clutter", and their stand-ins made by hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from .catalogue import CatalogueItem, furniture_available, load_catalogue
from .model import Material, Model, placement_matrix, transformed
from .models import load_model, triangle_count
from .plants import broadleaf, shrub
from .shapes import box, cylinder, one_material, sphere

MOST_TRIANGLES = 14000
MOST_TREE_BYTES = 4_200_000
"""Trees with more leaves than this lose too many when thinned."""

ROLES: dict[str, str] = {
    "sofa": r"Living room:(Sofa.*|Couch|Clear sofa|Burlap sofa|Futon couch|Winchester sofa|Corner sofa)$|Bedroom:(Day bed)$",
    "armchair": r"Living room:(Armchair|Modern armchair|Winchester armchair|Puff|Armchair ottoman)$",
    "chair": r"Living room:(Chair|Oak chair|Chair with cushion|Osaka chair|Plastic chair|Folding chair|Stool)$",
    "bar_stool": r"Living room:Bar stool$|Kitchen:(Bar chair|Stool)$",
    "dining_table": r"Living room:(Table|Oak table|Black table|Glass table|Round table|Table with tablecloth|Folding table)$"
    r"|Office:(Wooden .*table|Desk table)$",
    "coffee_table": r"Living room:Coffee table$",
    "side_table": r"Living room:(Stool)$|Bedroom:Bedside table$|Living room:Table$",
    "bed": r"Bedroom:(Bed|Iron bed|Captain's bed|Child bed|Futon|Hospital bed)$",
    "nightstand": r"Bedroom:Bedside table$",
    "wardrobe": r"Bedroom:(Wardrobe|Cupboard|Chest|Shelves|Dressing table|Clothes rack)$|Living room:Dresser with drawers$",
    "bookcase": r"Living room:(Bookcase|Full bookcase|Shelves|Vertical shelves|Box)$|Office:(Bookcase|Box)$",
    "tv_stand": r"Living room:(TV stand|Television cabinet|Contemporary living room)$",
    "tv": r"Living room:(TV|TV 16:9)$",
    "piano": r"Living room:(Grand piano|Upright piano)$",
    "fireplace": r"Living room:Fireplace$",
    "rug": r"Living room:(Oriental rug|Round carpet)$",
    "desk": r"Office:(Desk|Wooden desk|Desk table|Technical table)$",
    "office_chair": r"Office:(Chair|Armchair|Class seat)$",
    "cabinet": r"Office:(Filing cabinet|Safe)$|Miscellaneous:Locked locker$",
    "plant": r"Living room:(Decorative plant|Ficus|Plant|Yucca|Indoor plant|Spathiphyllum)$",
    "small_plant": r"Living room:(Little plant|Bonsai tree|Cactus|Flowers|Orchids|Succulent plant|Tulips|White lily|Bamboo|"
    r"Spider plant)$|Miscellaneous:Vase$",
    "fridge": r"Kitchen:(Fridge|Large fridge|Refrigerator|High cabinet)$",
    "stove": r"Kitchen:(Large stove|Propane stove|Double oven|Oven)$|Kitchen:(Washing machine|Clothes washing machine|Dryer machine)$",
    "sink": r"Kitchen:(Sink|Sink cabinet)$",
    "hood": r"Kitchen:(Range hood)$",
    "kitchen_clutter": r"Kitchen:(Apples|Blender|Boiler|Bowl.*|Bread|Bread box|Coffee (brewer|machine|maker|mug|press)|Cooker|"
    r"Cutting.*|Chopping board|Deep fryer|Electronic scale|Espresso kettle|Kitchen (scale|tools)|Knife stand|Microwave|Milk|Mixer|"
    r"Oil servers|Old jar|Paper towel holder|Sandwich maker|Spice tower|Squeezer|Teapot|Toaster|Utensils pot|Wine bottle|"
    r"Yogurt bottle|Small oven|Pottery|Beer bottle|Stone grill device|Stove)$",
    "tableware": r"Kitchen:(Beer (bottle|glass)|Birthday cake|Bowl.*|Coffee (cup|mug)|Creamer|Cup|Cup cake|French fries|Glass|Hamburger|"
    r"Milk|Oval plate|Plastic cup|Plate.*|Roasted chicken|Salt shaker|Steak|Sugar|Sushi tray|Teapot|Wine bottle|Tray|Hot dog|"
    r"Cocktail glass|Apples)$",
    "desk_clutter": r"Office:(Apple.*|Calendar|Inkjet.*|Laptop|Letter tray|Penbox|Phone|Stapler)$|Miscellaneous:(Book|Headphones|"
    r"MP3.*|Mini stereo|Radio|Reflex camera|Tablet|Glasses|Newspaper|Apple iPhone)$|Living room:(Keyboard|Wireless phone)$",
    "shelf_clutter": r"Miscellaneous:(Vase|Book|Radio|Gift|Speaker|Table fan|Rigged fan|Reflex camera|Frame.*)$|Bedroom:(Teddy bear|"
    r"Doll|Biplane|Car model|Clock|Toy train|Rubik's cube|Wood toy|Hat|Helmet)$|Living room:(Little plant|Cactus|Succulent plant)$|"
    r"Lights:(Candle|Japanese lantern)$",
    "floor_clutter": r"Miscellaneous:(Backpack|Cardboard box|Open cardboard box|Crate|Gift|Trunck|Suitcase|Basketball|Soccer ball|"
    r"Recycling bin|Table fan|Speaker|Extinguisher)$|Bedroom:(Teddy bear|Slippers|Sneakers|Briefcase|Handbag|Doll house|Rocking horse|"
    r"Woman shoes)$|Office:Dustbin$|Kitchen:(Bullet trash can|Shopping basket|Baby high chair)$|Bathroom:Clothes basket$|"
    r"Living room:(Electric guitar|Children chair|Children table|Child chair)$",
    "table_lamp": r"Lights:(Lamp|Little lamp|Desk lamp|Pedestal vase lamp)$",
    "ceiling_lamp": r"Lights:(Ceiling lamp|Hanging light|Chandelier lamp|Fluorescent light|Pendant lamp)$|Miscellaneous:Ceiling fan$",
    "wall_lamp": r"Lights:(Wall light)$",
    "toilet": r"Bathroom:(Toilets unit|Bidet)$",
    "washbasin": r"Bathroom:(Washbasin|Vanity|Small lavatory|Double vanity)$",
    "bath": r"Bathroom:(Bath|Corner bathtub|Island bath|Shower stall)$",
    "bath_wall": r"Bathroom:(Towel rack|Radiator)$",
    "bath_clutter": r"Bathroom:(Bottle|Brush|Cosmetics pot|Flacon|Medicine bottle|Soap|Sponge|Towel|Toilet brush)$",
    "bath_floor": r"Bathroom:(Clothes basket|Potty|Toilet brush)$|Kitchen:Clothes washing machine$",
    "radiator": r"Miscellaneous:Radiator$",
    "door": r"Doors and windows:(Door|Double door|Exterior door|Glass door|Double door with panes)$",
    "clock": r"Miscellaneous:Cuckoo clock$|Living room:Wall flat TV$",
    "person": r"Characters:(Boy|Female|Girl|Male|Holding female|Holding male|Mannequin.*)$",
    "sitting_person": r"Characters:Sitting.*$",
    "animal": r"Characters:(Bulldog|Cat|Chicken|Dog|Rabbit|Siamese cat)$",
    "large_animal": r"Characters:Horse$",
    "gym": r"Miscellaneous:(Abdominal bench|Indoor bike|Treadmill|Punching ball|Pool table|Table tennis|Football table|Flipper|"
    r"Workbench|Wheelchair)$",
    "car": r"Vehicles:(Chevrolet|Concept.*|Ford Focus|Peugeot.*|Renault.*|SUV|Seat Leon|Smart car|VW new beetle|Van)$",
    "truck": r"Vehicles:(Bus|City bus|Truck)$",
    "cycle": r"Vehicles:(Bicycle|Bike|Scooter|Yamaha.*|Tricycle|Stroller)$|Exterior:Motorbike$",
    "tree": r"Exterior:(Acacia|Bamboo|Bended.*|Coconut tree|Copper beech|Cypress|Ficus|Japanese maple|Palm tree|Peach blossom|Pine|"
    r"Sycamore maple|Blue pine.*|Pine under snow)$",
    "bush": r"Exterior:(Bush|Hedge|High hedge|Plant box|Flower box)$",
    "street": r"Exterior:(Bench|Fire hydrant|Mailbox|Park trashcan|Residential trashcan|Concrete bench|Painted bench|Wood bank|"
    r"Flower box|Little bank|Pedestrian railing)$|Miscellaneous:(Cone|Barrel|Pallet|Crate)$",
    "street_lamp": r"Lights:(Street lamp|Street light|Classic lamppost|Park light)$",
    "garden": r"Exterior:(Beach chair|Cafe chair|Cafe table|Camping tent|Chair|Child hut|Child swing|Deck chair|Dog house|Fountain|"
    r"Garden hut|Hammock|Pool lounge|Rattan.*|Rock|Rowboat|Sandpit|Seesaw|Snowman|Stone lantern|Table|Teck chair|Trampoline|"
    r"Umbrella|Wheelbarrow|Relax chair|Barnum|Football goal|Jacuzzi|Round swimming pool)$|Miscellaneous:(Fence|Mower|Wood logs)$",
    "rock": r"Exterior:Rock$",
    "ball": r"Miscellaneous:(Basketball|Soccer ball)$",
    "cart": r"Vehicles:(Stroller|Tricycle|Skateboard)$|Exterior:Wheelbarrow$|Kitchen:Shopping basket$",
    "container": r"Miscellaneous:(Shipping container)$",
}  # fmt: skip
"""Role -> pattern over ``category:name``."""


@dataclass(frozen=True)
class Piece:
    """A model ready to be placed, and what the layout needs to know about it."""

    model: Model
    name: str
    role: str
    key: str | None = None
    """Catalogue key; None for a shape of our own."""
    elevation: float = 0.0
    top: float | None = None
    """Height on which things can stand."""
    light: tuple[float, float, float] | None = None


@cache
def candidates(role: str) -> tuple[CatalogueItem, ...]:
    """Catalogue items that can play a role; empty when the catalogue is not installed."""
    if not furniture_available():
        return ()
    pattern = re.compile(ROLES[role])
    found = [i for i in load_catalogue() if pattern.match(f"{i.category}:{i.name}")]
    if role == "dining_table":
        found = [i for i in found if i.size[2] > 0.68 and min(i.size[:2]) > 0.6]
    if role == "side_table":
        found = [i for i in found if i.size[2] < 0.66]
    limit = MOST_TREE_BYTES if role == "tree" else 10**9
    return tuple(i for i in found if i.obj_bytes <= limit and triangle_count(i) <= MOST_TRIANGLES)


def pick(role: str, rng: np.random.Generator, *, largest: float | None = None) -> Piece:
    """A random piece for a role.

    Args:
        role: a key of `ROLES`.
        rng: decides.
        largest: metres that its footprint may measure at most, if something that small exists.
    """
    if role == "tree" and rng.random() < 0.6:
        return Piece(broadleaf(rng), "tree", role)
    if role == "bush" and rng.random() < 0.5:
        return Piece(shrub(rng), "bush", role)
    items = candidates(role)
    fitting = [i for i in items if largest is None or max(i.size[:2]) <= largest] or list(items)
    if not fitting:
        return _stand_in(role, rng)
    item = fitting[rng.integers(len(fitting))]
    return Piece(load_model(item), item.name, role, item.key, item.elevation, item.top, item.light_color)


def _matt(rng: np.random.Generator) -> Material:
    color = tuple(float(c) for c in rng.uniform(0.05, 0.7, 3))
    return Material(color, texture="proc:fabric_grey:0", metres_per_tile=0.5)  # pyright: ignore[reportArgumentType]


def _legs(width: float, depth: float, height: float, rng: np.random.Generator) -> Model:
    material, t = _matt(rng), 0.05
    parts = [box((-width / 2, -depth / 2, height - t), (width / 2, depth / 2, height), material)]
    for sx in (-1, 1):
        for sy in (-1, 1):
            x, y = sx * (width / 2 - t), sy * (depth / 2 - t)
            parts.append(box((x - t / 2, y - t / 2, 0), (x + t / 2, y + t / 2, height - t), material))
    return one_material(parts)


def _table(rng: np.random.Generator) -> tuple[Model, float]:
    height = rng.uniform(0.4, 0.78)
    return _legs(rng.uniform(0.5, 1.6), rng.uniform(0.45, 0.9), height, rng), height


def _seat(rng: np.random.Generator) -> tuple[Model, float]:
    width, material = rng.uniform(0.42, 0.5), _matt(rng)
    legs = _legs(width, width, 0.45, rng)
    return one_material(
        [legs, box((-width / 2, width / 2 - 0.05, 0.45), (width / 2, width / 2, 0.9), material)]
    ), 0.45


def _couch(rng: np.random.Generator) -> tuple[Model, float]:
    w, m = rng.uniform(1.2, 2.2) / 2, _matt(rng)
    parts = [
        box((-w, -0.4, 0.05), (w, 0.4, 0.42), m),
        box((-w, 0.2, 0.42), (w, 0.4, 0.85), m),
        box((-w, -0.4, 0.42), (-w + 0.2, 0.2, 0.6), m),
        box((w - 0.2, -0.4, 0.42), (w, 0.2, 0.6), m),
    ]
    return one_material(parts), 0.42


def _cupboard(rng: np.random.Generator) -> tuple[Model, float]:
    w, d, h, m = rng.uniform(0.3, 0.9), rng.uniform(0.18, 0.35), rng.uniform(0.8, 2.1), _matt(rng)
    return box((-w, -d, 0), (w, d, h), m), h


def _small(rng: np.random.Generator) -> tuple[Model, None]:
    r, m = rng.uniform(0.04, 0.12), _matt(rng)
    kind = rng.integers(3)
    if kind == 0:
        return sphere(r, m), None
    if kind == 1:
        return cylinder(r, rng.uniform(1, 3) * r, m), None
    return box((-r, -r * 0.7, 0), (r, r * 0.7, r), m), None


def _tree(rng: np.random.Generator) -> tuple[Model, None]:
    return broadleaf(rng), None


def _figure(rng: np.random.Generator) -> tuple[Model, None]:
    head = transformed(sphere(0.12, Material((0.5, 0.33, 0.25))), placement_matrix(0, 0, 1.45))
    return one_material([cylinder(0.2, 1.45, _matt(rng)), head]), None


def _vehicle(rng: np.random.Generator) -> tuple[Model, None]:
    m = _matt(rng)
    body = box((-0.85, -2.1, 0.35), (0.85, 2.1, 0.9), m)
    return one_material(
        [body, box((-0.75, -1.0, 0.9), (0.75, 1.4, 1.4), m), box((-0.8, -1.6, 0), (0.8, 1.6, 0.35), m)]
    ), None


_STAND_INS: dict[str, Callable[[np.random.Generator], tuple[Model, float | None]]] = {
    "sofa": _couch, "bed": _couch, "bath": _couch, "armchair": _seat, "chair": _seat, "office_chair": _seat, "bar_stool": _seat,
    "dining_table": _table, "coffee_table": _table, "side_table": _table, "desk": _table, "nightstand": _table,
    "wardrobe": _cupboard, "bookcase": _cupboard, "fridge": _cupboard, "stove": _cupboard, "tv_stand": _table,
    "tree": _tree, "plant": _tree, "person": _figure, "car": _vehicle, "truck": _vehicle,
}  # fmt: skip


def _stand_in(role: str, rng: np.random.Generator) -> Piece:
    """A shape of our own where the catalogue is not installed."""
    model, top = _STAND_INS.get(role, _small)(rng)
    if role == "plant":
        model = transformed(model, np.diag([0.2, 0.2, 0.2, 1.0]))
    return Piece(model, role.replace("_", " "), role, top=top)
