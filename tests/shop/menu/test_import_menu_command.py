from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from shop.menu.models import Product
from tenants.scope import tenant_scope
from tests.world import World

HEADER = "category,name,description,price,stock,tags,allergens,options\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "menu.csv"


def test_it_imports_a_file_and_says_what_it_did(world: World, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(HEADER + "C,Uno,,1,,,,\nC,Dos,,2,,,,\n")
    call_command("import_menu", world.a.ref.slug, str(file))
    assert capsys.readouterr().out == "Café luna: 2 products created, 0 updated, 0 unchanged.\n"
    with tenant_scope(world.a.ref):
        assert Product.objects.filter(category__name="C").count() == 2


def test_it_names_what_is_wrong_and_imports_nothing(world: World, file: Path) -> None:
    file.write_text(HEADER + "C,Uno,,1,,,,\nC,Dos,,x,,,,\n,Tres,,1,,,,\n")
    with pytest.raises(CommandError) as refused:
        call_command("import_menu", world.a.ref.slug, str(file))
    first, second, third = str(refused.value).splitlines()
    assert first == "Nothing was imported."
    assert second.startswith('line 3, price: "x" is not an amount')
    assert third == "line 4, category: It cannot be empty."
    with tenant_scope(world.a.ref):
        assert Product.objects.count() == 3


def test_it_says_when_there_is_no_such_cafeteria_or_file(world: World, file: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read: No such file"):
        call_command("import_menu", world.a.ref.slug, str(file))
    file.write_text(HEADER)
    with pytest.raises(CommandError, match='There is no open cafeteria "nowhere"'):
        call_command("import_menu", "nowhere", str(file))
    with pytest.raises(CommandError, match="Nothing was imported"):
        call_command("import_menu", world.a.ref.slug, str(file))
