"""People made while training waits for them: no disk full of files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch.utils.data import IterableDataset, get_worker_info

from likeness.synthesis.pack import load_pack
from likeness.synthesis.sample import PersonSample, Settings, make_sample


class PeopleStream(IterableDataset[PersonSample]):
    """Endless or counted people; workers of a DataLoader and ranks of a process group share them out.

    start: the index of the first person, so that training resumes where it stopped. count: how many, None for endless.
    rank, ranks: this process among those that train together. pack: another pack's folder.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        start: int = 0,
        count: int | None = None,
        rank: int = 0,
        ranks: int = 1,
        pack: Path | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.start, self.count = start, count
        self.rank, self.ranks = rank, ranks
        self._folder = pack

    def __iter__(self) -> Iterator[PersonSample]:
        """People in the order of their index, each exactly once over all workers and ranks."""
        worker = get_worker_info()
        lanes = self.ranks * (worker.num_workers if worker else 1)
        lane = self.rank * (worker.num_workers if worker else 1) + (worker.id if worker else 0)
        if worker:
            # Each worker has a core of its own; more threads would only get in each other's way.
            torch.set_num_threads(1)
        pack = load_pack(self._folder)
        index = self.start + lane
        while self.count is None or index < self.start + self.count:
            yield make_sample(pack, self.settings, index)
            index += lanes
