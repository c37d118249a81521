"""`saga config env`: every setting, its default and what it means."""

from collections.abc import Sequence
from typing import Any

from pydantic_settings import BaseSettings
from rich.text import Text

from orchestrator.operations.render import open_console, plain, print_json


def list_settings(classes: Sequence[type[BaseSettings]]) -> list[dict[str, Any]]:
    """Return each setting once: `name`, `default` (None for none) and `meaning`; never a value that is set."""
    settings: dict[str, dict[str, Any]] = {}
    for settings_class in classes:
        for field, info in settings_class.model_fields.items():
            name = str(info.validation_alias or f"{settings_class.model_config.get('env_prefix', '')}{field}").upper()
            default = None if info.default is None else str(info.default)
            settings.setdefault(name, {"name": name, "default": default, "meaning": info.description or ""})
    return list(settings.values())


def show_settings(classes: Sequence[type[BaseSettings]], as_json: bool) -> None:
    """Print every setting of these classes."""
    settings = list_settings(classes)
    if as_json:
        print_json({"settings": settings})
        return
    console = open_console()
    for setting in settings:
        default = "no default" if setting["default"] is None else f"default {setting['default']}"
        console.print(Text.assemble((setting["name"], "bold"), f" ({default})"), soft_wrap=True)
        console.print(Text("    ").append(plain(setting["meaning"])), soft_wrap=True)
