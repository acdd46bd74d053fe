// Copies of items and elements that stand some steps apart.
#pragma once
#include "driver.h"

#if __has_builtin(__builtin_shufflevector)
#define MS_CHOOSE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define MS_CHOOSE(a, b, ...) __builtin_shuffle(a, b, decltype(a + b){__VA_ARGS__})
#endif
template <class T> INLINE T take_word(const u8* from) {
  T x;
  __builtin_memcpy(&x, from, sizeof x);
  return x;
}
template <class V, int... i> INLINE V evens_of(V a, V b, seq<i...>) { return MS_CHOOSE(a, b, 2 * i...); }

template <class T> static void copy_strided(T* to, ms_int to_step, const T* from, ms_int from_step, ms_int count) {
  for (ms_int i = 0; i < count; ++i) to[i * to_step] = from[i * from_step];
}
// By the size of an item; steps count items.
static void copy_items(int size, u8* to, ms_int to_step, const u8* from, ms_int from_step, ms_int count) {
  if (size == 1) copy_strided(to, to_step, from, from_step, count);
  if (size == 2) copy_strided((u16*)to, to_step, (const u16*)from, from_step, count);
  if (size == 4) copy_strided((u32*)to, to_step, (const u32*)from, from_step, count);
  if (size == 8) copy_strided((u64*)to, to_step, (const u64*)from, from_step, count);
}
// Every second item, a register at a time; behind the last item there may be no memory.
template <class T> static void copy_every_second(u8* to, const u8* from, ms_int count) {
  typedef T items __attribute__((vector_size(16)));
  constexpr int size = sizeof(T), many = 16 / size;
  ms_int i = 0;
  for (; i + many < count; i += many) {
    const items z =
        evens_of(take_word<items>(from + 2 * i * size), take_word<items>(from + 2 * i * size + 16), upto<many>());
    __builtin_memcpy(to + i * size, &z, 16);
  }
  for (; i < count; ++i) __builtin_memcpy(to + i * size, from + 2 * i * size, size);
}
// Whole elements; steps count bytes. Those of 16 bytes and more are copied in pieces, the last two of which overlap.
template <int bytes> static void copy_elements(u8* to, ms_int to_step, const u8* from, ms_int from_step, ms_int count) {
  for (ms_int i = 0; i < count; ++i) __builtin_memcpy(to + i * to_step, from + i * from_step, bytes);
}
static void copy_wide(int bytes, u8* to, ms_int to_step, const u8* from, ms_int from_step, ms_int count) {
  for (ms_int i = 0; i < count; ++i, to += to_step, from += from_step) {
    for (int k = 0; k < bytes - 16; k += 16) __builtin_memcpy(to + k, from + k, 16);
    __builtin_memcpy(to + bytes - 16, from + bytes - 16, 16);
  }
}
static void copy_packed(int bytes, u8* to, ms_int to_step, const u8* from, ms_int from_step, ms_int count) {
  const bool second = to_step == bytes && from_step == 2 * bytes;
  if (second && bytes == 1) copy_every_second<u8>(to, from, count);
  else if (second && bytes == 2) copy_every_second<u16>(to, from, count);
  else if (second && bytes == 4) copy_every_second<u32>(to, from, count);
  else if (second && bytes == 8) copy_every_second<u64>(to, from, count);
  else if (bytes == 1) copy_elements<1>(to, to_step, from, from_step, count);
  else if (bytes == 2) copy_elements<2>(to, to_step, from, from_step, count);
  else if (bytes == 4) copy_elements<4>(to, to_step, from, from_step, count);
  else if (bytes == 8) copy_elements<8>(to, to_step, from, from_step, count);
  else if (bytes == 12) copy_elements<12>(to, to_step, from, from_step, count);
  else if (bytes >= 16) copy_wide(bytes, to, to_step, from, from_step, count);
  else
    for (ms_int i = 0; i < count; ++i) __builtin_memcpy(to + i * to_step, from + i * from_step, (unsigned long)bytes);
}
// `count` elements `stride` items apart to where they stand side by side; and back.
static void gather(const leaf_facts& f, u8* b, const u8* x, ms_int stride, ms_int lane, ms_int count) {
  if (lane == 1 || f.lanes == 1) return copy_packed(f.bytes(), b, f.bytes(), x, stride * f.size, count);
  for (int k = 0; k < f.lanes; ++k) copy_items(f.size, b + k * f.size, f.lanes, x + k * lane * f.size, stride, count);
}
static void scatter(const leaf_facts& f, u8* y, ms_int stride, const u8* b, ms_int count) {
  copy_packed(f.bytes(), y, stride * f.size, b, f.bytes(), count);
}
