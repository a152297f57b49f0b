// A GPU that is none, so that the TensorRT backend runs where there is neither GPU nor TensorRT. Streams do nothing until
// somebody waits for them, and then as little as the order of events demands: work that is not waited for is missing from
// the result. Device memory is host memory that is known by its address.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>
#include <map>
#include <mutex>
#include <string>

namespace played {

struct Gpu {
  int devices = 2;
  int current = 0;
  int copies_to_device = 0;
  int copies_to_host = 0;
  std::size_t bytes_to_device = 0;
  int instantiated_graphs = 0;
  int launched_graphs = 0;
  int pending_work = 0;  // in all streams
  int ticks = 0;         // pieces of work done: the clock
  int live_contexts = 0;
  int live_objects = 0;      // memory, streams, events, graphs
  std::string failing_part;  // whose enqueueV3 fails
  std::string uncapturable_part;  // whose work cannot be recorded
  bool shares_profiles = true;    // what 8.6 does only where the engine was built so
  std::map<std::string, int> contexts_with_profile;  // by part
  int awaited_runs = 0;  // threads that wait for their streams go on once there are so many, or after a while
  bool met = false;      // and there were so many
};

Gpu& gpu();
// Held by every call of the played interfaces.
std::unique_lock<std::recursive_mutex> turn();
bool is_on_device(const void* memory);
// Work that a stream does when its turn has come.
void enqueue(cudaStream_t stream, std::function<void()> work);
bool is_capturing(cudaStream_t stream);
void break_capture(cudaStream_t stream);

}  // namespace played
