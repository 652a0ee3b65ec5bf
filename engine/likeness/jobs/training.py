"""The training loop of every network here: resumable in slices of minutes, on one processor, one GPU or several.

What a step learns from depends on the step's number alone, so a run that stops and resumes does exactly what an
uninterrupted one does. Needs nothing but torch and NumPy.
"""

from __future__ import annotations

import copy
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import distributed, nn

from likeness.core.errors import LikenessError

KEPT = 2
# So many steps in a row whose loss is not a number are no accident.
MAX_BAD_STEPS = 20


@dataclass(frozen=True)
class TrainSettings:
    """How to train. steps: length of the cosine schedule, warm-up included. clip: of the gradient's norm. ema: decay of
    the averaged weights. precision: 'bf16' computes in bfloat16 where autocast finds it safe, 'fp32' never does.
    table_every, picture_every: steps (0: no pictures). save_every_s: seconds between checkpoints. prefetch: batches
    that a thread makes ahead. final_rate: share of the rate that is left at the end of the schedule."""

    steps: int
    learning_rate: float = 2e-3
    warmup: int = 100
    final_rate: float = 0.01
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.999
    seed: int = 0
    device: str = "cpu"
    precision: str = "bf16"
    table_every: int = 20
    picture_every: int = 0
    save_every_s: float = 60.0
    prefetch: int = 0


class Task(Protocol):
    """What is trained.

    batch: of step `step` on rank `rank` of `ranks`, a function of these (and the task's own seed) alone; any nesting
    of tensors that `loss` understands, on any device. images: how many a batch holds. loss: named scalar tensors, of
    which 'loss' is minimised and the others only told. pictures: writes contact sheets into `folder`, given the
    averaged model; called every `picture_every` steps on rank 0.
    """

    def batch(self, step: int, rank: int, ranks: int) -> Any: ...

    def images(self, batch: Any) -> int: ...

    def loss(self, model: nn.Module, batch: Any, step: int) -> dict[str, torch.Tensor]: ...

    def pictures(self, model: nn.Module, step: int, folder: Path) -> None: ...


