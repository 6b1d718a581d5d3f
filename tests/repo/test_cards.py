"""Every functionality that a protocol realises has a complete card."""

from __future__ import annotations

import inspect
from dataclasses import fields

import pytest

from tacit import protocols
from tacit.algebra.ring import Ring
from tacit.core.protocol import Protocol


@pytest.mark.parametrize("name", protocols.REGISTRY)
def test_cards_are_complete(name: str) -> None:
    cls = protocols.load(name)
    messages = [
        m
        for m, f in vars(Protocol).items()
        if callable(f) and (f.__doc__ or "").startswith("F_") and getattr(cls, m) is not f
    ]
    assert messages
    for m in messages:
        card = cls.cards[m]
        for field in fields(card):
            told = getattr(card, field.name)
            assert told or isinstance(told, bool), f"{name}.{m}: the card lacks {field.name}"
        assert card.functionality == m
        assert card.protocol == name


@pytest.mark.parametrize("name", protocols.REGISTRY)
def test_no_card_promises_what_the_protocol_does_not_do(name: str) -> None:
    cls, entry = protocols.load(name), protocols.entry(name)
    most = entry.parties[1] if entry.corruptions >= 0 else "n"
    pooled = f"{entry.corruptions if entry.corruptions >= 0 else f'n − {-entry.corruptions}'} of {most}"
    for functionality, card in cls.cards.items():
        body = inspect.getsource(getattr(cls, functionality))
        assert "_missing(" not in body, f"{name}: {functionality} has a card and no method"
        assert card.corruptions == pooled, f"{name}.{functionality}: the registry says {pooled}"
    patient = [f for f, card in cls.cards.items() if card.patient]
    assert not patient or cls.settle is not Protocol.settle, f"{name} leaves {patient}, and has no settle"


def test_the_figures_of_the_design() -> None:
    """An MSB of 64 bits stays below 190 bits a party in 7 rounds; a fixed-point product below 32 bytes in 3."""
    cards = protocols.load("rep3").cards
    ring = Ring(64)
    bits = cards["sign"].bits(ring, 3, bits=63)
    assert sum(bits) / 3 < 190
    assert cards["sign"].rounds(ring, bits=63) <= 7
    assert sum(cards["mul_trunc"].bits(ring, 3, f=16)) / 8 <= 32
    assert cards["mul_trunc"].rounds(ring, f=16) == 3
