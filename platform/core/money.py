"""Amounts of money: Decimal, quantized to the currency (wall 9). Never a float."""

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

# Decimals of each currency that we take: shared/facts on Mercado Pago.
DECIMALS = {"ARS": 2, "BRL": 2, "CLP": 0, "COP": 0, "MXN": 2, "PEN": 2, "UYU": 2}
STEPS = {currency: Decimal(1).scaleb(-decimals) for currency, decimals in DECIMALS.items()}
LARGEST = Decimal("9999999999.99")  # what numeric(12, 2) holds


def quantize(amount: Decimal, currency: str) -> Decimal:
    """The amount with the currency's decimals, halves up. KeyError for a currency that we do not take."""
    return amount.quantize(STEPS[currency], rounding=ROUND_HALF_UP)


def is_exact(amount: Decimal, currency: str) -> bool:
    """Whether it is an amount with no more decimals than the currency; not what is no number, nor one beyond all money."""
    try:
        return amount == quantize(amount, currency)
    except InvalidOperation:
        return False


def as_text(amount: Decimal, currency: str) -> str:
    """As the API writes it: "350.00"; CLP and COP without decimals."""
    return format(quantize(amount, currency), "f")
