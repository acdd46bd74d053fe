"""Parsing without a loop: finite automata over the bytes of a file.

Each byte is a map from states to states, and maps compose: that is `FiniteMap`. A scan
gives the state after every byte, here of one automaton that sees words and one that
validates UTF-8.
"""

from pathlib import Path

import mlx.core as mx
import numpy as np

import monoscan as ms

FILE = Path(__file__).parent / "data" / "alice.txt"
OUTSIDE, INSIDE = 0, 1
GOOD, ONE, TWO, THREE, AFTER_E0, AFTER_ED, AFTER_F0, AFTER_F4, BAD = range(9)


def words() -> np.ndarray:
    """States: outside of a word, inside of one."""
    table = np.full((256, 2), INSIDE, np.int32)
    table[list(b" \t\n\r\v\f")] = OUTSIDE
    return table


def utf8() -> np.ndarray:
    """States: how many bytes must still follow; the first of them has a smaller range after E0, ED, F0 and F4."""
    table = np.full((256, 9), BAD, np.int32)
    table[0x00:0x80, GOOD] = GOOD
    table[0xC2:0xE0, GOOD], table[0xE0:0xF0, GOOD], table[0xF0:0xF5, GOOD] = ONE, TWO, THREE
    table[[0xE0, 0xED, 0xF0, 0xF4], GOOD] = AFTER_E0, AFTER_ED, AFTER_F0, AFTER_F4
    table[0x80:0xC0, ONE], table[0x80:0xC0, TWO], table[0x80:0xC0, THREE] = GOOD, ONE, TWO
    table[0xA0:0xC0, AFTER_E0], table[0x80:0xA0, AFTER_ED] = ONE, ONE
    table[0x90:0xC0, AFTER_F0], table[0x80:0x90, AFTER_F4] = TWO, TWO
    return table


def states(table: np.ndarray, text: bytes) -> np.ndarray:
    """The state after each byte."""
    automaton = ms.FiniteMap(table.shape[1])
    maps = automaton.embed(mx.array(np.frombuffer(text, np.uint8)), mx.array(table))
    return np.array(automaton.project(ms.scan(automaton, maps)))


def main() -> None:
    text = FILE.read_bytes()
    inside = states(words(), text)
    count = int(np.sum(np.diff(inside, prepend=OUTSIDE) == 1))
    assert count == len(text.split()), "another count than bytes.split()"
    print(f"{FILE.name}: {len(text):,} bytes, {count:,} words, as bytes.split() counts them")

    table = utf8()
    samples = [
        text,
        "naïve café, 木, 🎩".encode(),
        b"caf\xc3",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"a\x80",
    ]
    for sample in samples:
        valid = bool(states(table, sample)[-1] == GOOD)
        assert valid == decodes(sample), f"another verdict than bytes.decode() on {sample!r:.40}"
        print(f"  {'valid' if valid else 'not valid':10}{sample[:28]!r}")
    print("UTF-8 as bytes.decode() judges it")


def decodes(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


if __name__ == "__main__":
    main()
