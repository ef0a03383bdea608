from decimal import Decimal

from payments.inbox.models import Notification
from payments.ledger.models import LedgerEntry
from payments.sellers.models import Connecting
from tests.payments.till import Till


def test_rows_say_what_they_are_and_no_secret(till: Till) -> None:
    order = till.order()
    payment = till.checkout(order)
    mp_id = till.pay(payment)
    till.told(mp_id)
    [refund] = till.refund(payment, Decimal("10.00"))
    assert str(payment) == f"mercadopago 1000.00 ARS for order {order.number}"
    assert (str(till.charge(mp_id)), str(refund)) == (f"{mp_id} approved", "10.00 ARS requested")
    assert (str(LedgerEntry.objects.get()), str(Notification.objects.get())) == ("payment 1000.00 ARS", f"payment {mp_id} done")
    assert str(till.seller) == f"{till.seller.mp_user_id} of {till.uuid}"
    assert str(Connecting(cafeteria_uuid=till.uuid)) == f"connection of {till.uuid}"
