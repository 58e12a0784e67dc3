"""deploy/aerofn.service: what it starts exists, and what it names are settings."""

import configparser
import re
from pathlib import Path

import msgspec

from aerofn.settings import Settings

UNIT = Path(__file__).resolve().parents[2] / "deploy" / "aerofn.service"


def test_the_unit_starts_what_there_is():
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(UNIT)
    service = unit["Service"]
    assert re.fullmatch(r"/\S+/aerofn serve --workers \d+", service["ExecStart"])
    fields = {field.name for field in msgspec.structs.fields(Settings)}
    named = set(re.findall(r"AEROFN_(\w+?)(?=[=:…,\s])", UNIT.read_text(encoding="utf-8")))
    assert {name.lower() for name in named} <= fields
    grace = next(f for f in msgspec.structs.fields(Settings) if f.name == "shutdown_grace_s").default
    assert float(service["TimeoutStopSec"]) > grace
    assert service["CacheDirectory"] in service["Environment"]
