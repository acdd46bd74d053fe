// Makes flags zero. A kernel of its own: what comes without one, mx.compile may share between launches.
extern "C" __global__ void monoscan_clear(const void*, unsigned* flags, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) flags[i] = 0;
}
