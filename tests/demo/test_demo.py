"""The main job on real data, against statsmodels and against what is published."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from monoscan import demo
from monoscan.demo import custom, nile, plot, recurrence


@pytest.fixture(scope="module")
def flows() -> np.ndarray:
    return nile.load()[1]


@pytest.fixture(scope="module")
def fit(flows: np.ndarray) -> nile.Fit:
    return nile.fit(flows)


@pytest.fixture(scope="module")
def levels(flows: np.ndarray, fit: nile.Fit) -> nile.Levels:
    return nile.levels(flows, fit.noise, fit.process)


def _statsmodels(flows: np.ndarray) -> object:
    statsmodels = pytest.importorskip("statsmodels.api")
    return statsmodels.tsa.UnobservedComponents(flows, "llevel", use_exact_diffuse=True)


def test_the_data_are_those_of_statsmodels(flows: np.ndarray) -> None:
    datasets = pytest.importorskip("statsmodels.datasets")
    table = datasets.nile.load_pandas().data
    years = nile.load()[0]
    assert years.tolist() == table["year"].tolist()
    assert flows.tolist() == table["volume"].tolist()


def test_maximum_likelihood_is_the_published_one(fit: nile.Fit) -> None:
    assert fit.noise == pytest.approx(nile.PUBLISHED["noise"], abs=1)
    assert fit.process == pytest.approx(nile.PUBLISHED["process"], abs=0.1)
    assert fit.log_likelihood == pytest.approx(nile.PUBLISHED["log_likelihood"], abs=0.01)


@pytest.mark.long
def test_log_likelihood_is_that_of_statsmodels(flows: np.ndarray, fit: nile.Fit) -> None:
    model = _statsmodels(flows)
    first = 0.5 * np.log(2 * np.pi)  # statsmodels counts the first observation, of which nothing is predicted
    assert fit.log_likelihood == pytest.approx(model.loglike([fit.noise, fit.process]) + first, abs=1e-9)
    for factor in (0.99, 1.01):
        assert model.loglike([fit.noise * factor, fit.process]) + first < fit.log_likelihood
        assert model.loglike([fit.noise, fit.process * factor]) + first < fit.log_likelihood


def test_levels_are_those_of_statsmodels(flows: np.ndarray, fit: nile.Fit, levels: nile.Levels) -> None:
    expected = _statsmodels(flows).smooth([fit.noise, fit.process])
    np.testing.assert_allclose(levels.filtered, expected.filtered_state[0], rtol=1e-12)
    np.testing.assert_allclose(levels.filtered_variance, expected.filtered_state_cov[0, 0], rtol=1e-10)
    np.testing.assert_allclose(levels.smoothed, expected.smoothed_state[0], rtol=1e-12)
    np.testing.assert_allclose(levels.smoothed_variance, expected.smoothed_state_cov[0, 0], rtol=1e-10)


def test_recurrence_agrees_with_the_loop() -> None:
    race = recurrence.race()
    assert race.error < 1e-5
    assert min(race.scan, race.floats, race.arrays) > 0


def test_deepest_falls_by_hand() -> None:
    years, flows = np.arange(2000.0, 2006.0), np.array([5.0, 9.0, 2.0, 7.0, 8.0, 4.0])
    assert custom.deepest(years, flows, dam=2003) == (7.0, 2002.0, 7.0, 4.0)


def test_the_custom_operator_is_lawful_or_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hypothesis")
    assert "holds" in custom.laws()
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    monkeypatch.setattr(custom.importlib.util, "find_spec", lambda name: None)
    assert "pip install" in custom.laws()


def test_characters_show_every_series(flows: np.ndarray, levels: nile.Levels) -> None:
    picture = plot.text(nile.load()[0], flows, levels)
    assert all(mark in picture for mark in "o·━░")
    assert max(map(len, picture.splitlines())) <= 100
    assert "1871" in picture
    assert "1970" in picture


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="no matplotlib")
def test_png(tmp_path: Path, flows: np.ndarray, levels: nile.Levels) -> None:
    plot.png(tmp_path / "new" / "nile.png", nile.load()[0], flows, levels)
    assert (tmp_path / "new" / "nile.png").read_bytes().startswith(b"\x89PNG")


def test_all_of_it_reads_well_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    demo.run()
    assert list(tmp_path.iterdir()) == []
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 120
    for words in ("15099", "1469.1", "-632.5", "65,536", "Drawdown"):
        assert words in printed
