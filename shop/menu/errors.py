from collections.abc import Iterable

from core.errors import AppError, NotFound


class ProductNotFound(NotFound):
    """There is no such product on the menu."""

    code = "product_not_found"


class CategoryNotFound(NotFound):
    """There is no such category on the menu."""

    code = "category_not_found"


class ProductNameTaken(AppError):
    """{category} has a product called {name} already."""

    code = "name_taken"
    status = 409


class CategoryNameTaken(AppError):
    """There is a category called {name} already."""

    code = "name_taken"
    status = 409


class CategoryNotEmpty(AppError):
    """{name} still has products. Move them to another category or take them off the menu first."""

    code = "category_not_empty"
    status = 409


class MenuFull(AppError):
    """The menu has no room for more: {most} products and {most_categories} categories are the most."""

    code = "menu_full"
    status = 409


class FieldProblem(AppError):
    """It cannot be used."""

    code = "invalid_menu"
    status = 422
    field = ""  # of ProductFields; filled in by whoever knows

    def named(self) -> str:
        """With the field's name, in English."""
        return f"{self.field}: {self}" if self.field else str(self)


class InvalidProduct(AppError):
    """{problems}"""

    code = "invalid_product"
    status = 422

    def __init__(self, problems: Iterable[FieldProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__(problems=" ".join(problem.named() for problem in self.problems))

    def translated(self) -> str:
        return " ".join(problem.translated() for problem in self.problems)


class Missing(FieldProblem):
    """It cannot be empty."""


class TooLong(FieldProblem):
    """At most {most} characters."""


class TooMany(FieldProblem):
    """At most {most} of them."""


class ControlCharacter(FieldProblem):
    """It holds the control character {character}: take it out."""


class NotAnAmount(FieldProblem):
    """ "{value}" is not an amount: write it like 350.00, without a sign for the currency or for thousands."""


class AmountOutOfRange(FieldProblem):
    """It must lie between {least} and {most}."""


class AmountNotExact(FieldProblem):
    """{amount} cannot be paid in {currency}, which has {decimals} decimals."""


class NotANumber(FieldProblem):
    """ "{value}" is not a whole number."""


class StockOutOfRange(FieldProblem):
    """It must lie between 0 and {most}, or be empty when it is not counted."""


class NameTwice(FieldProblem):
    """{name} is there twice."""


class BadBounds(FieldProblem):
    """{group} can be chosen from {minimum} to {maximum} times: it must be from 0 or more to 1 or more, {most} at most."""


class TooFewChoices(FieldProblem):
    """{group} has {count} choices, fewer than the {minimum} that must be taken."""


class CheapestBelowZero(FieldProblem):
    """With its cheapest choices the product would cost {amount}: it cannot be less than 0."""


class DearestTooDear(FieldProblem):
    """With its dearest choices the product would cost {amount}: {most} is the most."""


class UnreadableOptions(FieldProblem):
    """ "{part}" cannot be read: write options like {example}"""


class PictureRefused(AppError):
    """This picture cannot be used."""

    code = "picture_refused"
    status = 422


class NotAPicture(PictureRefused):
    """This is not a picture that can be used: send a JPEG, PNG or WebP file."""


class DamagedPicture(PictureRefused):
    """The picture's file is damaged. Save it again, or choose another one."""


class TooManyPixels(PictureRefused):
    """The picture has too many pixels. Make it smaller first."""


class PictureTooLarge(PictureRefused):
    """The picture's file is larger than {most} MB. Make it smaller first."""
