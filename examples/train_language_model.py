"""A character language model of two minGRU layers, trained on a CPU, with the scan on the hot path.

A minGRU layer (Feng et al., *Were RNNs all we needed?*, 2024) has gates that do not look at
the state, so its states are a linear recurrence: ``ms.linear_recurrence``, forward and in
the gradient. The same model with a Python loop over time gives the same losses, slowly.
"""

import argparse
import importlib.util
import time
from itertools import islice
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
from mlx.utils import tree_flatten

import monoscan as ms

TEXT = Path(__file__).parent / "data" / "alice.txt"
BATCH, LENGTH, WIDTH, LAYERS, STEPS, RACED = 4, 256, 64, 2, 300, 8


def by_scan(a: mx.array, b: mx.array) -> mx.array:
    """The states h_t = a_t h_(t-1) + b_t along axis 1."""
    return ms.linear_recurrence(a, b, axis=1)


def by_loop(a: mx.array, b: mx.array) -> mx.array:
    """The same, one step after the other; ``split`` has a cheaper gradient than indexing."""
    h, states = mx.zeros_like(a[:, :1]), []
    for gate, step in zip(mx.split(a, a.shape[1], axis=1), mx.split(b, b.shape[1], axis=1), strict=True):
        h = gate * h + step
        states.append(h)
    return mx.concatenate(states, axis=1)


class MinGRU(nn.Module):
    def __init__(self, width, recurrence):
        super().__init__()
        self.norm, self.linear, self.recurrence = nn.RMSNorm(width), nn.Linear(width, 2 * width), recurrence

    def __call__(self, x):
        gate, candidate = mx.split(self.linear(self.norm(x)), 2, axis=-1)
        z = mx.sigmoid(gate)
        return self.recurrence(1 - z, z * candidate)


class LanguageModel(nn.Module):
    def __init__(self, alphabet, recurrence):
        super().__init__()
        self.embedding, self.norm = nn.Embedding(alphabet, WIDTH), nn.RMSNorm(WIDTH)
        self.layers = [MinGRU(WIDTH, recurrence) for _ in range(LAYERS)]
        self.head = nn.Linear(WIDTH, alphabet)

    def __call__(self, tokens):
        x = self.embedding(tokens)
        for layer in self.layers:
            x = x + layer(x)
        return self.head(self.norm(x))


def loss_of(model, tokens):
    """Nats a character, of each character after those before it."""
    return nn.losses.cross_entropy(model(tokens[:, :-1]), tokens[:, 1:], reduction="mean")


def training(text, alphabet, recurrence):
    """Trains a model for as long as it is asked to; yields it, the loss and the seconds of each step."""
    mx.random.seed(0)
    rng = np.random.default_rng(0)
    model = LanguageModel(alphabet, recurrence)
    optimizer = optim.AdamW(learning_rate=optim.cosine_decay(4e-3, STEPS), weight_decay=0.01)
    value_and_grad = nn.value_and_grad(model, loss_of)
    while True:
        starts = rng.integers(0, len(text) - LENGTH, (BATCH, 1))
        tokens = mx.array(text[starts + np.arange(LENGTH + 1)])
        begin = time.perf_counter()
        loss, gradients = value_and_grad(model, tokens)
        optimizer.update(model, gradients)
        mx.eval(model.state, optimizer.state, loss)
        yield model, loss.item(), time.perf_counter() - begin


def race(text, alphabet, steps):
    """The losses of the first steps, by scan and by loop, and how many times as long the loop takes."""
    both = zip(training(text, alphabet, by_scan), training(text, alphabet, by_loop), strict=False)
    rows = [(x, y, s, t) for (_, x, s), (_, y, t) in islice(both, 1 + steps)]  # in turns, so that noise hits both
    ratio = np.median([t for *_, t in rows[1:]]) / np.median([s for *_, s, _ in rows[1:]])
    return [x for x, *_ in rows], [y for _, y, *_ in rows], ratio


def recurrence_seconds(recurrence, repeats=5):
    """The recurrence of one layer alone, forward and gradient."""
    a, b = mx.random.uniform(shape=(2, BATCH, LENGTH, WIDTH))
    gradient = mx.grad(lambda a, b: recurrence(a, b).sum(), argnums=(0, 1))
    seconds = []
    for _ in range(1 + repeats):
        begin = time.perf_counter()
        mx.eval(gradient(a, b))
        seconds.append(time.perf_counter() - begin)
    return np.median(seconds[1:])


def sample(model, letters, start, count):
    """A text that the model likes."""
    tokens = [letters.index(c) for c in start]
    mx.random.seed(1)
    for _ in range(count):
        logits = model(mx.array([tokens[-LENGTH:]]))[0, -1]
        tokens.append(mx.random.categorical(logits / 0.7).item())
    return "".join(letters[t] for t in tokens)


def plot(path, curves):
    """The losses of several runs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for style, (name, losses) in zip(("-", "o"), curves.items(), strict=False):
        axes.plot(range(1, len(losses) + 1), losses, style, label=name, markersize=4)
    axes.set(xlabel="step", ylabel="loss (nats a character)", title="minGRU language model, two chapters of Alice")
    axes.legend()
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=STEPS, help=f"default: {STEPS}")
    parser.add_argument("--plot", type=Path, default=Path("language_model.png"), metavar="PNG")
    arguments = parser.parse_args()
    if arguments.steps < 1:
        parser.error(f"--steps is at least 1; got {arguments.steps}")

    letters = sorted(set(TEXT.read_text()))
    text = np.array([letters.index(c) for c in TEXT.read_text()])
    held = len(text) * 9 // 10
    seen, unseen = text[:held], mx.array(text[None, held:])

    by_scans, by_loops, ratio = race(seen, len(letters), RACED)
    np.testing.assert_allclose(by_scans, by_loops, rtol=1e-4)
    alone = recurrence_seconds(by_loop) / recurrence_seconds(by_scan)
    print(
        f"a loop over time gives the same first {RACED + 1} losses within 1e-4; it takes {ratio:.1f} times as long a step,"
    )
    print(f"and {alone:.0f} times as long for the recurrence alone, forward and gradient\n")

    print(f"{len(seen):,} characters, batches of {BATCH} times {LENGTH}")
    losses, report, begin = [], max(1, arguments.steps // 8), time.perf_counter()
    for model, loss, _ in islice(training(seen, len(letters), by_scan), arguments.steps):  # noqa: B007  # the last one
        losses.append(loss)
        if len(losses) % report == 0:
            print(f"  step {len(losses):4}  loss {np.mean(losses[-report:]):.3f}", flush=True)
    size = sum(p.size for _, p in tree_flatten(model.parameters()))
    print(f"{size:,} parameters, {time.perf_counter() - begin:.0f} s")

    frequencies = np.bincount(text, minlength=len(letters)) / len(text)
    by_letter = -np.sum(frequencies * np.log(frequencies))
    print(f"unseen text: {loss_of(model, unseen).item():.2f} nats a character; by letter frequencies {by_letter:.2f}")
    print("\n" + sample(model, letters, "Alice ", 160))
    if importlib.util.find_spec("matplotlib") is not None:
        plot(arguments.plot, {"scan": losses, "loop": by_loops})
        print(f"\nloss curve: {arguments.plot}")


if __name__ == "__main__":
    main()
