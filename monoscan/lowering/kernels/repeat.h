// The same bytes again and again.
#pragma once
#include "past_caches.h"

typedef u64 in_line __attribute__((vector_size(64)));
INLINE in_line line_at(const u8* from) {
  in_line x;
  __builtin_memcpy(&x, from, sizeof x);
  return x;
}

// Memory that does not overlap; the last vector overlaps the one before it.
static void copy_bytes(u8* to, const u8* from, ms_int count) {
  if (count < 64) return (void)__builtin_memcpy(to, from, (unsigned long)count);
  for (ms_int i = 0; i + 64 < count; i += 64) store_bits(to + i, line_at(from + i));
  store_bits(to + count - 64, line_at(from + count - 64));
}
// A pattern whose first `known` bytes are there, a period and a line at least, up to `total`.
template <bool past> static void continue_pattern(u8* y, ms_int period, ms_int known, ms_int total) {
  ms_int at = known - known % 64 + (ms_int)(-(u64)y % 64);  // in lines of memory
  if (at > known) at -= 64;
  ms_int from = at % period;
  for (; at + 64 <= total; at += 64) {
    const in_line x = line_at(y + from);
    if constexpr (past) stream_bits(y + at, x);
    else store_bits(y + at, x);
    if ((from += 64) >= period) from -= period;
  }
  if (at < total) copy_bytes(y + at, y + from, total - at);
}
// A row of so many bytes, `count` times in all, `step` bytes apart. `past`: past the caches.
static void repeat(u8* y, ms_int step, ms_int bytes, ms_int count, bool past) {
  static constexpr ms_int shortest = 1024;  // bytes that are read again from the first cache
  if (step != bytes || bytes > 16 * shortest) {
    for (ms_int r = 1; r < count; ++r) copy_bytes(y + r * step, y, bytes);
    return;
  }
  const ms_int total = bytes * count, period = (shortest + bytes - 1) / bytes * bytes;
  const ms_int known = least(total, period + 64);
  for (ms_int done = bytes, more; done < known; done += more) {
    more = least(done, known - done);
    copy_bytes(y + done, y, more);
  }
  if (known == total) return;
  past ? continue_pattern<true>(y, period, known, total) : continue_pattern<false>(y, period, known, total);
  if (past) stream_fence();
}
