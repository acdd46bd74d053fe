// Functions of floats on a GPU: the CPU's polynomials, and for the rest what the GPU has, as the prelude names it.
#pragma once

namespace ms {

#include "polynomials.h"

// The rest of a division that rounds down.
INLINE f32 remainder(f32 x, f32 y) {
  const f32 r = truncated_rest(x, y);
  return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}

}  // namespace ms
