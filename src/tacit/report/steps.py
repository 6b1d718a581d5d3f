"""The rounds of a reporting session: what is sent in each, and what is checked before the next.

See `tacit.report.session` for the protocol. Order of checks after a CONFIRM, the same at everybody: views
equal (else SHOW), offers well-formed and proven, complaints. So all honest people find the same culprits, and
none of them announces a sum before every check held.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tacit.crypto.encoding import pack, unpack
from tacit.crypto.groups import Randomness, Scalar
from tacit.crypto.hashing import digest
from tacit.crypto.sigma import Statement, equal_holds, prove_equal
from tacit.errors import DataError
from tacit.report import disputes, offers, slots, sums
from tacit.report.envelope import MAIN, RELAY, SHOW, Envelope, fingerprint, open_envelope, seal_envelope
from tacit.report.session import (
    CYCLE_ROUNDS,
    FINISHED,
    FIRST_CYCLE,
    HELLO,
    HELLO_CONFIRM,
    LOOK_AHEAD,
    RESERVE,
    RESERVE_CONFIRM,
    RESERVE_SUM,
    RUNNING,
    SEND,
    SEND_CONFIRM,
    State,
    blame,
    store,
)

Sent = tuple[State, list[bytes]]


def start(state: State, randomness: Randomness) -> tuple[State, tuple[bytes, ...]]:
    """Send HELLO: a fresh nonce and a fresh encryption key with a proof that its secret is known."""
    key = state.circle.group.random_scalar(randomness)
    public = state.circle.group.base_mul(key)
    proof = prove_equal(
        key, [Statement(state.circle.group.generator, public)], _hello_context(state, state.me), randomness
    )
    state = replace(state, keep=replace(state.keep, session_key=key))
    state, out = _send(state, pack([randomness(32), public.encode(), proof]))
    return state, tuple(out)


def step(state: State, inbox: Sequence[bytes], randomness: Randomness) -> tuple[State, tuple[bytes, ...]]:
    """Take messages in any order, repeated or forged, and return what to broadcast in answer."""
    out: list[bytes] = []
    running = state.status == RUNNING
    for data in inbox:
        state = _receive(state, data)
    if running and state.evidence:  # so that nobody waits for me in vain without knowing why I stopped
        return state, tuple(_send(state, pack([b"\0", *state.evidence]), RELAY)[1])
    while state.status == RUNNING:
        after, sent = _advance(state, randomness)
        out += sent
        if after is state:
            break
        state = after
    if state.status != RUNNING:  # whoever has a result or a culprit still answers those who have not
        for number in disputes.unanswered(state):
            state, sent = _show(state, number, False)
            out += sent
    return state, tuple(out)


def _receive(state: State, data: bytes, depth: int = 0) -> State:
    """Check and store one message; what is not signed by a member for this session is ignored and counted."""
    try:
        envelope = open_envelope(state.circle, data)
    except DataError:
        return replace(state, ignored=state.ignored + 1)
    if envelope.number > state.number + LOOK_AHEAD or (envelope.sender == state.me and depth == 0):
        return replace(state, ignored=state.ignored + 1)
    if envelope.kind == MAIN:
        return store(state, envelope)
    # RELAY may hold SHOW, SHOW may hold MAIN: nothing is nested deeper.
    if depth > (envelope.kind == SHOW) or (
        envelope.kind == SHOW and not state.is_confirmation(envelope.number)
    ):
        return replace(state, ignored=state.ignored + 1)
    try:
        relayed = disputes.relayed(envelope)
    except DataError:
        return replace(state, ignored=state.ignored + 1)
    if envelope.kind == SHOW:
        state = store(state, envelope)
    for inner in relayed:
        state = _receive(state, inner, depth + 1)
    return state


def _send(state: State, body: bytes, kind: int = MAIN, number: int | None = None) -> Sent:
    number = state.number if number is None else number
    envelope = seal_envelope(state.circle, state.keep.signing, number, kind, state.me, body)
    if kind != RELAY:
        state = store(state, envelope)
    return state, [envelope.encode()]


def _advance(state: State, randomness: Randomness) -> Sent:
    """Do whatever the messages at hand allow: answer a dispute, or finish the current round."""
    people = state.circle.size
    asked = disputes.unanswered(state)
    if asked:
        return _show(state, min(asked), False)
    if state.showing is not None:
        shown = state.heard.get((state.showing, SHOW), {})
        if len(shown) == people:
            return disputes.resolve(state, shown), []
        if state.showing == state.number:
            return state, []
    round_heard = state.main(state.number)
    if len(round_heard) < people:
        return state, []
    envelopes = [round_heard[i] for i in range(people)]
    if state.number == HELLO:
        return _confirm(state, envelopes, [])
    if state.number == HELLO_CONFIRM:
        return _after_confirm(state, envelopes, _enter_first_cycle, randomness)
    if state.phase in (RESERVE, SEND):
        return _check_parts(state, envelopes, randomness)
    if state.phase in (RESERVE_CONFIRM, SEND_CONFIRM):
        return _after_confirm(state, envelopes, _announce, randomness)
    return _after_sum(state, envelopes, randomness)


# ---- HELLO and the confirmations


def _hello_context(state: State, sender: int) -> bytes:
    return b"report/hello" + state.circle.tag + sender.to_bytes(2)


def _confirm(state: State, envelopes: Sequence[Envelope], complaints: Sequence[bytes]) -> Sent:
    """Send CONFIRM for the round that is complete."""
    state = replace(state, number=state.number + 1)
    return _send(state, pack([b"".join(map(fingerprint, envelopes)), pack(complaints)]))


def _show(state: State, number: int, cause: bool) -> Sent:
    """Show everybody the messages of a disputed round and its confirmations."""
    latest = max(state.showing or 0, number)
    state = state if latest == state.showing else replace(state, showing=latest)
    if state.me in state.heard.get((number, SHOW), {}):
        return state, []  # said once is said: a second version would be an equivocation
    own = [*state.main(number - 1).values(), *state.main(number).values()]
    opened = [e.encode() for e in state.heard.get((number, SHOW), {}).values() if disputes.opens_dispute(e)]
    body = pack([bytes([cause]), *(envelope.encode() for envelope in own)])
    state, out = _send(state, body, SHOW, number)
    if opened:  # whoever opened the dispute may have told me alone; then the others would not answer
        out += _send(state, pack([b"\0", *opened]), RELAY)[1]
    return state, out


def _after_confirm(
    state: State,
    envelopes: Sequence[Envelope],
    proceed: Callable[[State, Randomness], Sent],
    randomness: Randomness,
) -> Sent:
    """Check views, then offers, then complaints; only then go on."""
    verdict = disputes.judge_confirmations(state, envelopes)
    if verdict.split_view:
        return _show(state, state.number, True)
    if not verdict.culprits and state.number > HELLO_CONFIRM:
        verdict = _judge_offers(state, envelopes)
    if verdict.culprits:
        return _accuse(state, verdict, envelopes)
    return proceed(state, randomness)


def _accuse(state: State, verdict: disputes.Verdict, evidence: Sequence[Envelope]) -> Sent:
    """Relay what convicts, so that nobody waits in vain for this person's next message; then stop."""
    shown = [evidence[i].encode() for i in (*verdict.witnesses, *verdict.culprits)]
    state, out = _send(state, pack([b"\0", *shown]), RELAY)
    return blame(state, verdict.culprits, verdict.reason), out


