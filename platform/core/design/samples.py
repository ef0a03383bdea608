"""What the /design page shows its components with."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from core.design.brands import BRANDS
from core.design.drawings import DRAWINGS
from core.flash import Flash

BUTTON_KINDS = ("", "quiet", "plain", "danger")
BADGES = (("", "Retiro"), ("good", "Pagado"), ("warn", "Sin pagar"), ("bad", "Demorado"), ("info", "Mesa 4"), ("brand", "Vegano"))
HOURS = [("8", 12), ("9", 31), ("10", 44), ("11", 38), ("12", 27), ("13", 35), ("14", 22), ("15", 18), ("16", 29), ("17", 33)]
ARTICLES = [("Café con leche", 214), ("Medialuna", 180), ("Tostado de jamón y queso", 96), ("Limonada", 41)]


def design_samples() -> dict[str, Any]:
    return {
        "brands": BRANDS.values(),
        "drawings": DRAWINGS,
        "button_kinds": BUTTON_KINDS,
        "badges": BADGES,
        "hours": [(hour, count, f"{count} pedidos") for hour, count in HOURS],
        "articles": [(name, count, str(count)) for name, count in ARTICLES],
        "products": _products(),
        "steps": _steps(),
        "toasts": [
            Flash(text="Agregado al pedido.", kind="good"),
            Flash(text="No hay conexión.", kind="bad"),
            Flash(text="Guardado.", kind="info"),
        ],
        "moments": [("takeaway", "Para llevar"), ("table", "En la mesa")],
        "table_head": ["Producto", "Cantidad", "Total"],
        "rows": [["Café con leche", "214", "$ 749.000"], ["Medialuna", "180", "$ 216.000"]],
        "icons": ICONS,
        "price": Decimal(3500),
        "since": datetime.now(UTC) - timedelta(minutes=7),
    }


SPRITE = Path(__file__).resolve().parents[1] / "static" / "core" / "sprite.svg"
ICONS = re.findall(r'<symbol id="(?!draw-)([a-z-]+)"', SPRITE.read_text())


def _products() -> list[dict[str, Any]]:
    rows = [
        ("Café con leche", "Doble de café de Huila con leche entera o de almendras.", "3500", "Cafetería", ["Sin azúcar"], False),
        ("Medialuna de manteca", "Horneada cada mañana, con almíbar apenas tibio.", "1200", "Panadería", [], False),
        ("Torta de naranja", "", "4800.50", "Tortas", ["Vegano", "Sin gluten"], True),
        ("Tostado", "Jamón cocido natural y queso, en pan de miga, con papas de la casa y limonada.", "7900", "Tostados", [], False),
    ]
    keys = ("name", "words", "price", "category", "tags", "sold_out")
    return [dict(zip(keys, row, strict=True)) for row in rows]


def _steps() -> list[tuple[str, str, datetime | None]]:
    start = datetime(2025, 11, 24, 17, 2, tzinfo=UTC)
    return [
        ("done", "Recibido", start),
        ("done", "Confirmado", start + timedelta(minutes=1)),
        ("now", "En preparación", start + timedelta(minutes=2)),
        ("next", "Listo", None),
    ]
