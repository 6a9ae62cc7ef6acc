"""One product whose demand is that of an unknown posterior draw, which sales tell over an episode.

The belief, the probability of each draw given prices and sales so far, is part of the state: Rothschild
(1974), A Two-Armed Bandit Theory of Market Pricing, Journal of Economic Theory 9(2); Aviv and Pazgal
(2005), A Partially Observed Markov Decision Process for Dynamic Pricing, Management Science 51(9);
Harrison, Keskin and Zeevi (2012), Bayesian Dynamic Pricing Policies: Learning and Earning Under a
Binary Prior Distribution, Management Science 58(3).
"""

from .policy import BeliefPrice, myopic_bayesian
from .solver import solve

__all__ = ["BeliefPrice", "myopic_bayesian", "solve"]
