"""What `runIf` means, for the tests of the simulation and of the local stack."""


def runs(run_if: str, upstream: list[str]) -> bool:
    """Whether a job runs, said in other words than the product's."""
    failures = upstream.count("FAILED") + upstream.count("CANCELLED")
    successes = upstream.count("SUCCESS")
    return (
        not upstream
        or {
            "ALL_SUCCESS": successes == len(upstream),
            "ALL_DONE": True,
            "AT_LEAST_ONE_SUCCESS": successes >= 1,
            "ANY_FAILED": failures >= 1,
        }[run_if]
    )
