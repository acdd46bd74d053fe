"""The thread pool and head starts alone, under ThreadSanitizer: MLX itself is not built for it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from selection import thinned

from monoscan.lowering.render import headers
from monoscan.lowering.targets.cpu import compiler, recipe

# Several callers launch phases of a few tasks, while the number of threads changes. Task t
# writes cell t, and reads the cells that other tasks wrote in the phase before.
DRIVER = """
#include <cstdio>
#include <memory>
#include <vector>
#include "head_start.h"

constexpr int kTasks = 24;
struct Cells { long long now[kTasks]; long long before[kTasks]; };

void task(const ms_launch* launch, ms_int phase, ms_int t) {
  Cells& cells = *static_cast<Cells*>(launch->scratch);
  ms_int tasks = launch->n;
  if (phase % 2 == 0) cells.now[t] = cells.before[(t + 1) % tasks] + 1;
  if (phase % 2 == 1) cells.before[t] = cells.now[(t + 1) % tasks] + 1;
}

int main() {
  std::atomic<int> wrong{0};
  monoscan::pool().set_threads(4);
  auto caller = [&wrong](int seed) {
    for (int round = 0; round < 300; ++round) {
      Cells cells{};
      ms_launch launch{};
      launch.scratch = &cells;
      launch.n = 1 + (round * 7 + seed) % kTasks;
      auto work = [&](int joining) {
        for (int phase = 0; phase < 6; ++phase) monoscan::pool().run(task, &launch, phase, launch.n, joining);
        if (joining && round % 50 == 7) throw round;
      };
      if (seed % 2 == 0) {
        work(0);
      } else {
        auto start = std::make_shared<monoscan::HeadStart>();
        std::thread stream([start, round] {
          if (round % 20 == 3) std::this_thread::sleep_for(std::chrono::microseconds(200));
          start->join();
        });
        try {
          start->lead([&] { work(1); });
        } catch (int thrown) {
          wrong += thrown != round;
        }
        start = nullptr;
        stream.join();
      }
      for (int t = 0; t < launch.n; ++t) wrong += cells.before[t] != 6;
      if (seed == 0) monoscan::pool().set_threads(1 + round % 6);
      if (round % 100 == 99) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  };
  std::vector<std::thread> callers;
  for (int seed = 0; seed < 5; ++seed) callers.emplace_back(caller, seed);
  for (std::thread& thread : callers) thread.join();
  std::printf("%d wrong, %d handed over\\n", wrong.load(), monoscan::pool().dispatched() > 0);
}
"""


@pytest.mark.parametrize("sanitize", thinned(["", "thread", "address,undefined"], ["thread"]))
def test_pool(tmp_path: Path, sanitize: str) -> None:
    found = compiler.Compiler(compiler.find_compiler().command, sanitize)
    program = tmp_path / "pool"
    flags = [
        "-std=c++20",
        "-O1",
        "-pthread",
        f"-I{headers.FOLDER}",
        f"-iquote{recipe.BRIDGE}",
        *found.sanitizer_flags,
    ]
    found.run([*flags, "-x", "c++", "-", "-o", str(program)], DRIVER)
    plain = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}  # one sanitizer at a time
    done = subprocess.run([program], capture_output=True, text=True, timeout=120, check=False, env=plain)
    assert done.stderr == ""
    assert done.stdout == "0 wrong, 1 handed over\n"
