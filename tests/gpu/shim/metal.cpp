// Runs text for Metal on the machine of fibres: what Metal's own library gives, and the launch.
#include <cstdint>
#include <cstring>

#include "machine.h"

enum class mem_flags { mem_none, mem_device, mem_threadgroup };
typedef unsigned uint2 __attribute__((vector_size(8)));

// Threads meet where they were called from.
#define SITE int(reinterpret_cast<intptr_t>(__builtin_return_address(0)) & 0x7fffffff)

void threadgroup_barrier(mem_flags) { shim::barrier(SITE); }

template <class T> static T exchanged(T v, unsigned lane, int site) {
  shim::u64 bits = 0;
  std::memcpy(&bits, &v, sizeof v);
  bits = shim::exchange(bits, lane, site);
  std::memcpy(&v, &bits, sizeof v);
  return v;
}
static unsigned here() { return shim::thread() % shim::width; }

#define SHUFFLES(T)                                                                                             \
  T simd_shuffle_up(T v, unsigned short by) { return exchanged(v, here() >= by ? here() - by : here(), SITE); } \
  T simd_shuffle_down(T v, unsigned short by) {                                                                 \
    const unsigned lane = here() + by;                                                                          \
    return exchanged(v, lane < unsigned(shim::width) ? lane : here(), SITE);                                    \
  }                                                                                                             \
  T simd_shuffle(T v, unsigned short lane) { return exchanged(v, lane, SITE); }
SHUFFLES(float)
SHUFFLES(int)
SHUFFLES(unsigned)
SHUFFLES(uint2)

// Written behind the text: calls the kernel with the arrays, and with where a thread stands.
extern "C" void call(void* const* arrays, unsigned group, unsigned thread, unsigned across);

static unsigned across;
static void body(void* const* arrays, const shim::i64*, unsigned char* const*) {
  call(arrays, shim::group(), shim::thread(), across);
}
extern "C" const char* run(void* const* arrays, unsigned groups_across, unsigned groups, unsigned threads,
                           shim::u64 seed) {
  across = groups_across;
  shim::launch l = {};
  l.run = body;
  l.arrays = arrays;
  l.groups = groups;
  l.threads = threads;
  l.resident = 1;  // memory that a group shares is static
  l.seed = seed;
  return shim::execute(l);
}
