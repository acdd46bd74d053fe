"""Linear Gaussian state space models: beliefs about the state, forwards and back, and draws from them.

``x[0] ~ N(mean, covariance)``, ``x[t] = transition x[t-1] + inputs[t] + N(0, process)`` and
``y[t] = emission x[t] + N(0, noise)``. Covariances are carried as factors ``S`` with ``covariance = S S'``, and every step
makes a factor from factors, so that none loses its positive definiteness in float32. Observations come in one component
after the other (their noise is decorrelated first), which takes no inverse; a component that is NaN is missing. Each
function is a loop or two over time, many sequences side by side, with gradients by everything that it is given, and takes
the ``lengths`` of padded rows.

Source: Potter (1963) and Kaminski, Bryson and Schmidt, *Discrete Square Root Filtering* (1971) for the factors; Rauch, Tung
and Striebel (1965) for the way back.
"""

from monoscan.kalman.backwards import sample, smooth
from monoscan.kalman.forwards import filter
from monoscan.kalman.model import Filtered, Model, Smoothed

__all__ = ["Filtered", "Model", "Smoothed", "filter", "sample", "smooth"]
