// The scans of CUB that monoscan's are raced against, as a library of C functions: each asks for the bytes of scratch
// memory where it is given none, as CUB does. They run on the default stream and return CUDA's error.
#include <cub/device/device_scan.cuh>
#include <thrust/iterator/zip_iterator.h>
#include <thrust/tuple.h>

typedef thrust::tuple<float, float> pair;

// h -> a*h + b, the left map first.
struct affine {
  __device__ pair operator()(pair left, pair right) const {
    const float a = thrust::get<0>(right);
    return pair(a * thrust::get<0>(left), a * thrust::get<1>(left) + thrust::get<1>(right));
  }
};

extern "C" int cub_add(void* scratch, size_t* bytes, const float* x, float* y, long long n) {
  return cub::DeviceScan::InclusiveSum(scratch, *bytes, x, y, n);
}
extern "C" int cub_affine(void* scratch, size_t* bytes, const float* a, const float* b, float* x, float* y,
                          long long n) {
  return cub::DeviceScan::InclusiveScan(scratch, *bytes, thrust::make_zip_iterator(a, b),
                                        thrust::make_zip_iterator(x, y), affine(), n);
}
