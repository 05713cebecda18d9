"""How many jobs one Map runs at the same time, and how more of them are divided into groups."""

_GROUP = 40  # iterations of an inline Map that run at the same time


def groups(names: list[str]) -> list[list[str]]:
    """Return as many groups as one Map can run, each with as few jobs as possible."""
    if len(names) <= _GROUP:
        return [[name] for name in names]
    size = max(_GROUP, -(-len(names) // _GROUP))
    return [names[start : start + size] for start in range(0, len(names), size)]
