from shop.menu.models import Category, Choice, OptionGroup, Product
from shop.orders.models import DayCounter, IdempotencyKey, Order, OrderEvent, OrderItem
from shop.people.models import Person, PersonSession

__all__ = [
    "Category",
    "Choice",
    "DayCounter",
    "IdempotencyKey",
    "OptionGroup",
    "Order",
    "OrderEvent",
    "OrderItem",
    "Person",
    "PersonSession",
    "Product",
]
