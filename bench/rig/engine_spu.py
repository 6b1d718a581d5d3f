"""SPU's party: ABY3 over FM64 among processes linked by brpc, its defaults otherwise."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from bench.rig.party import Array, Engine

_LINK = re.compile(r"Link details: total send bytes (\d+), .*?recv actions (\d+)")


class Spu(Engine):
    """One party."""

    def connect(self, cards: list[dict[str, Any]]) -> None:
        """Open brpc links over TCP."""
        import spu
        from spu import libspu

        desc = libspu.link.Desc()
        for i, card in enumerate(cards):
            desc.add_party(f"party{i}", f"127.0.0.1:{card['port'] if i != self.rank else self.port}")
        desc.recv_timeout_ms = 600_000
        desc.http_timeout_ms = 600_000
        self.link = libspu.link.create_brpc(desc, self.rank)
        self.config = libspu.RuntimeConfig(protocol=libspu.ProtocolKind.ABY3, field=libspu.FieldType.FM64)
        # The profile's last line says how often this party sent and received, and how many bytes.
        self.config.enable_pphlo_profile = True
        self.log, self.at, self.counted = (
            self.folder / f"log-{self.rank}.txt",
            0,
            {"rounds": 0.0, "payload": 0.0},
        )
        self.spu, self.libspu = spu, libspu
        self.runtime = spu.Runtime(self.link, self.config)
        self.io = spu.Io(3, self.config)

    def prepare(self, program: str, params: dict[str, Any], inputs: dict[str, dict[str, Any]]) -> None:
        """Compile to PPHLO; the first party makes everybody's shares."""
        from bench.rig.programs import PROGRAMS
        from spu.utils import frontend

        names = list(inputs)
        fn = PROGRAMS[program](params)

        def flat(*arrays: Any) -> Any:
            return fn(dict(zip(names, arrays, strict=True)))

        import jax

        specs = [jax.ShapeDtypeStruct(tuple(s["shape"]), np.float32) for s in inputs.values()]
        secret = self.libspu.Visibility.VIS_SECRET
        self.executable, _ = frontend.compile(
            frontend.Kind.JAX, flat, specs, {}, [f"in-{n}" for n in names], [secret] * len(names),
            lambda out: [f"out-{i}" for i in range(len(out))],
        )  # fmt: skip
        self.names = names
        if self.rank == 0:
            values = self.values(inputs)
            for name in names:
                shares = self.io.make_shares(values[name].astype(np.float32), secret)
                for rank, share in enumerate(shares):
                    self._save(f"in-{name}-{rank}", share)

    def _save(self, name: str, share: Any) -> None:
        chunks = [share.meta, *share.share_chunks]
        np.savez(self.folder / f"{name}.npz", *[np.frombuffer(c, np.uint8) for c in chunks])

    def _load(self, name: str) -> Any:
        share = self.libspu.Share()
        with np.load(self.folder / f"{name}.npz") as file:
            chunks = [file[n].tobytes() for n in file.files]
        share.meta, share.share_chunks = chunks[0], chunks[1:]
        return share

    def share(self) -> None:
        """Load this party's shares."""
        for name in self.names:
            path = f"in-{name}-{self.rank}"
            self.runtime.set_var(f"in-{name}", self._load(path))
            os.unlink(self.folder / f"{path}.npz")

    def run(self) -> None:
        """Run the compiled program."""
        self.runtime.run(self.executable)

    def output(self) -> list[Array]:
        """Collect the result's shares at the first party."""
        outs = self.executable.output_names
        for name in outs:
            self._save(f"{name}-{self.rank}", self.runtime.get_var(name))
        self.link.barrier()
        found = []
        if self.rank == 0:
            for name in outs:
                shares = [self._load(f"{name}-{rank}") for rank in range(3)]
                found.append(np.asarray(self.io.reconstruct(shares)))
        for name in [*outs, *(f"in-{n}" for n in self.names)]:
            self.runtime.del_var(name)
        return found

    def meter(self) -> dict[str, float]:
        """Return messages received (a bound on rounds) and bytes sent, from the profiles printed so far."""
        with self.log.open(errors="replace") as file:
            file.seek(self.at)
            text = file.read()
        end = text.rfind("\n") + 1
        self.at += len(text[:end].encode())
        for sent, received in _LINK.findall(text[:end]):
            self.counted["payload"] += int(sent)
            self.counted["rounds"] += int(received)
        return dict(self.counted)

    def close(self) -> None:
        """Stop the links."""
        self.link.stop_link()


def make(rank: int, folder: Path) -> Engine:
    """Return the engine."""
    return Spu(rank, folder)
