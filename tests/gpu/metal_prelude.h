// Enough of Metal's names, and of MLX's utilities, for Clang to read a kernel as C++ for OpenCL: it checks types and
// address spaces, and compiles for this machine's processor what `shim/metal.cpp` then runs.
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#define device __global
#define constant __constant
#define threadgroup __local
#define thread __private
#define kernel __kernel
typedef char int8_t;
typedef uchar uint8_t;
typedef short int16_t;
typedef ushort uint16_t;
typedef int int32_t;
typedef uint uint32_t;
typedef long int64_t;
typedef ulong uint64_t;
typedef half float16_t;
template <class To, class From> To as_type(From x) { return __builtin_astype(x, To); }

struct bfloat16_t {
  ushort bits;
  bfloat16_t() = default;
  explicit bfloat16_t(float x) {
    const uint all = as_type<uint>(x);
    bits = (ushort)(x == x ? (all + 0x7fff + ((all >> 16) & 1)) >> 16 : (all >> 16) | 0x40);
  }
  operator float() const { return as_type<float>((uint)bits << 16); }
  operator float() const __global { return as_type<float>((uint)bits << 16); }
  operator float() const __constant { return as_type<float>((uint)bits << 16); }
  void operator=(const bfloat16_t& other) __global { bits = other.bits; }
};

// All threads of a group, or lanes of a wave, must come along: no branch may be made of one of these.
#define TOGETHER __attribute__((convergent))
enum class mem_flags { mem_none, mem_device, mem_threadgroup };
TOGETHER void threadgroup_barrier(mem_flags);
#define SHUFFLES(T)                        \
  TOGETHER T simd_shuffle_up(T, ushort);   \
  TOGETHER T simd_shuffle_down(T, ushort); \
  TOGETHER T simd_shuffle(T, ushort);
SHUFFLES(float)
SHUFFLES(int)
SHUFFLES(uint)
SHUFFLES(uint2)

#define FUNCTION(name, builtin) \
  inline float name(float x) { return builtin(x); }
#define FUNCTION_OF_TWO(name, builtin) \
  inline float name(float x, float y) { return builtin(x, y); }
namespace metal {
inline float fma(float x, float y, float z) { return __builtin_fmaf(x, y, z); }
FUNCTION(floor, __builtin_floorf)
FUNCTION(ceil, __builtin_ceilf)
FUNCTION(rint, __builtin_rintf)
FUNCTION_OF_TWO(fmod, __builtin_fmodf)
namespace precise {
FUNCTION(sqrt, __builtin_sqrtf)
FUNCTION(log2, __builtin_log2f)
FUNCTION(log10, __builtin_log10f)
FUNCTION(sin, __builtin_sinf)
FUNCTION(cos, __builtin_cosf)
FUNCTION(tan, __builtin_tanf)
FUNCTION(asin, __builtin_asinf)
FUNCTION(acos, __builtin_acosf)
FUNCTION(atan, __builtin_atanf)
FUNCTION(sinh, __builtin_sinhf)
FUNCTION(cosh, __builtin_coshf)
FUNCTION_OF_TWO(pow, __builtin_powf)
FUNCTION_OF_TWO(atan2, __builtin_atan2f)
}  // namespace precise
}  // namespace metal
using namespace metal;
