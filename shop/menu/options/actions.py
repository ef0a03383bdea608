from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from shop.menu.data import ChoiceDraft, OptionDraft
from shop.menu.models import Choice, OptionGroup, Product

GROUP_FIELDS = ["minimum", "maximum", "position"]
CHOICE_FIELDS = ["price_delta", "is_available", "position"]
BATCH = 500


def drafts_of(products: Iterable[Product]) -> dict[int, list[OptionDraft]]:
    """The options of each product, in order, as drafts that would leave them as they are."""
    drafts: dict[int, list[OptionDraft]] = {product.pk: [] for product in products}
    for group in _groups(drafts):
        drafts[group.product_id].append(_draft(group))
    return drafts


def replace_options(wanted: Mapping[int, Sequence[OptionDraft]]) -> set[int]:
    """Gives each product (by id) these clean options as a whole; answers the ids of those that changed. Call inside menu_change.

    A group or a choice of a name that the product had keeps its id, so that a cart made before still holds. The number of statements
    does not grow with the number of products.
    """
    plan = _Plan()
    present: dict[int, dict[str, OptionGroup]] = {product_id: {} for product_id in wanted}
    for group in _groups(wanted):
        present[group.product_id][group.name] = group
    for product_id, drafts in wanted.items():
        for position, draft in enumerate(drafts):
            plan.put_group(product_id, present[product_id].pop(draft.name, None), draft, position)
        plan.drop_groups(present[product_id].values())
    plan.carry_out()
    return plan.changed


@dataclass(kw_only=True)
class _Plan:
    """What is to be written, gathered over many products."""

    changed: set[int] = field(default_factory=set)
    new_groups: list[OptionGroup] = field(default_factory=list)
    old_groups: list[OptionGroup] = field(default_factory=list)  # to be updated
    new_choices: list[Choice] = field(default_factory=list)
    old_choices: list[Choice] = field(default_factory=list)
    gone_groups: list[int] = field(default_factory=list)
    gone_choices: list[int] = field(default_factory=list)

    def put_group(self, product_id: int, group: OptionGroup | None, draft: OptionDraft, position: int) -> None:
        values = {"minimum": draft.minimum, "maximum": draft.maximum, "position": position}
        present: dict[str, Choice] = {}
        if group is None:
            group = OptionGroup(product_id=product_id, name=draft.name, **values)
            self.new_groups.append(group)
            self.changed.add(product_id)
        else:
            present = {choice.name: choice for choice in group.choices.all()}
            if _set(group, values):
                self.old_groups.append(group)
                self.changed.add(product_id)
        for place, choice in enumerate(draft.choices):
            self._put_choice(group, present.pop(choice.name, None), choice, place)
        if present:
            self.gone_choices += [choice.pk for choice in present.values()]
            self.changed.add(product_id)

    def _put_choice(self, group: OptionGroup, choice: Choice | None, draft: ChoiceDraft, position: int) -> None:
        available = draft.available if draft.available is not None else choice is None or choice.is_available
        values = {"price_delta": draft.price_delta, "is_available": available, "position": position}
        if choice is None:
            self.new_choices.append(Choice(group=group, name=draft.name, **values))
            self.changed.add(group.product_id)
        elif _set(choice, values):
            self.old_choices.append(choice)
            self.changed.add(group.product_id)

    def drop_groups(self, groups: Iterable[OptionGroup]) -> None:
        for group in groups:
            self.gone_groups.append(group.pk)
            self.changed.add(group.product_id)

    def carry_out(self) -> None:
        if self.gone_groups:
            Choice.objects.filter(group__in=self.gone_groups).delete()
            OptionGroup.objects.filter(pk__in=self.gone_groups).delete()
        if self.gone_choices:
            Choice.objects.filter(pk__in=self.gone_choices).delete()
        OptionGroup.objects.bulk_create(self.new_groups, batch_size=BATCH)
        # Much quicker than bulk_update: they are there, each is a conflict.
        OptionGroup.objects.bulk_create(self.old_groups, BATCH, update_conflicts=True, update_fields=GROUP_FIELDS, unique_fields=["id"])
        for choice in self.new_choices:
            choice.group_id = choice.group.pk  # known only now, when its group is new
        Choice.objects.bulk_create(self.new_choices, batch_size=BATCH)
        Choice.objects.bulk_create(self.old_choices, BATCH, update_conflicts=True, update_fields=CHOICE_FIELDS, unique_fields=["id"])


def _set(row: OptionGroup | Choice, values: Mapping[str, object]) -> bool:
    """Whether that changed anything."""
    changed = {name: value for name, value in values.items() if getattr(row, name) != value}
    for name, value in changed.items():
        setattr(row, name, value)
    return bool(changed)


def _groups(product_ids: Iterable[int]) -> Iterable[OptionGroup]:
    return OptionGroup.objects.filter(product__in=list(product_ids)).order_by("position", "id").prefetch_related("choices")


def _draft(group: OptionGroup) -> OptionDraft:
    choices = tuple(
        ChoiceDraft(name=choice.name, price_delta=choice.price_delta, available=choice.is_available) for choice in group.choices.all()
    )
    return OptionDraft(name=group.name, minimum=group.minimum, maximum=group.maximum, choices=choices)
