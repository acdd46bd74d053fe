// A GPU of one core: every thread of a group is a fibre, and any fault ends the launch with a sentence.
//
// Barriers and shuffles are where fibres yield; those that can go on do so in a random order, several groups at a
// time. Memory that a group shares knows who wrote and read each place since the last barrier.
#pragma once

namespace shim {

typedef long long i64;
typedef unsigned long long u64;
enum { width = 32 };

// Where the running thread stands.
unsigned group();
unsigned thread();

// Ends the launch; does not return.
[[noreturn]] void fault(const char* what);

void barrier(int line);
// Another thread's turn, for one that waits for another group.
void pause();
// The bits of another lane of the wave, once all its lanes have come to the same shuffle.
u64 exchange(u64 mine, unsigned lane, int which);

// ------------------------------------------------------------------ memory that a group shares
struct shared_place {
  int writer, written, reader, read;  // a thread, and the interval between barriers; reader -2: several
};
// The memory of the running group behind a declaration: made where it is first met.
void* shared_memory(int name, i64 bytes, shared_place** places, i64 count);
void note_read(shared_place* p);
void note_write(shared_place* p);

template <class T> struct shared_item {
  T* value;
  shared_place* place;
  operator T() const {
    note_read(place);
    return *value;
  }
  void operator=(T x) const {
    note_write(place);
    *value = x;
  }
  void operator=(const shared_item& other) const { *this = (T)other; }
};
template <class T> struct shared_array {
  T* values;
  shared_place* places;
  i64 count;
  shared_array(int name, i64 items) : count(items) {
    values = (T*)shared_memory(name, items * (i64)sizeof(T), &places, items);
  }
  shared_item<T> operator[](i64 i) const {
    if (i < 0 || i >= count) fault("shared memory out of bounds");
    return {values + i, places + i};
  }
};

// ------------------------------------------------------------------ arrays in memory
template <class T> struct input {
  const T* items;
  i64 count;
  T operator[](i64 i) const {
    if (i < 0 || i >= count) fault("read out of bounds");
    return items[i];
  }
};
template <class T> struct output {
  T* items;
  unsigned char* written;
  i64 count;
  struct item {
    T* value;
    unsigned char* written;
    void operator=(T x) const {
      if (*written) fault("an output written twice");
      *written = 1;
      *value = x;
    }
  };
  item operator[](i64 i) const {
    if (i < 0 || i >= count) fault("write out of bounds");
    return {items + i, written + i};
  }
};

// ------------------------------------------------------------------ between groups
// Flags start at zero. Who acquires one knows what the thread that released it had published by then, and knew.
struct flags {
  unsigned* values;
  i64 count;
  unsigned take(i64 i) const;
  void release(i64 i) const;
  bool acquired(i64 i) const;
};
void note_publish(const void* place);
void note_collect(const void* place);

// ------------------------------------------------------------------ a launch
typedef void (*body)(void* const* arrays, const i64* counts, unsigned char* const* written);
struct launch {
  body run;
  void* const* arrays;
  const i64* counts;
  unsigned char* const* written;
  unsigned groups, threads, resident;
  bool starve;  // the group that began first waits until no other gets on
  u64 seed;
};
// What went wrong, or null.
const char* execute(const launch& l);

}  // namespace shim
