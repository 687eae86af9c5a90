"""Judges of other people's making, run against the graphs, weights and images of this repository.

    python3 test/oracle/run.py [name of a judge ...]

Makes test/oracle/.venv from requirements.txt first (about 6 GB: PyPI's torch for Linux brings its CUDA libraries;
nothing here uses them), prints one table and exits with 1 unless every row is there and within its bound.
Needs Python 3.11 or 3.12 and what `npm run build` makes. Standard library only.
"""

import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENT = HERE / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
REQUIREMENTS = [HERE / "requirements.txt", HERE / "constraints.txt"]
JUDGES = [
    "transformers",
    "gradient_builder",
    "official",
    "timm",
    "export",
    "checker",
    "initialization",
    "augmentation",
    "randaugment",
    "mixing",
    "optimizers",
    "finetune",
    "features",
    "attention",
    "web",
    "probes",
    "classifier",
    "tensorboard",
]
# Judges work in float64 on one thread beside our own; waiting threads should not take its core.
SETTINGS = {"OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(HERE)}


def run(*command, **options):
    print(f"oracle: {' '.join(map(str, command))}", flush=True)
    subprocess.run(list(map(str, command)), check=True, **options)


def install_venv_module():
    """Debian's Python comes without ensurepip."""
    if importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv"):
        return
    if not shutil.which("apt-get"):
        sys.exit("oracle: expected Python with venv and ensurepip; install them (python3-venv on Debian)")
    run("apt-get", "update", "-qq")
    package = f"python3.{sys.version_info.minor}-venv"
    run("apt-get", "install", "-y", "-qq", package, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"})


def make_environment():
    """Skipped where it was made from these very files by this Python."""
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in REQUIREMENTS))
    wanted.update(sys.version.encode())
    stamp = ENVIRONMENT / "made-from"
    if stamp.is_file() and stamp.read_text() == wanted.hexdigest():
        return
    if sys.version_info[:2] not in ((3, 11), (3, 12)):
        sys.exit(
            f"oracle: expected Python 3.11 or 3.12, for which all the judges have packages (onnxruntime-training-cpu 1.19.2 "
            f"has none later, pillow 13 none earlier); got {platform.python_version()}: run this file with another python3"
        )
    install_venv_module()
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    run(sys.executable, "-m", "venv", ENVIRONMENT)
    started = time.time()
    requirements, constraints = REQUIREMENTS
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir", "--no-compile"]
    run(*pip, "--only-binary", ":all:", "-r", requirements, "-c", constraints)
    stamp.write_text(wanted.hexdigest())
    print(f"oracle: environment made in {time.time() - started:.0f} s", flush=True)


def judge(name, rows, log):
    """Runs one judge in a folder of its own; its output goes to the log, the end of it to the console if it fails."""
    with tempfile.TemporaryDirectory(prefix="mae-oracle-") as folder:
        command = [str(PYTHON), str(HERE / f"judge_{name}.py"), str(rows), folder]
        started = time.time()
        with open(log, "w") as output:
            code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, env=os.environ | SETTINGS).returncode
        print(f"oracle: {name}: {time.time() - started:.0f} s", flush=True)
        lines = [json.loads(line) for line in rows.read_text().splitlines()] if rows.exists() else []
        failures = [line["failure"] for line in lines if "failure" in line]
        if code != 0:
            failures.append(f"exit code {code}")
        if failures:
            print("".join(f"  {line}\n" for line in log.read_text().splitlines()[-30:]), end="", flush=True)
        return lines, failures, code


def rows_of(name, lines, failures, code):
    """Planned rows in their order, each with what was measured for it."""
    planned = {(line["configuration"], line["what"]): line for line in lines if "bound" in line or "skipped" in line}
    measured = {(line["configuration"], line["what"]): line for line in lines if "error" in line}
    result = [line | measured.get(key, {}) | {"judge": line["judge"]} for key, line in planned.items()]
    if code != 0 or not result or measured.keys() - planned.keys():
        reason = "; ".join(failures) or "rows that were not planned, or none"
        result.append({"judge": name, "configuration": "the judge as a whole", "what": reason, "bound": 0})
    return result


def verdict(row):
    if "skipped" in row:
        return "skipped"
    if "error" not in row:
        return "MISSING"
    return "ok" if row["error"] <= row["bound"] else "FAILED"  # a NaN is no smaller than anything


def number(value):
    return "" if value is None else f"{value:.1e}" if 0 < abs(value) < 0.01 else f"{value:.3g}"


def print_table(rows):
    head = ("judge", "configuration", "what", "largest error", "bound", "ok", "where")
    lines = [head] + [
        (
            row["judge"], row["configuration"], row["what"], number(row.get("error")), number(row.get("bound")),
            verdict(row), row.get("skipped") or row.get("note", ""),
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for index, line in enumerate(lines):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |")
        if index == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")


def main(names):
    unknown = [name for name in names if name not in JUDGES]
    if unknown:
        sys.exit(f"oracle: expected judges of {', '.join(JUDGES)}; got {', '.join(unknown)}")
    if not (HERE.parent.parent / "dist" / "cli" / "main.js").is_file():
        sys.exit("oracle: expected dist/; run npm run build")
    started = time.time()
    make_environment()
    rows = []
    with tempfile.TemporaryDirectory(prefix="mae-oracle-") as folder:
        for name in names or JUDGES:
            found = judge(name, Path(folder) / f"{name}.jsonl", Path(folder) / f"{name}.log")
            rows += rows_of(name, *found)
    print()
    print_table(rows)
    versions = [line for line in REQUIREMENTS[0].read_text().splitlines() if "==" in line]
    node = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout.strip()
    print(f"\nPython {platform.python_version()}, node {node}, {', '.join(versions)}; {time.time() - started:.0f} s")
    verdicts = [verdict(row) for row in rows]
    passed, skipped = verdicts.count("ok"), verdicts.count("skipped")
    failed = len(verdicts) - passed - skipped
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
