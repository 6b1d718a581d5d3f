"""Trials of what numbers of few bits are sent by (decision 0077): into other rings, and of operands of more bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from privacy_lanes import Lab, Program, Setting
from privacy_trials import SELECTED, Secrets, Trial, on_thirds, values

from tacit.algebra.ring import Ring
from tacit.core.share import Share, stack_planes

FACTORS: list[Secrets] = [(0, 0), (1, 1), (1, -1), (3, -4)]
"""Of any product: one that is more than a quarter of the ring, too."""


def into(name: str, f: int, width: int) -> Callable[[Secrets], Program]:
    """Shift a number, or a product, into a ring of so many bits."""

    def of(s: Secrets) -> Program:
        def program(p: Any, lab: Lab) -> Share:
            shape = (-1, 1, 1) if name == "matmul_into" else (-1,)
            held = [lab.share(v).reshape(*shape) for v in s]
            return getattr(p, name)(*held, f, Ring(width)).reshape(-1)

        return program

    return of


def selected(width: int, r: int = 0) -> Callable[[Secrets], Program]:
    """Select a number that is rounded to one bit less, as comparisons read it."""

    def of(s: Secrets) -> Program:
        def program(p: Any, lab: Lab) -> Share:
            bit, x, q = lab.share_bit(s[0]), lab.share(s[1]), p.turned(r)
            return q.over(Ring(width)).select_narrowed(bit, q.narrowed(x, 1))

        return program

    return of


def of_more_bits(name: str, width: int) -> Callable[[Secrets], Program]:
    """Run `name` over a narrower ring than that of its operands, a bit first where it takes one."""

    def of(s: Secrets) -> Program:
        def program(p: Any, lab: Lab) -> Share:
            q = p.over(Ring(width))
            if name == "select":
                return q.select(lab.share_bit(s[0]), lab.share(s[1]))
            shape = (-1, 1, 1) if name.startswith("matmul") else (1, -1) if name == "dot" else (-1,)
            return getattr(q, name)(*(lab.share(v).reshape(*shape) for v in s)).reshape(-1)

        return program

    return of


def _called_twice(name: str) -> Callable[[Secrets], Program]:
    """Begin two calls before either ends, or one that takes two elements in each lane: no two may share a mask."""

    def of(s: Secrets) -> Program:
        def program(p: Any, lab: Lab) -> Share:
            x, y = (lab.share(v) for v in s)
            with p.together():
                one, two = (
                    (p.trunc_into(v, 1, Ring(1)) for v in (x, y))
                    if name == "trunc_into"
                    else (p.mul_into(v, v, 1, Ring(1)) for v in (x, y))
                )
            return p.over(Ring(1)).add(one, two)

        return program

    return of


def _selected_twice(s: Secrets) -> Program:
    def program(p: Any, lab: Lab) -> Share:
        one, two = (lab.share_bit(v) for v in s[:2])
        q, x = p.over(Ring(1)), p.narrowed(lab.share(s[2]), 1)
        with p.together():
            first, second = q.select_narrowed(one, x), q.select_narrowed(two, x)
        return q.add(first, second)

    return program


def _combined_over(s: Secrets) -> Program:
    """Add up two bits over a ring that is narrower than what their sum is used in."""

    def program(p: Any, lab: Lab) -> Share:
        bits = stack_planes([lab.share_bit(v) for v in s])
        return p.over(Ring(2)).combine(bits, np.array([[7, 5]], np.uint64), [2])[0]

    return program


def _rep3(width: int) -> Setting:
    return Setting("rep3", width)


TWICE: list[Secrets] = [(0, 0), (0, 1), (1, 0), (1, 1)]
BITS_AND_NUMBER: list[Secrets] = [(0, 0, 0), (0, 1, 0), (1, 1, 1), (1, 0, -1), (0, 0, -1)]

NARROWING = [
    Trial("mul_into fewer bits", _rep3(3), into("mul_into", 1, 2), FACTORS, None, pinned=6),
    Trial("mul_into one bit", _rep3(3), into("mul_into", 1, 1), FACTORS, None, pinned=6),
    Trial("mul_into fewer bits, whole", _rep3(3), into("mul_into", 0, 2), FACTORS, None, pinned=6),
    Trial("mul_into fewer bits, free", _rep3(2), into("mul_into", 0, 1), values(-2, 2, 2), None),
    Trial("matmul_into fewer bits", _rep3(3), into("matmul_into", 1, 2), FACTORS, None, pinned=6),
    Trial("matmul_into, lifted", _rep3(3), into("matmul_into", 1, 3), FACTORS[:3], None, pinned=6),
    Trial("trunc_into", _rep3(3), into("trunc_into", 1, 2), values(-4, 4), None),
    Trial("trunc_into one bit", _rep3(4), into("trunc_into", 2, 1), values(-8, 8), None),
    Trial("trunc_into, whole", _rep3(3), into("trunc_into", 0, 2), values(-4, 4), None),
    Trial("select_narrowed", _rep3(3), selected(2), SELECTED, None),
    Trial("select_narrowed, one bit", _rep3(3), selected(1), SELECTED, None),
    Trial("mul_into twice", _rep3(3), _called_twice("mul_into"), TWICE, None, pinned=3),
    Trial("trunc_into twice", _rep3(3), _called_twice("trunc_into"), TWICE, None),
    Trial("select_narrowed twice", _rep3(3), _selected_twice, BITS_AND_NUMBER, None, pinned=6),
    *(
        Trial(f"{name} of more bits", _rep3(3), of_more_bits(name, 2), secrets, None, pinned=6)
        for name, secrets in (
            ("mul", [(0, 0), (1, 1), (-4, 3), (3, 3)]),
            ("matmul", [(0, 0), (1, 1), (-4, 3), (3, 3)]),
            ("dot", [(0, 0), (1, 1), (-4, 3), (3, 3)]),
            ("mul_early", [(0, 0), (1, 1), (-4, 3), (3, 3)]),
            ("matmul_early", [(0, 0), (1, 1), (-4, 3), (3, 3)]),
            ("select", [(0, 0), (1, 0), (1, 1), (0, 3), (1, -4)]),
        )
    ),
    Trial(
        "trunc_into on thirds",
        _rep3(3),
        on_thirds("trunc_into", 1, Ring(2)),
        [(0, 0, 0), (-2, 1, -1), (3, -4, 2)],
        None,
        pinned=1,
        thirds=True,
    ),
    Trial("combine over fewer bits", _rep3(3), _combined_over, values(0, 2, 2), None, pinned=3),
    *(
        trial
        for r in (1, 2)
        for trial in (
            *(
                Trial(
                    f"{name} fewer bits turned by {r}",
                    _rep3(3),
                    lambda s, r=r, name=name: lambda p, lab: into(name, 1, 2)(s)(p.turned(r), lab),
                    secrets,
                    None,
                    pinned=6,
                )
                for name, secrets in (
                    ("mul_into", FACTORS),
                    ("matmul_into", FACTORS),
                    ("trunc_into", values(-4, 4)),
                )
            ),
            Trial(f"select_narrowed turned by {r}", _rep3(3), selected(2, r), SELECTED, None, pinned=6),
        )
    ),
]
