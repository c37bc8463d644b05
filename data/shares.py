"""The share of each process of a group in a batch."""


def share_of(places: range, rank: int, world: int) -> range:
    """Return the places of process ``rank`` of ``world``: neighbours, nearly equally many for each.

    A process without a share gets the first place, because all must run the network equally often;
    ``is_idle`` tells that the place counts for nothing.
    """
    each, more = divmod(len(places), world)
    start = rank * each + min(rank, more)
    stop = start + each + (rank < more)
    return places[start:stop] or places[:1]


def is_idle(number: int, rank: int) -> bool:
    """Return whether process ``rank`` has no share of ``number`` places."""
    return rank >= number
