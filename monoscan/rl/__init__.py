"""Returns and advantages of reinforcement learning, each one scan from the last step back.

Arrays are time-major as in rlax: ``r_t``, ``discount_t`` and what is aligned with them have T steps along ``axis``, and
any batch axes beside it. ``dones`` says after which steps an episode ended: nothing passes from behind such a step.
"""

from monoscan.rl.advantages import gae, vtrace
from monoscan.rl.returns import discounted_returns, lambda_returns

__all__ = ["discounted_returns", "gae", "lambda_returns", "vtrace"]