class Trainer:
    """Trains one model in a folder: checkpoint-N.pt, table.jsonl, pictures/.

    model: trained in place, on settings.device. averaged: its EMA, what should be shipped and evaluated.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        settings: TrainSettings,
        folder: Path,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self.settings, self.task, self.folder = settings, task, Path(folder)
        self.device = torch.device(settings.device)
        self.rank, self.ranks = _join_group(self.device)
        self.model = model.to(self.device)
        _same_start(self.model, self.ranks)
        self.averaged = copy.deepcopy(self.model).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            _groups(self.model, settings.weight_decay), lr=settings.learning_rate, betas=(0.9, 0.99)
        )
        self.step, self.images, self.seconds = 0, 0, 0.0
        self._log = log or _to_stderr
        self._bad = 0
        self._stop = threading.Event()

    def resume(self) -> bool:
        """Go on from the folder's latest checkpoint; False where there is none.

        Raises LikenessError("input.checkpoint") where it belongs to another model.
        """
        found = checkpoints(self.folder)
        if not found:
            return False
        state = torch.load(found[-1], map_location=self.device, weights_only=True)
        try:
            self.model.load_state_dict(state["model"])
            self.averaged.load_state_dict(state["averaged"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (KeyError, ValueError, RuntimeError) as error:
            raise _foreign(found[-1]) from error
        self.step, self.images, self.seconds = int(state["step"]), int(state["images"]), float(state["seconds"])
        if self.rank == 0:
            _cut_table(self.folder / "table.jsonl", self.step)
        return True

    def run(self, seconds: float = math.inf) -> bool:
        """Train until the schedule ends, `seconds` have passed, or the process is told to stop (SIGINT, SIGTERM).

        Always leaves a checkpoint. Returns whether the schedule has ended.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        clock = _Clock(time.monotonic(), seconds, self.seconds)
        window = _Window(time.monotonic())
        saved = time.monotonic()
        with _stopped_by_signals(self._stop), _ahead(self.task, self.settings, self.rank, self.ranks) as batch_of:
            while self.step < self.settings.steps and not self._agreed(clock.over() or self._stop.is_set()):
                batch = batch_of(self.step)
                terms = self._one_step(batch)
                self.step += 1
                count = self.task.images(batch) * self.ranks
                self.images += count
                self.seconds = clock.total()
                window.add(terms, count)
                if self.rank == 0 and self.step % self.settings.table_every == 0:
                    self._tell(window)
                    window = _Window(time.monotonic())
                if self.rank == 0 and _due(self.step, self.settings.picture_every):
                    self._show()
                if time.monotonic() - saved > self.settings.save_every_s:
                    self.save()
                    saved = time.monotonic()
        self.save()
        return self.step >= self.settings.steps

    def stop(self) -> None:
        """Let `run` end after the step in work, from another thread or from within the task."""
        self._stop.set()

    def save(self) -> None:
        """Write a checkpoint, whole or not at all, and keep the last KEPT; rank 0 alone does."""
        if self.rank != 0:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "images": self.images,
            "seconds": self.seconds,
            "settings": asdict(self.settings),
        }
        target = self.folder / f"checkpoint-{self.step:08d}.pt"
        temporary = target.with_suffix(".part")
        torch.save(state, temporary)
        temporary.replace(target)
        for old in checkpoints(self.folder)[:-KEPT]:
            old.unlink(missing_ok=True)

    def rate(self, step: int) -> float:
        """The learning rate of a step: a linear rise, then half a cosine."""
        s = self.settings
        if step < s.warmup:
            return s.learning_rate * (step + 1) / s.warmup
        done = min((step - s.warmup) / max(s.steps - s.warmup, 1), 1.0)
        return s.learning_rate * (s.final_rate + (1 - s.final_rate) * (1 + math.cos(math.pi * done)) / 2)

    def _one_step(self, batch: Any) -> dict[str, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(self.step)
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.precision == "bf16"):
            terms = self.task.loss(self.model, batch, self.step)
        terms["loss"].backward()
        _mean_gradients(self.model, self.ranks)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        if bool(torch.isfinite(norm)):
            self._bad = 0
            self.optimizer.step()
            self._average()
        else:
            self._bad += 1
            if self._bad > MAX_BAD_STEPS:
                raise FloatingPointError(f"the loss is not a number at step {self.step}")
        return {name: float(value.detach()) for name, value in terms.items()} | {"gradient": float(norm)}

    @torch.no_grad()
    def _average(self) -> None:
        # Young averages forget fast, or the first random weights would stay in them.
        decay = min(self.settings.ema, (1 + self.step) / (10 + self.step))
        for mean, new in zip(self.averaged.parameters(), self.model.parameters()):
            mean.lerp_(new, 1 - decay)
        for kept, now in zip(self.averaged.buffers(), self.model.buffers()):
            kept.copy_(now)

    def _tell(self, window: _Window) -> None:
        terms, speed, step_s = window.means()
        left = (self.settings.steps - self.step) * step_s
        row = {"step": self.step, "images": self.images, "seconds": round(self.seconds, 1), **terms,
               "rate": self.rate(self.step), "images_per_s": round(speed, 2), "remaining_s": round(left)}  # fmt: skip
        with (self.folder / "table.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
        told = "  ".join(f"{name} {value:.4f}" for name, value in terms.items())
        self._log(f"{self.step}/{self.settings.steps}  {told}  {speed:.1f} images/s  {left / 60:.1f} min left")

    def _show(self) -> None:
        target = self.folder / "pictures"
        target.mkdir(exist_ok=True)
        self.averaged.eval()
        with torch.no_grad():
            self.task.pictures(self.averaged, self.step, target)

    def _agreed(self, stop: bool) -> bool:
        """Whether any rank wants to stop: all must stop at the same step, or they would wait for each other."""
        if self.ranks == 1:
            return stop
        wish = torch.tensor([float(stop)], device=self.device)
        distributed.all_reduce(wish, distributed.ReduceOp.MAX)
        return bool(wish[0] > 0)


def checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints in a folder, oldest first."""
    return sorted(Path(folder).glob("checkpoint-*.pt"))


def averaged_weights(run: Path, model: nn.Module) -> dict[str, str]:
    """Fill a model with a run's averaged weights; what their file tells of it: steps, images, seconds, loss.

    Raises ValueError where the run has no checkpoint, LikenessError("input.checkpoint") where it is of another model.
    """
    found = checkpoints(run)
    if not found:
        raise ValueError(f"{run} holds no checkpoint")
    state = torch.load(found[-1], map_location="cpu", weights_only=True)
    try:
        model.load_state_dict(state["averaged"])
    except (KeyError, RuntimeError) as error:
        raise _foreign(found[-1]) from error
    # The table may have gone on after the checkpoint.
    rows = [row for row in read_table(run) if row["step"] <= state["step"]]
    return {
        "steps": str(state["step"]),
        "images": str(state["images"]),
        "seconds": str(round(state["seconds"])),
        "loss": str(rows[-1]["loss"]) if rows else "",
    }


def _foreign(checkpoint: Path) -> LikenessError:
    return LikenessError(
        "input.checkpoint",
        f"{checkpoint.name}: this checkpoint is of another network.",
        "Train in another folder, or with the settings that began this one.",
    )


def read_table(folder: Path) -> list[dict[str, float]]:
    """The rows of a run's live table."""
    path = Path(folder) / "table.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


@dataclass
class _Clock:
    start: float
    limit: float
    before: float

    def over(self) -> bool:
        return time.monotonic() - self.start >= self.limit

    def total(self) -> float:
        return self.before + time.monotonic() - self.start


class _Window:
    """Means since the last line of the table."""

    def __init__(self, start: float) -> None:
        self.start, self.steps, self.images = start, 0, 0
        self.sums: dict[str, float] = {}

    def add(self, terms: dict[str, float], images: int) -> None:
        self.steps += 1
        self.images += images
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def means(self) -> tuple[dict[str, float], float, float]:
        """Mean terms, images and seconds a step."""
        took = max(time.monotonic() - self.start, 1e-9)
        terms = {name: float(f"{value / max(self.steps, 1):.6g}") for name, value in self.sums.items()}
        return terms, self.images / took, took / max(self.steps, 1)


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _groups(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Only matrices and kernels decay; norms and biases have no reason to be small."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """SIGINT and SIGTERM ask for a checkpoint and an end; a second one ends at once. Main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def asked(number: int, _frame: Any) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, asked)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _ahead(task: Task, settings: TrainSettings, rank: int, ranks: int) -> Iterator[Callable[[int], Any]]:
    """The task's batches by step, made ahead by a thread where asked for."""
    if settings.prefetch < 1:
        yield lambda step: task.batch(step, rank, ranks)
        return
    with ThreadPoolExecutor(1) as pool:
        waiting: dict[int, Future[Any]] = {}

        def batch_of(step: int) -> Any:
            for ahead in range(step, min(step + settings.prefetch + 1, settings.steps)):
                if ahead not in waiting:
                    waiting[ahead] = pool.submit(task.batch, ahead, rank, ranks)
            return waiting.pop(step).result()

        try:
            yield batch_of
        finally:
            for future in waiting.values():
                future.cancel()


def _cut_table(path: Path, step: int) -> None:
    """Drop lines of steps that the checkpoint does not hold: they will be done again."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text("utf-8").splitlines():
        with suppress(ValueError):
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
    path.write_text("".join(kept), "utf-8")


def _join_group(device: torch.device) -> tuple[int, int]:
    """Rank and number of processes; joins the group that torchrun announces. Not run on several GPUs so far."""
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    if ranks == 1:
        return 0, 1
    if not distributed.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return distributed.get_rank(), ranks


def _same_start(model: nn.Module, ranks: int) -> None:
    if ranks > 1:
        for value in model.state_dict().values():
            distributed.broadcast(value, 0)


def _mean_gradients(model: nn.Module, ranks: int) -> None:
    """Average gradients over ranks in one message."""
    if ranks == 1:
        return
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    distributed.all_reduce(flat)
    flat /= ranks
    start = 0
    for gradient in gradients:
        gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
        start += gradient.numel()
