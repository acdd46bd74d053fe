// Memory of the bridge: output pages, scratch, the cache size, and copies of the few
// inputs that no kernel can read by strides.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "contract.h"
#include "mlx/allocator.h"

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace monoscan {

namespace mx = mlx::core;

constexpr size_t kHugePage = size_t{2} << 20;
// Measured inside MLX: fresh memory is 1.7 to 3 times faster on huge pages from 4 MiB up.
constexpr size_t kAdviseFrom = size_t{4} << 20;

#ifdef __linux__
inline bool resident(uintptr_t address) {
  unsigned char state = 1;
  uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  return mincore(reinterpret_cast<void*>(address / page * page), page, &state) != 0 || (state & 1) != 0;
}
#endif

// An output buffer. Large memory that has just been mapped is put on huge pages, because
// touching it 4 KiB at a time costs ten times the writing; memory used before is left alone.
inline mx::allocator::Data allocate(size_t bytes) {
  mx::allocator::Data data = mx::allocator::malloc(bytes);
#ifdef __linux__
  if (bytes >= kAdviseFrom) {
    auto begin = reinterpret_cast<uintptr_t>(data.buffer().raw_ptr());
    uintptr_t first = (begin + kHugePage - 1) / kHugePage * kHugePage;
    uintptr_t last = (begin + bytes) / kHugePage * kHugePage;
    if (first < last && !resident(first) && !resident((first + last) / 2)) {
      madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
    }
  }
#endif
  return data;
}

inline char* raw(const mx::allocator::Data& data) {
  return static_cast<char*>(mx::allocator::Buffer(data.buffer()).raw_ptr());
}

inline ms_int find_last_level_cache() {
  ms_int fallback = ms_int{8} << 20;
#ifdef __linux__
  // sysfs first: sysconf has been seen to add up the caches of a whole socket.
  for (const char* index : {"3", "2"}) {
    char path[96];
    std::snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu0/cache/index%s/size", index);
    if (std::FILE* file = std::fopen(path, "r")) {
      long long kib = 0;
      int found = std::fscanf(file, "%lldK", &kib);
      std::fclose(file);
      if (found == 1 && kib > 0) return kib << 10;
    }
  }
  for (int name : {_SC_LEVEL3_CACHE_SIZE, _SC_LEVEL2_CACHE_SIZE}) {
    long size = sysconf(name);
    if (size > 0) return size;
  }
#elif defined(__APPLE__)
  for (const char* name : {"hw.l3cachesize", "hw.perflevel0.l2cachesize", "hw.l2cachesize"}) {
    int64_t size = 0;
    size_t length = sizeof(size);
    if (sysctlbyname(name, &size, &length, nullptr, 0) == 0 && size > 0) return size;
  }
#endif
  return fallback;
}

inline ms_int last_level_cache() {
  static const ms_int size = find_last_level_cache();
  return size;
}

struct FreeDeleter {
  void operator()(void* pointer) const { std::free(pointer); }
};
using Aligned = std::unique_ptr<void, FreeDeleter>;

inline Aligned aligned(size_t bytes) {
  void* pointer = nullptr;
  if (posix_memalign(&pointer, 64, bytes) != 0) throw std::bad_alloc();
  return Aligned(pointer);
}

// A launch's scratch: the stream thread keeps a small one between launches.
class Scratch {
 public:
  explicit Scratch(size_t bytes) {
    if (bytes == 0) return;
    if (bytes > kKept) {
      own_ = aligned(bytes);
      pointer_ = own_.get();
      return;
    }
    thread_local Aligned kept;
    thread_local size_t size = 0;
    if (size < bytes) {
      kept = aligned(bytes);
      size = bytes;
    }
    pointer_ = kept.get();
  }
  void* get() const { return pointer_; }

 private:
  static constexpr size_t kKept = size_t{1} << 20;
  Aligned own_;
  void* pointer_ = nullptr;
};

// A strided array to be laid out densely, in the order of `shape`.
struct Copy {
  const char* from;
  size_t itemsize;
  std::vector<ms_int> shape;
  std::vector<ms_int> strides;
  char* to;

  void run() const { walk(0, from, to); }

 private:
  char* walk(size_t dim, const char* source, char* target) const {
    if (dim == shape.size()) return row(source, target, 1, 1);
    if (dim + 1 == shape.size()) return row(source, target, shape[dim], strides[dim]);
    for (ms_int i = 0; i < shape[dim]; ++i) {
      target = walk(dim + 1, source + i * strides[dim] * static_cast<ms_int>(itemsize), target);
    }
    return target;
  }

  char* row(const char* source, char* target, ms_int count, ms_int stride) const {
    size_t bytes = static_cast<size_t>(count) * itemsize;
    switch (stride == 1 ? 0 : itemsize) {
      case 0:
        std::memcpy(target, source, bytes);
        break;
      case 1:
        gather<uint8_t>(source, target, count, stride);
        break;
      case 2:
        gather<uint16_t>(source, target, count, stride);
        break;
      case 4:
        gather<uint32_t>(source, target, count, stride);
        break;
      default:
        gather<uint64_t>(source, target, count, stride);
        break;
    }
    return target + bytes;
  }

  template <typename T> static void gather(const char* source, char* target, ms_int count, ms_int stride) {
    const ms_int size = sizeof(T);
    for (ms_int i = 0; i < count; ++i) std::memcpy(target + i * size, source + i * stride * size, sizeof(T));
  }
};

}  // namespace monoscan
