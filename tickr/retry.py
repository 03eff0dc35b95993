"""How long to wait before the next attempt. Pure: the randomness comes from the caller.

A policy is data, kept with its job, so that a retry is the same whichever node decides it. Delays are bounded by
``cap`` before the jitter is applied, and the jitter spreads herds of jobs that failed together
(M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
"""

from __future__ import annotations

from typing import Literal

import msgspec

MAX_DELAY_S = 100 * 365 * 86_400.0
"""No instant lies further away than 100 years, in seconds; keeps every sum far inside 64 bits."""

BOUNDS = {"base": (0.0, MAX_DELAY_S), "factor": (1.0, 100.0), "cap": (0.0, MAX_DELAY_S), "jitter": (0.0, 1.0)}
"""The least and the most of each number of a policy."""


class Backoff(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The policy of one job.

    Attributes:
      kind: ``constant`` (base), ``linear`` (base x attempt) or ``exponential`` (base x factor^(attempt-1)).
      base: seconds, 0 <= base <= 100 years.
      factor: growth of ``exponential``, 1 <= factor <= 100; the others ignore it.
      cap: seconds; no delay is longer, jitter apart.
      jitter: 0 <= jitter <= 1; the delay is spread evenly over +-this share of itself.
    """

    kind: Literal["constant", "linear", "exponential"] = "exponential"
    base: float = 10.0
    factor: float = 2.0
    cap: float = 3600.0
    jitter: float = 0.1

    def faults(self) -> list[tuple[str, str]]:
        """Return ``(field, problem)`` for each field out of its range; an empty list when the policy is usable."""
        return [
            (field, f"must be between {low:g} and {high:g}")
            for field, (low, high) in BOUNDS.items()
            if not low <= getattr(self, field) <= high
        ]

    def delay_s(self, attempt: int, chance: float) -> float:
        """Return the seconds to wait after failed attempt number ``attempt``.

        Args:
          attempt: >= 1.
          chance: 0 <= chance < 1, evenly distributed; 0.5 gives the delay without jitter.
        """
        return self._undisturbed_s(attempt) * (1.0 + self.jitter * (2.0 * chance - 1.0))

    def _undisturbed_s(self, attempt: int) -> float:
        if self.kind == "constant":
            wanted = self.base
        elif self.kind == "linear":
            wanted = self.base * attempt
        else:
            # 100^150 still fits a float; past that the cap has long decided.
            wanted = self.base * self.factor ** min(attempt - 1, 150)
        return min(wanted, self.cap)


DEFAULT = Backoff()