def _enter_first_cycle(state: State, randomness: Randomness) -> Sent:
    """Fix the session's identity and everybody's encryption key, then reserve."""
    hellos = state.main(HELLO)
    keys, group = [], state.circle.group
    for i in range(state.circle.size):
        try:
            nonce, key, proof = unpack(hellos[i].body, 3)
            element = group.decode_element(key)
            if len(nonce) != 32 or not equal_holds(
                [Statement(group.generator, element)], _hello_context(state, i), proof
            ):
                raise DataError("a hello proves nothing")
        except DataError:
            return blame(state, [i], "sent a malformed greeting"), []
        keys.append(element)
    limits = f"{state.limits.max_bytes},{state.limits.max_cycles}".encode()
    session = digest(
        "report/session", state.circle.tag, limits, *(hellos[i].body for i in range(state.circle.size))
    )
    state = replace(state, session=session, keys=tuple(keys), number=FIRST_CYCLE)
    return _reserve(state, randomness)


# ---- OFFER: reservations and texts


def _stage(state: State, number: int) -> offers.Stage:
    """Return the public frame of the sum whose OFFER has this number."""
    group = state.circle.group
    if (number - FIRST_CYCLE) % CYCLE_ROUNDS == RESERVE:
        widths = (slots.cells_for(group, slots.reservation_size(group)),) * state.slots
    else:
        widths = tuple(slots.cells_for(group, r.size) for r in state.reservations)
    return offers.Stage(group, state.session, number, widths, state.keys)


