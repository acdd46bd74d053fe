"""Running totals per account, over one long table of bookings sorted by account.

`Segmented` turns any operator into one that starts anew at each flag: no padding, no loop
over groups, and however long or short the groups are.
"""

import mlx.core as mx
import numpy as np

import monoscan as ms

ACCOUNTS, BOOKINGS = 500, 20_000


def main() -> None:
    rng = np.random.default_rng(0)
    account = np.sort(rng.integers(0, ACCOUNTS, BOOKINGS))
    cents = rng.integers(-5_000, 5_001, BOOKINGS).astype(np.int32)
    starts = np.diff(account, prepend=-1) > 0

    balances = ms.Segmented(ms.Tuple(ms.Sum(), ms.Min()))
    flags, amounts = mx.array(starts), mx.array(cents)
    _, (balance, lowest) = ms.scan(balances, (flags, (amounts, amounts)))
    before = ms.scan(ms.Segmented(ms.Sum()), (flags, amounts), inclusive=False)[1]

    expected = plain(account.tolist(), cents.tolist())
    got = np.stack([np.array(balance), np.array(lowest), np.array(before)], axis=1)
    assert got.tolist() == expected, "another balance than the loop's"
    print(f"{BOOKINGS:,} bookings on {starts.sum()} accounts, as a loop over them with dictionaries")

    print("account   amount  balance before  balance after  lowest amount")
    for i in range(4):
        print(
            f"{account[i]:7}{cents[i] / 100:9.2f}{got[i, 2] / 100:16.2f}{got[i, 0] / 100:15.2f}{got[i, 1] / 100:15.2f}"
        )


def plain(account: list[int], cents: list[int]) -> list[list[int]]:
    """Balance, lowest booking, and balance before, of each booking's account."""
    totals: dict[int, int] = {}
    lowest: dict[int, int] = {}
    rows = []
    for key, amount in zip(account, cents, strict=True):
        before = totals.get(key, 0)
        totals[key] = before + amount
        lowest[key] = min(lowest.get(key, amount), amount)
        rows.append([totals[key], lowest[key], before])
    return rows


if __name__ == "__main__":
    main()
