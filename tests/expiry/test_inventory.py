"""What an inventory of a folder holds."""

from pathlib import Path

from upath import UPath

from transition.expiry import inventory


def test_an_inventory_holds_what_is_left_of_itself(tmp_path: Path) -> None:
    for name in ("b/2", "a/x/1", "a-1", "c", "a/x/3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    folder = UPath(tmp_path)
    whole = inventory.of_folder(folder, {})
    assert (whole.number, whole.amount) == (5, 17)
    assert set(whole.amounts()) == {"b/2", "a/x/1", "a-1", "c", "a/x/3"}
    assert {line.rpartition(";")[2] for line in inventory.of_folder(folder, None).text.decode().splitlines()} == {
        "empreinte", "1", "2", "3", "a-1", "c"
    }  # fmt: skip
    (tmp_path / "a/x/3").unlink()
    (tmp_path / "c").unlink()
    rest = inventory.of_folder(folder, {})
    assert whole.holds(rest)
    assert whole.holds(whole)
    assert not rest.holds(whole)
    (tmp_path / "c").write_text("C")
    assert not whole.holds(inventory.of_folder(folder, {})), "another content"
    assert whole.holds(inventory.of_folder(folder / "absent"))
