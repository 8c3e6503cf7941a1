#!/usr/bin/env python3
"""Times and checks NMF and NMFD beside the Python NMF toolbox, torchnmf and scikit-learn in one run.

    compare.py --program build/release/benchmarks/nmf_speed [--toolbox DIR] [--venv DIR] [--threads 1] [--repeats 3]
               [--bins 2049] [--frames 1292] [--iterations 30] [--no-torch]

DIR is a folder that holds the toolbox's package `NMFtoolbox` (GPL, hence fetched apart: the repository
Zapalot/drosophilaAudioMosaic has a complete copy); without --toolbox its rows are left out. The Python packages are installed
by name into a virtual environment outside the repository; torch is large, --no-torch leaves it and torchnmf out.

V is bins x frames, R = 4 components, templates of T = 8 frames, the same random start for all. Every measurement is repeated
and the fastest counts; the contenders take turns, so that what else the machine does meets all of them. Rows:

  NMFD, updates of the toolbox   The toolbox's call with 30 iterations minus its call with 0 (it computes component models at
                                 the end). "no cost": its cost's logarithm is replaced by nothing, as ours computes no
                                 divergence unless asked. The largest difference of the factors is printed.
  NMFD, monotone updates         torchnmf float32 without its stopping test, W and H each from a fresh model, as ours "clean".
  NMF, Kullback-Leibler          scikit-learn's multiplicative updates against ours, R = 200, 5 iterations, T = 1.
  supervised                     stereo to four stems by a dictionary of R = 200 templates, 100 iterations, float32, from
                                 samples to samples; times faster than real time.

GEMM is NumPy's product of two square matrices (2048) in the same run, precision and number of threads; shares count 6 KMRT
operations per iteration in the toolbox's order and 8 KMRT in clean order.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import venv

R, T = 4, 8


def inside_venv(arguments):
    """Runs this script again with the virtual environment's Python, making it first where it is missing."""
    folder = pathlib.Path(arguments.venv)
    threads = str(arguments.threads)
    environment = dict(os.environ)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment[name] = threads
    if pathlib.Path(sys.prefix).resolve() == folder.resolve() and os.environ.get("OPENBLAS_NUM_THREADS") == threads:
        return
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    packages = (pathlib.Path(__file__).parent / "requirements.txt").read_text().split()
    if arguments.no_torch:
        packages = [name for name in packages if "torch" not in name]
    marker = folder / ("ready-without-torch" if arguments.no_torch else "ready")
    if not marker.exists():
        print(f"installing {', '.join(packages)} into {folder}", file=sys.stderr)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
        marker.touch()
    os.execve(python, [str(python), __file__, *sys.argv[1:]], environment)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="nmf_speed of this build")
    parser.add_argument("--toolbox", help="folder that holds the package NMFtoolbox")
    parser.add_argument("--venv", default=str(pathlib.Path.home() / ".cache" / "mssbench" / "peers-nmf"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--bins", type=int, default=2049)
    parser.add_argument("--frames", type=int, default=1292)
    parser.add_argument("--iterations", type=int, default=30)
    parser.add_argument("--seconds", type=int, default=20, help="of stereo for the supervised row")
    parser.add_argument("--no-torch", action="store_true")
    return parser.parse_args()


def timed(call):
    begin = time.perf_counter()
    result = call()
    return time.perf_counter() - begin, result


class NoLogarithm:
    """NumPy for the toolbox's NMFD module with a logarithm that costs nothing."""

    def __init__(self, numpy):
        self._numpy = numpy

    def __getattr__(self, name):
        return getattr(self._numpy, name)

    @staticmethod
    def log(x):
        return x


class Comparison:
    def __init__(self, arguments):
        import numpy

        self.np = numpy
        self.arguments = arguments
        self.seconds = {}  # row -> fastest
        self.flops = {}
        self.notes = {}
        self.factors = {}
        rng = numpy.random.default_rng(1)
        k, m = arguments.bins, arguments.frames
        # Peaks and gaps like a spectrogram's: a low-rank part times exponential noise.
        self.v = (rng.random((k, 20)) ** 4 @ rng.random((20, m)) ** 4 + 1e-4) * rng.exponential(size=(k, m))
        self.w = rng.random((R, k, T)) + 1e-3
        self.w /= self.w.sum(axis=(1, 2), keepdims=True)
        self.h = numpy.ones((R, m))
        self.folder = tempfile.TemporaryDirectory(prefix="mssbench-peers-nmf-")
        self.data = pathlib.Path(self.folder.name)
        self.v.tofile(self.data / "V.f64")
        numpy.ascontiguousarray(self.w.transpose(1, 2, 0)).tofile(self.data / "W.f64")  # K x T x R
        self.h.tofile(self.data / "H.f64")

    def keep(self, row, seconds, flops=None):
        self.seconds[row] = min(seconds, self.seconds.get(row, float("inf")))
        if flops:
            self.flops[row] = flops

    def ours(self, row, *arguments):
        """One repeat, so that contenders take turns."""
        command = [self.arguments.program, *arguments, f"threads={self.arguments.threads}", "repeats=1"]
        out = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        self.keep(row, out["seconds"][0], out.get("flops"))
        return out

    def ours_nmfd(self, row, precision, order):
        a = self.arguments
        self.ours(row, "nmf", f"bins={a.bins}", f"frames={a.frames}", f"components={R}", f"template_frames={T}",
                  f"iterations={a.iterations}", f"precision={precision}", f"order={order}", f"data={self.data}")
        w = self.np.fromfile(self.data / "W.out").reshape(a.bins, T, R).transpose(2, 0, 1)
        self.factors[row] = (w, self.np.fromfile(self.data / "H.out").reshape(R, a.frames))

    def gemm(self, precision):
        n = 2048
        a = self.np.random.default_rng(2).random((n, n)).astype(f"float{precision}")
        self.keep(f"GEMM {precision}", timed(lambda: a @ a)[0], 2.0 * n**3)

    def toolbox(self):
        import NMFtoolbox.NMFD as module

        def call(iterations):
            parameter = {"numComp": R, "numIter": iterations, "numTemplateFrames": T,
                         "initW": [w.copy() for w in self.w], "initH": self.h.copy()}
            return timed(lambda: module.NMFD(self.v, parameter=parameter))

        numpy = module.np
        try:
            for row, np_module in (("toolbox, with its cost", numpy), ("toolbox", NoLogarithm(numpy))):
                module.np = np_module
                seconds, result = call(self.arguments.iterations)
                self.keep(row, seconds - call(0)[0])
                self.factors[row] = (self.np.array(result[0]), result[1])
        finally:
            module.np = numpy

    def torchnmf(self):
        import torch
        from torchnmf.nmf import NMFD

        torch.set_num_threads(self.arguments.threads)
        torch.set_flush_denormal(True)
        v = torch.from_numpy(self.v.astype("float32"))[None]
        w = torch.from_numpy(self.np.ascontiguousarray(self.w.transpose(1, 0, 2)).astype("float32"))  # K x R x T
        model = NMFD(W=w, H=torch.ones(1, R, self.arguments.frames - T + 1))
        done = []
        seconds, _ = timed(lambda: done.append(model.fit(v, tol=-float("inf"), max_iter=self.arguments.iterations)))
        self.keep("torchnmf", seconds)

    def sklearn(self, components, iterations):
        import warnings

        from sklearn.decomposition import non_negative_factorization

        warnings.simplefilter("ignore")
        rng = self.np.random.default_rng(3)
        for precision in (32, 64):
            v = self.v.astype(f"float{precision}")
            w = rng.random((self.arguments.bins, components)).astype(v.dtype)
            h = rng.random((components, self.arguments.frames)).astype(v.dtype)
            seconds, _ = timed(lambda: non_negative_factorization(
                v, W=w, H=h, n_components=components, init="custom", solver="mu", beta_loss="kullback-leibler", tol=0,
                max_iter=iterations))
            self.keep(f"scikit-learn {precision}", seconds)
            self.ours(f"NMF {precision}", "nmf", f"bins={self.arguments.bins}", f"frames={self.arguments.frames}",
                      f"components={components}", "template_frames=1", f"iterations={iterations}",
                      f"precision={precision}", "order=clean")

    def round(self):
        for precision in (64, 32):
            self.gemm(precision)
            self.ours_nmfd(f"NMFD {precision}", precision, "toolbox")
        if self.arguments.toolbox:
            self.toolbox()
        self.ours_nmfd("clean 32", 32, "clean")
        if not self.arguments.no_torch:
            self.torchnmf()
        self.sklearn(200, 5)
        self.ours("supervised", "supervised", f"seconds={self.arguments.seconds}", "components=200", "iterations=100")

    def rate(self, row):
        return self.flops[row] / self.seconds[row] * 1e-9

    def difference(self, row, other):
        return max(float(self.np.abs(a - b).max() / self.np.abs(b).max())
                   for a, b in zip(self.factors[row], self.factors[other]))

    def table(self):
        a = self.arguments
        print(f"V {a.bins} x {a.frames}, R {R}, T {T}, {a.iterations} iterations, {a.threads} thread(s), fastest of "
              f"{a.repeats}; 1-minute load {os.getloadavg()[0]:.1f}")
        print(f"{'':44}{'seconds':>9}{'GFLOP/s':>9}{'of GEMM':>9}{'ratio':>9}  bar")

        def line(name, row, gemm=None, peer=None, bar=None):
            if row not in self.seconds:
                return
            cells = f"{name:44}{self.seconds[row]:9.3f}"
            cells += f"{self.rate(row):9.1f}" if row in self.flops else f"{'':9}"
            share = self.rate(row) / self.rate(gemm) if gemm else None
            cells += f"{100 * share:8.0f}%" if gemm else f"{'':9}"
            if peer in self.seconds:
                ratio = self.seconds[peer] / self.seconds[row]
                cells += f"{ratio:8.1f}x"
                if bar:
                    cells += f"  {'reached' if ratio >= bar else 'MISSED'} (>= {bar}x {peer})"
            else:
                cells += f"{'':9}"
            if gemm and bar:
                cells += f"  {'reached' if share >= 0.5 else 'MISSED'} (>= 50 % of GEMM)"
            print(cells)

        line("NumPy GEMM float64", "GEMM 64")
        line("NumPy GEMM float32", "GEMM 32")
        line("NMFD  toolbox, with its cost", "toolbox, with its cost")
        line("NMFD  toolbox, no cost", "toolbox")
        line("NMFD  mssbench float64, toolbox order", "NMFD 64", "GEMM 64", "toolbox", 8)
        line("NMFD  mssbench float32, toolbox order", "NMFD 32", "GEMM 32", "toolbox", 16)
        line("NMFD  torchnmf float32", "torchnmf")
        line("NMFD  mssbench float32, clean order", "clean 32", "GEMM 32", "torchnmf", 3)
        for precision in (64, 32):
            line(f"NMF   scikit-learn float{precision}, R 200, 5 it.", f"scikit-learn {precision}")
            line(f"NMF   mssbench float{precision}, R 200, 5 it.", f"NMF {precision}", f"GEMM {precision}",
                 f"scikit-learn {precision}")
        faster = a.seconds / self.seconds["supervised"]
        print(f"{'supervised, R 200, 100 it., float32':44}{self.seconds['supervised']:9.3f}{'':18}{faster:8.1f}x  "
              f"{'reached' if faster >= 3 else 'MISSED'} (>= 3x real time; {a.seconds} s of stereo)")
        if "toolbox" in self.factors:
            for precision in (64, 32):
                print(f"largest difference of the factors from the toolbox's, relative to their maximum, float{precision}: "
                      f"{self.difference(f'NMFD {precision}', 'toolbox'):.1e}")


def main():
    arguments = parse()
    inside_venv(arguments)
    if arguments.toolbox:
        sys.path.insert(0, arguments.toolbox)
    comparison = Comparison(arguments)
    for i in range(arguments.repeats):
        print(f"round {i + 1} of {arguments.repeats}", file=sys.stderr)
        comparison.round()
    comparison.table()


if __name__ == "__main__":
    main()