def _reserve(state: State, randomness: Randomness) -> Sent:
    """Offer a reservation in one random slot, or nothing, with a proof that it is one slot at most."""
    group, stage = state.circle.group, _stage(state, state.number)
    contribution = [(group.zero,) * width for width in stage.widths]
    slot = _random_below(state.slots, randomness)
    # Everybody prepares a reservation, so that the time it takes tells nothing; only a reporter puts it in.
    secret = group.random_scalar(randomness)
    wish = slots.Reservation(group.base_mul(secret), len(state.keep.text or b"silence"))
    cells = slots.encode_reservation(wish, _reservation_context(state, state.number))
    keep = replace(state.keep, owner=wish.owner, owner_secret=secret)
    if keep.text is not None:
        contribution[slot] = cells

    def prove(dealt: sums.Dealt, commitments: sums.Commitments, context: bytes) -> list[bytes]:
        return [sums.prove_one_slot(dealt, commitments, slot, context, randomness)]

    body, dealt = offers.make_offer(stage, state.me, contribution, prove, randomness)
    return _send(replace(state, keep=replace(keep, dealt=dealt)), body)


def _reservation_context(state: State, number: int) -> bytes:
    return pack([state.session, number.to_bytes(4)])


def _random_below(bound: int, randomness: Randomness) -> int:
    return int.from_bytes(randomness(16)) % bound  # bias below 2^-120


def _send_texts(state: State, randomness: Randomness) -> Sent:
    """Offer the text in the own slot, zero elsewhere, each with a proof "mine or zero"."""
    stage, keep, group = _stage(state, state.number), state.keep, state.circle.group
    mine: list[Scalar | None] = [
        keep.owner_secret if r.owner == keep.owner else None for r in state.reservations
    ]
    contribution = [  # whoever adds nothing writes zero bytes: the same work as for a text of that length
        slots.to_cells(group, bytes(r.size) if secret is None or keep.text is None else keep.text)
        for r, secret in zip(state.reservations, mine, strict=True)
    ]

    def prove(dealt: sums.Dealt, commitments: sums.Commitments, context: bytes) -> list[bytes]:
        return [
            sums.prove_owner_or_silent(dealt, commitments, k, r.owner, mine[k], context, randomness)
            for k, r in enumerate(state.reservations)
        ]

    body, dealt = offers.make_offer(stage, state.me, contribution, prove, randomness)
    return _send(replace(state, keep=replace(keep, dealt=dealt)), body)


def _check_parts(state: State, envelopes: Sequence[Envelope], randomness: Randomness) -> Sent:
    """Open the parts addressed to me; confirm, with a complaint for each that does not fit."""
    stage, secret = _stage(state, state.number), state.keep.session_key
    assert secret is not None and state.keep.dealt is not None
    received: list[tuple[sums.Part, ...]] = []
    complaints, read = [], [_read_offer(stage, i, envelope) for i, envelope in enumerate(envelopes)]
    for i, offer in enumerate(read):
        if i == state.me:
            received.append(tuple(slot[i] for slot in state.keep.dealt.parts))
            continue
        if offer is None:
            continue  # everybody sees that this offer is malformed: `_judge_offers` names its sender
        try:
            received.append(offers.receive_parts(stage, offer, i, state.me, secret))
        except DataError:
            complaint = offers.complain(stage, offer, i, state.me, secret, randomness)
            complaints.append(offers.encode_complaint(complaint))
    state = replace(state, offers=tuple(read), keep=replace(state.keep, parts=tuple(received)))
    return _confirm(state, envelopes, complaints)


def _read_offer(stage: offers.Stage, sender: int, envelope: Envelope) -> offers.Offer | None:
    """Read an offer, once: it is the same afterwards, since a second version would end the session."""
    try:
        return offers.read_offer(stage, sender, envelope.body)
    except DataError:
        return None


