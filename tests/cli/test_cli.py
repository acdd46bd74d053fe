"""The whole command line: what it prints, what it says of wrong input, and how it exits."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import mlx.core as mx
import pytest

import monoscan as ms
from monoscan.cli import bench, files
from monoscan.lowering.targets.cpu import build
from monoscan.monoids import named
from tests.command_line import Captured, run

COMMANDS = ("demo", "info", "explain", "source", "bench", "laws")
WITH_ARGUMENTS = ("Dual", "FiniteMap", "Maybe", "Segmented", "Semidirect", "SemiringMatMul", "Struct", "Tuple", "Via")
kernels = pytest.mark.skipif(not build.status().available, reason="no C++ compiler")


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help(capsys: Captured, command: tuple[str, ...]) -> None:
    code, out, err = run(capsys, *command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith("usage: monoscan")
    assert command or all(name in out for name in COMMANDS)


def test_as_a_program(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "monoscan", "explain", "Foo"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("[operator] there is no operator Foo. Known are Affine, All,")


def test_version(capsys: Captured) -> None:
    assert run(capsys, "--version") == (0, f"monoscan {ms.__version__}\n", "")


def test_without_a_command_all_are_named(capsys: Captured) -> None:
    code, out, err = run(capsys)
    assert (code, out) == (2, "")
    assert all(name in err for name in COMMANDS)


@pytest.mark.parametrize(
    "arguments",
    [
        (), ("fly",), ("explain",), ("explain", "Sum", "--strategy", "fast"),
        ("laws", "Sum", "--examples", "0"), ("laws", "Sum", "--size", "-1"),
    ],
)  # fmt: skip
def test_wrong_commands(capsys: Captured, arguments: tuple[str, ...]) -> None:
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert "error:" in err


@pytest.mark.parametrize("shape", ["a", "", "4,-1", "4;5", "1.5"])
def test_wrong_shapes(capsys: Captured, shape: str) -> None:
    code, _, err = run(capsys, "explain", "Sum", f"--shape={shape}")
    assert code == 2
    assert "a shape is sizes with commas, as 64,1024; got" in err


@pytest.mark.long
def test_info(capsys: Captured) -> None:
    code, out, _ = run(capsys, "info")
    assert code == 0
    for words in (f"monoscan {ms.__version__}", "mlx", "devices", "strategies", "kernel (cpu)", "blelloch"):
        assert words in out


def test_explain_says_what_the_library_says(capsys: Captured) -> None:
    code, out, _ = run(capsys, "explain", "Affine", "--shape", "64,100", "--axis", "1", "--reverse")
    a = mx.zeros((64, 100))
    assert code == 0
    assert out.rstrip("\n") == str(ms.explain(ms.Affine(), (a, a), axis=1, reverse=True))


@pytest.mark.parametrize("name", [name for name in named.catalogue() if name not in WITH_ARGUMENTS])
def test_every_operator_by_its_name(capsys: Captured, name: str) -> None:
    code, out, err = run(capsys, "explain", name, "--shape", "8")
    assert (code, err) == (0, "")
    assert out.startswith(f"scan of {name}")


@pytest.mark.parametrize(
    "expression",
    ["FiniteMap(5)", "Segmented(Quaternion())", "Tuple(Sum(), Affine())", "Struct(low=Min(), high=Max())", "Dual(MatMul())",
     "SemiringMatMul(MinPlus())", "Moments(order=4)", "Maybe(Last())", "Semidirect(Product(), Sum())"],
)  # fmt: skip
def test_operators_by_an_expression(capsys: Captured, expression: str) -> None:
    code, out, _ = run(capsys, "explain", expression, "--shape", "8")
    assert code == 0
    assert "scan of" in out


@pytest.mark.parametrize(
    ("operator", "words"),
    [
        ("Foo", "there is no operator Foo. Known are Affine"),
        ("Dual", "Dual must be called with arguments"),
        ("Sum(", "cannot read the operator 'Sum('"),
        ("Segmented(x for x in y)", "may hold operators and literals only"),
        ("Boolean", "Boolean is Boolean, not an operator"),
        ("nowhere:Op", "cannot import nowhere"),
        ("monoscan:Nothing", "monoscan has no Nothing; it has"),
        ("math:pi", "math:pi is float, not an operator"),
        ("Moments(7)", "order must be 2, 3 or 4; got 7"),
    ],
)
def test_wrong_operators(capsys: Captured, operator: str, words: str) -> None:
    for command in ("explain", "source", "bench"):
        code, out, err = run(capsys, command, operator, "--shape", "8")
        assert code == 2
        assert out == ""
        assert words in err
        assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("Sum", "--axis", "3"), "axis"),
        (("Affine", "--strategy", "native"), "MLX has no scan that computes it"),
        (("First", "--strategy", "blelloch"), "it has no identity"),
        (("First", "--exclusive"), "Give init="),
        (("LogSumExp", "--dtype", "int32"), "takes floats only"),
        (("MatMul", "--event", "0"), "the size of an event axis is a number from 1 to 256; got '0'"),
        (("Sum", "--shape", "99999,99999"), "got '99999,99999', which is too large"),
    ],
)
def test_what_a_scan_refuses(capsys: Captured, arguments: tuple[str, ...], words: str) -> None:
    code, _, err = run(capsys, "explain", *arguments)
    assert code == 2
    assert words in err


def test_an_operator_of_ones_own(capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cli_falls.py").write_text(
        "import mlx.core as mx\nimport monoscan as ms\n"
        "compound = ms.monoid(lambda l, r: l + r + l * r, identity=0, name='compound')\n"
        "top = ms.monoid(lambda l, r: mx.sort(mx.concatenate([l, r]))[:2], event=1, name='lowest two')\n"
        "pair = ms.monoid(lambda l, r: (l[0] + r[0], l[1] * r[1]), identity=(0, 1), name='pair')\n"
        "average = ms.monoid(lambda l, r: (l + r) / 2, identity=0, name='average')\n"
    )
    monkeypatch.chdir(tmp_path)
    code, out, _ = run(capsys, "source", "cli_falls:compound")
    assert code == 0
    assert "# combine of compound: 1 lane, 3 lines" in out
    code, _, err = run(capsys, "source", "cli_falls:top")
    assert code == 2
    assert "combine of lowest two does not trace to a program: the operation Sort" in err
    for around in ("Segmented(cli_falls.pair)", "Maybe(Dual(cli_falls.pair))", "Struct(one=cli_falls.pair)",
                   "Tuple(Sum(), cli_falls.compound)", "Semidirect(cli_falls.compound, Sum())"):  # fmt: skip
        code, out, _ = run(capsys, "explain", around)
        assert code == 0
        assert out.partition("\n")[0].count("float32[1024]") == 2
    code, out, _ = run(capsys, "laws", "cli_falls:average")
    assert code == 1
    assert "associativity fails" in out
    code, out, _ = run(capsys, "laws", "monoscan:Max", "--examples", "5", "--seed", "1")
    assert code == 0
    assert "Max" in out


def test_laws_of_nothing(capsys: Captured) -> None:
    assert run(capsys, "laws", "nowhere:Op")[0] == 2


def test_source_is_the_program(capsys: Captured) -> None:
    code, out, _ = run(capsys, "source", "Affine")
    a = mx.zeros((8,))
    assert code == 0
    assert out == f"# combine of Affine: 2 lanes, 3 lines\n{ms.explain(ms.Affine(), (a, a)).problem.program}\n"


@kernels
def test_source_of_wide_elements_is_a_program_of_arrays(capsys: Captured) -> None:
    code, out, _ = run(capsys, "source", "MatMul", "--event", "9")
    assert code == 0
    assert out.startswith("# combine of MatMul: 81 lanes, 1 line on arrays of them\n")
    assert "contract add.mul" in out


def test_source_of_kernels(capsys: Captured) -> None:
    code, out, _ = run(capsys, "source", "Affine", "--kernel", "--shape", "640")
    a = mx.zeros((640,))
    assert code == 0
    assert out == ms.explain(ms.Affine(), (a, a)).source + "\n"
    code, whole, _ = run(capsys, "source", "Affine", "--kernel", "--expand", "--shape", "640")
    assert code == 0
    assert "#include" not in whole
    assert "#define INLINE" in whole
    assert set(out.splitlines()) - set(whole.splitlines()) == {
        '#include "ops.h"',
        '#include "state.h"',
        '#include "rows.h"',
    }
    code, out, _ = run(capsys, "source", "Sum", "--kernel")
    assert code == 0
    assert out.startswith('// not what a scan runs: that is native; this is strategy="kernel"\n')
    assert "INLINE" in out


def test_svg(capsys: Captured, tmp_path: Path) -> None:
    picture = tmp_path / "scan.svg"
    arguments = ("explain", "Affine", "--shape", "16,3", "--strategy", "blelloch", "--exclusive", "--svg", str(picture))
    code, out, _ = run(capsys, *arguments)
    assert code == 0
    assert str(picture) in out
    assert "exclusive scan of 16 elements" in picture.read_text()
    assert ET.parse(picture).getroot().tag.endswith("svg")
    assert [path.name for path in tmp_path.iterdir()] == ["scan.svg"]


def test_what_is_printed_of_a_network_is_what_is_drawn(capsys: Captured, tmp_path: Path) -> None:
    picture = tmp_path / "scan.svg"
    _, out, _ = run(capsys, "explain", "Affine", "--shape", "8", "--strategy", "blelloch", "--svg", str(picture))
    assert "17 combines, depth 3" in out  # what runs: Hillis-Steele's steps, at so few elements
    assert "drawn down to single elements: 11 combines, depth 4" in out
    assert "11 combines" in picture.read_text()
    _, out, _ = run(capsys, "explain", "Affine", "--shape", "8", "--strategy", "hillis_steele", "--svg", str(picture))
    assert "drawn" not in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--shape", "33", "--strategy", "blelloch"), "draws 1 to 32 elements; got 33"),
        (("--shape", "16"), "force one of hillis_steele, blelloch, brent_kung, sequential"),
    ],
)
def test_what_cannot_be_drawn(capsys: Captured, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    picture = tmp_path / "scan.svg"
    picture.write_text("as it was")
    code, _, err = run(capsys, "explain", "Max", *arguments, "--svg", str(picture))
    assert code == 2
    assert words in err
    assert picture.read_text() == "as it was"


def test_where_no_picture_can_go(capsys: Captured, tmp_path: Path) -> None:
    arguments = ("explain", "Max", "--shape", "8", "--strategy", "blelloch", "--svg")
    for path, words in {
        tmp_path: "is a folder",
        tmp_path / "no" / "a.svg": f"there is no folder {tmp_path / 'no'}",
    }.items():
        code, out, err = run(capsys, *arguments, str(path))
        assert (code, out) == (2, "")
        assert words in err
    (tmp_path / "file").touch()
    code, _, err = run(capsys, *arguments, str(tmp_path / "file" / "a.svg"))
    assert code == 2
    assert "cannot write" in err


def test_a_file_is_whole_or_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "a.svg"
    files.write("explain", place, "first")
    files.write("explain", place, "second")
    assert place.read_text() == "second"

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ms.ScanError, match="no space left on device"):
        files.write("explain", place, "third")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.svg", "second")]


@pytest.mark.parametrize("operator", ["Affine", "First", "Max", "Tuple(Sum(), Max())"])
def test_bench(capsys: Captured, operator: str) -> None:
    code, out, _ = run(capsys, "bench", operator, "--shape", "50,4", "--seconds", "0.05")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].startswith("scan of")
    names = [re.split(r"\s{2,}", line.strip())[0] for line in lines[2:-1]]
    assert names[0].startswith("auto: ")
    assert names[-1] == "mx.cumsum of one leaf"
    assert set(bench.PORTABLE) <= {name.removeprefix("auto: ") for name in names}
    assert ("needs an identity" in out) == (operator == "First")
    assert lines[-2].endswith("1.00x")


def test_bench_of_what_takes_too_long_or_is_forced(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "LOOP_STEPS", 10)
    arguments = ("bench", "cli_bench_op:op", "--shape", "16,2", "--seconds", "0.01")
    module = type(sys)("cli_bench_op")
    module.op = ms.monoid(lambda l, r: mx.sort(mx.stack([l, r]), axis=0)[0])  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cli_bench_op", module)
    code, out, _ = run(capsys, *arguments, "--strategy", "brent_kung")
    assert code == 0
    assert "a loop in Python; timed up to length 10" in out
    assert "\n  brent_kung" in out
    assert out.count("brent_kung") == 1


def test_bench_says_what_it_does_after_a_while(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_SILENT_FOR", 0.0)
    _, _, err = run(capsys, "bench", "Max", "--shape", "8", "--seconds", "0.01")
    assert "[bench] 0 s: warming up auto: native" in err


def test_numbers_are_drawn_for_a_race_alone(capsys: Captured) -> None:
    """A plan needs shapes: one of eight gibibytes is told as quickly as any, and timed where there is memory."""
    code, out, _ = run(capsys, "explain", "Affine", "--shape", "1073741824")
    assert code == 0
    assert "float32[1073741824]" in out
    code, _, err = run(capsys, "bench", "MatMul", "--shape", "2000000000", "--event", "256")
    assert code == 2
    assert "GiB; this machine has" in err


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_bench_of_no_time(capsys: Captured, seconds: str) -> None:
    code, _, err = run(capsys, "bench", "Max", f"--seconds={seconds}")
    assert code == 2
    assert "--seconds is a positive number" in err


def test_html(capsys: Captured) -> None:
    x = mx.ones((16,))
    page = ms.explain(ms.Affine(), (x, x), strategy="blelloch")._repr_html_()
    root = ET.fromstring(page)
    assert "combine by lanes" in page
    assert len(list(root.iter("{http://www.w3.org/2000/svg}svg"))) == 1
    plain = ms.explain(ms.Tuple(ms.Sum(), ms.First()), (x, x))
    assert "<svg" not in plain._repr_html_()
    assert "part 1: " in plain._repr_html_() or not plain.parts
    ET.fromstring(plain._repr_html_())


@pytest.mark.parametrize("target", ["metal", "cuda"])
def test_source_of_a_gpu_kernel_on_any_machine(capsys: Captured, target: str) -> None:
    code, out, err = run(capsys, "source", "Affine", "--shape", "4,5000", "--axis", "1", "--target", target)
    assert (code, err) == (0, "")
    assert ("__global__" in out) == (target == "cuda")
    assert out.count("ms::rows(") == 1


def test_source_for_a_gpu_that_has_a_function_which_another_has_not(
    capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cli_erf.py").write_text(
        "import mlx.core as mx\nimport monoscan as ms\n\nErf = ms.monoid(lambda a, b: mx.erf(a) + b)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    code, out, _ = run(capsys, "source", "cli_erf:Erf", "--target", "cuda")
    assert code == 0
    assert "erf(" in out
    code, out, err = run(capsys, "source", "cli_erf:Erf", "--target", "metal")
    assert (code, out) == (2, "")
    assert "no GPU code for erf" in err
