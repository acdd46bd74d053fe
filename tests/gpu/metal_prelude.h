// Enough of Metal's names, and of MLX's utilities, for Clang to check the types and address spaces of a kernel as C++
// for OpenCL.
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
struct bfloat16_t {
  ushort bits;
  bfloat16_t() = default;
  explicit bfloat16_t(float);
  operator float() const;
  operator float() const __global;
  operator float() const __constant;
  void operator=(const bfloat16_t&) __global;
};
enum class mem_flags { mem_none, mem_device, mem_threadgroup };
void threadgroup_barrier(mem_flags);
#define SHUFFLES(T)               \
  T simd_shuffle_up(T, ushort);   \
  T simd_shuffle_down(T, ushort); \
  T simd_shuffle(T, ushort);
SHUFFLES(float)
SHUFFLES(int)
SHUFFLES(uint)
SHUFFLES(uint2)
template <class To, class From> To as_type(From);
namespace metal {
float fma(float, float, float);
float floor(float);
float ceil(float);
float rint(float);
float fmod(float, float);
namespace precise {
float sqrt(float);
float log2(float);
float log10(float);
float sin(float);
float cos(float);
float tan(float);
float asin(float);
float acos(float);
float atan(float);
float sinh(float);
float cosh(float);
float pow(float, float);
float atan2(float, float);
}  // namespace precise
}  // namespace metal
using namespace metal;