def _judge_offers(state: State, confirmations: Sequence[Envelope]) -> disputes.Verdict:
    """Find who sent a malformed or unproven offer, else who is wrong in a complaint."""
    stage = _stage(state, state.number - 1)
    parsed: dict[int, offers.Offer] = {}
    for i, offer in enumerate(state.offers):
        if offer is not None and _allowed(state, stage, i, offer):
            parsed[i] = offer
    bad = [i for i in range(state.circle.size) if i not in parsed]
    if bad:
        return disputes.Verdict(bad, reason="made an offer without a valid proof")
    for complainer, envelope in enumerate(confirmations):
        _, complaints = unpack(envelope.body, 2)
        for data in unpack(complaints):
            complaint = offers.decode_complaint(stage.group, state.circle.size, complainer, data)
            if offers.complaint_is_just(stage, parsed[complaint.accused], complainer, complaint):
                return disputes.Verdict(
                    [complaint.accused], [complainer], "gave a part that does not fit its commitment"
                )
            return disputes.Verdict([complainer], reason="complained about a part that is correct")
    return disputes.Verdict([])


def _allowed(state: State, stage: offers.Stage, sender: int, offer: offers.Offer) -> bool:
    context = stage.context(sender)
    if (stage.number - FIRST_CYCLE) % CYCLE_ROUNDS == RESERVE:
        return len(offer.proofs) == 1 and sums.one_slot_holds(offer.commitments, context, offer.proofs[0])
    return len(offer.proofs) == len(state.reservations) and all(
        sums.owner_or_silent_holds(offer.commitments, k, r.owner, context, offer.proofs[k])
        for k, r in enumerate(state.reservations)
    )


# ---- SUM


def _announce(state: State, randomness: Randomness) -> Sent:
    """Broadcast the sums of all parts received; every check of this cycle held."""
    body = offers.encode_parts(sums.add_parts(state.circle.group, state.keep.parts))
    return _send(replace(state, number=state.number + 1), body)


def _after_sum(state: State, envelopes: Sequence[Envelope], randomness: Randomness) -> Sent:
    """Check everybody's sums against the commitments, add them up, and go where the result leads."""
    group, stage = state.circle.group, _stage(state, state.number - 2)
    everybody = [offer.commitments for offer in state.offers if offer is not None]  # all, by the check before
    announced, bad = [], []
    for i, envelope in enumerate(envelopes):
        try:
            parts = offers.decode_parts(group, stage.widths, envelope.body)
            if not sums.sum_fits(everybody, i, parts):
                raise DataError("the sum does not fit")
            announced.append(parts)
        except DataError:
            bad.append(i)
    if bad:
        verdict = disputes.Verdict(bad, reason="announced a sum that does not fit the commitments")
        return _accuse(state, verdict, envelopes)
    vectors = sums.totals(group, announced)
    state = replace(state, offers=(), keep=replace(state.keep, dealt=None, parts=()))
    if state.phase == RESERVE_SUM:
        return _after_reservations(state, vectors, randomness)
    return _after_texts(state, vectors, randomness)


def _after_reservations(state: State, vectors: Sequence[sums.Vector], randomness: Randomness) -> Sent:
    won, garbled = [], 0
    context = _reservation_context(state, state.number - 2)
    for vector in vectors:
        try:
            wish = slots.decode_reservation(state.circle.group, vector, context, state.limits.max_bytes)
        except DataError:
            garbled += 1
            continue
        if wish is not None:
            won.append(wish)
    state = replace(state, reservations=tuple(won), garbled=garbled, collisions=state.collisions + garbled)
    if won:
        return _send_texts(replace(state, number=state.number + 1), randomness)
    return _next_cycle(state, randomness)


def _after_texts(state: State, vectors: Sequence[sums.Vector], randomness: Randomness) -> Sent:
    texts, keep = [], state.keep
    for vector, wish in zip(vectors, state.reservations, strict=True):
        try:
            texts.append(slots.from_cells(state.circle.group, vector, wish.size))
        except DataError:
            continue  # only the owner can have written it, and wrote no text
        if wish.owner == keep.owner:
            keep = replace(keep, text=None)
    state = replace(state, keep=keep, delivered=(*state.delivered, *texts), reservations=())
    return _next_cycle(state, randomness)


def _next_cycle(state: State, randomness: Randomness) -> Sent:
    """Run another cycle if reservations collided, within the limit; else the session is over."""
    if state.garbled and state.cycle + 1 < state.limits.max_cycles:
        number = FIRST_CYCLE + (state.cycle + 1) * CYCLE_ROUNDS
        return _reserve(replace(state, number=number, reservations=()), randomness)
    keep = replace(state.keep, session_key=None, owner=None, owner_secret=None)
    return replace(state, status=FINISHED, keep=keep), []
