"""Where a cafeteria can be: a place that people know stands for a time zone and a currency."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Where:
    city: str  # as its people write it
    timezone: str
    currency: str


COUNTRIES: dict[str, list[Where]] = {
    "Argentina": [
        Where(city=city, timezone=f"America/Argentina/{zone}", currency="ARS")
        for city, zone in (
            ("Buenos Aires", "Buenos_Aires"),
            ("Córdoba, Rosario", "Cordoba"),
            ("Mendoza", "Mendoza"),
            ("Salta", "Salta"),
            ("Tucumán", "Tucuman"),
            ("Ushuaia", "Ushuaia"),
        )
    ],
    "Brasil": [
        Where(city=city, timezone=f"America/{zone}", currency="BRL")
        for city, zone in (
            ("São Paulo, Rio de Janeiro", "Sao_Paulo"),
            ("Fortaleza", "Fortaleza"),
            ("Recife", "Recife"),
            ("Salvador", "Bahia"),
            ("Manaus", "Manaus"),
        )
    ],
    "Chile": [
        Where(city="Santiago, Valparaíso", timezone="America/Santiago", currency="CLP"),
        Where(city="Punta Arenas", timezone="America/Punta_Arenas", currency="CLP"),
    ],
    "Colombia": [Where(city="Bogotá, Medellín, Cali", timezone="America/Bogota", currency="COP")],
    "México": [
        Where(city=city, timezone=f"America/{zone}", currency="MXN")
        for city, zone in (
            ("Ciudad de México, Guadalajara", "Mexico_City"),
            ("Monterrey", "Monterrey"),
            ("Mérida", "Merida"),
            ("Cancún", "Cancun"),
            ("Hermosillo", "Hermosillo"),
            ("Tijuana", "Tijuana"),
        )
    ],
    "Perú": [Where(city="Lima, Arequipa, Cusco", timezone="America/Lima", currency="PEN")],
    "Uruguay": [Where(city="Montevideo", timezone="America/Montevideo", currency="UYU")],
}

BY_KEY = {where.timezone: where for country in COUNTRIES.values() for where in country}
CHOICES = [(country, [(where.timezone, where.city) for where in places]) for country, places in COUNTRIES.items()]
