"""TensorBoard's own reader, on the event files of runs: of one that was killed and went on, of a classifier, exported anew."""

import io
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image
from shared import ROOT, mae
from table import Table
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

TINY = {
    "inputSize": 16, "patchSize": 4, "embedDim": 24, "depth": 1, "numHeads": 2,
    "decoderEmbedDim": 16, "decoderDepth": 1, "decoderNumHeads": 2, "mlpRatio": 2,
}
RUNS = ["pretrain, killed and resumed", "the same, mae log export", "finetune"]
ROWS = {"curves missing or left over": 0, "points missing, left over or twice": 0, "values, of float32": 0}
PICTURES = {"sheets missing or left over": 0, "sheets with other pixels than the PNG": 0}
# types of lines and what stands in them beside numbers of curves
TYPES, PLACES = ("train", "epoch", "val", "probe"), ("step", "epoch", "time", "level", "type")


def log_of(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def curves_of(run):
    """tag -> [(step, float32)], as docs/watch.md names them."""
    curves = {}
    for line in log_of(run):
        if line["type"] not in TYPES:
            continue
        for field, value in line.items():
            if field not in PLACES and value is not None:
                tag = f"{line['type']}/{field.removeprefix('val_')}"
                curves.setdefault(tag, []).append((line["step"], np.float32(value)))
    return curves


def judge(table, label, run, events, sheets):
    accumulator = EventAccumulator(str(events), size_guidance={"scalars": 0, "images": 0})
    accumulator.Reload()
    wanted = curves_of(run)
    tags = set(accumulator.Tags()["scalars"])
    table.report(label, "curves missing or left over", len(tags ^ set(wanted)), f"{len(wanted)} curves")
    steps = values = points = 0
    for tag in tags & set(wanted):
        found = [(event.step, np.float32(event.value)) for event in accumulator.Scalars(tag)]
        steps += [step for step, _ in found] != [step for step, _ in wanted[tag]]
        values += sum(dict(found).get(step) != value for step, value in wanted[tag])
        points += len(found)
    table.report(label, "points missing, left over or twice", steps, f"{points} points")
    table.report(label, "values, of float32", values)
    if not sheets:
        return
    lines = [(line["step"], run / line["path"]) for line in log_of(run) if line["type"] == "pictures"]
    images = accumulator.Images("reconstructions")
    same = [image.step for image in images] == [step for step, _ in lines]
    table.report(label, "sheets missing or left over", 0 if same and lines else 1, f"{len(lines)} sheets")
    different = 0
    for image, (_, path) in zip(images, lines):
        got = Image.open(io.BytesIO(image.encoded_image_string))
        different += got.size != (image.width, image.height) or not np.array_equal(got, Image.open(path))
    table.report(label, "sheets with other pixels than the PNG", different)


def kill_after(arguments, run, step):
    """Ends a command without a word once its log has a step; what it did after its last checkpoint is done again."""
    process = subprocess.Popen(["node", str(ROOT / "bin" / "mae.js"), *map(str, arguments)], cwd=ROOT)
    log = run / "log.jsonl"
    while process.poll() is None and f'"type":"train","step":{step},' not in (log.read_text() if log.exists() else ""):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()


def main(rows, folder):
    table = Table("tensorboard", rows)
    for label in RUNS:
        table.plan(label, ROWS | (PICTURES if label != "finetune" else {}))
    samples, model, run = folder / "samples", folder / "tiny.json", folder / "run"
    model.write_text(json.dumps(TINY))
    mae("sample-data", "-o", samples, "--count", 24)
    common = ["--data-path", samples, "--val-path", samples, "--batch-size", 4, "--log-every", 1, "--num-workers", 0]
    with table.measuring(RUNS[0]):
        arguments = [
            "pretrain", *common, "--output-dir", run, "--model", model, "--epochs", 5, "--warmup-epochs", 0, "--lr", 1e-3,
            "--save-every", 100, "--save-every-steps", 4, "--probe-path", samples, "--probe-val-path", samples,
            "--probe-every", 2,
        ]
        for step in (7, 15):
            kill_after(arguments, run, step)
        mae(*arguments)
        judge(table, RUNS[0], run, run / "tensorboard", sheets=True)
    with table.measuring(RUNS[1]):
        shutil.rmtree(run / "tensorboard")
        mae("log", "export", run, "--format", "tensorboard")
        judge(table, RUNS[1], run, run / "tensorboard", sheets=True)
    with table.measuring(RUNS[2]):
        classifier = folder / "classifier"
        mae(
            "finetune", *common, "--output-dir", classifier, "--from-scratch", "--model", model, "--recipe", "small",
            "--epochs", 2,
        )
        judge(table, RUNS[2], classifier, classifier / "tensorboard", sheets=False)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
