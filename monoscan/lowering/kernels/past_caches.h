// Vectors to memory, also past the caches.
#pragma once
#include "scalar.h"

template <class V> INLINE void store_bits(void* p, V v) { __builtin_memcpy(p, &v, sizeof v); }

// Past the caches; the caller has seen to the alignment.
template <class V> INLINE void stream_bits(void* p, V v) {
#if __has_builtin(__builtin_nontemporal_store)
  __builtin_nontemporal_store(v, (V*)p);
#else
  typedef long long q2 __attribute__((vector_size(16)));
#if defined(__AVX512F__)
  typedef long long q8 __attribute__((vector_size(64)));
  if constexpr (sizeof(V) == 64) return __builtin_ia32_movntdq512((q8*)p, bit_cast<q8>(v));
#endif
#if defined(__AVX__)
  typedef long long q4 __attribute__((vector_size(32)));
  if constexpr (sizeof(V) == 32) return __builtin_ia32_movntdq256((q4*)p, bit_cast<q4>(v));
#endif
#if defined(__SSE2__)
  if constexpr (sizeof(V) == 16) return __builtin_ia32_movntdq((q2*)p, bit_cast<q2>(v));
#endif
  store_bits(p, v);
#endif
}
INLINE void stream_fence() {
#if defined(__SSE2__)
  __builtin_ia32_sfence();
#endif
}
