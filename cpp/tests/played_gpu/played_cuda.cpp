#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "played.hpp"

using Work = std::function<void()>;

struct PlayedCapture {
  std::vector<Work> work;
  std::set<PlayedStream*> streams;   // in the capture
  std::set<PlayedStream*> unjoined;  // that nobody waits for yet
  bool is_broken = false;
};

struct PlayedStream {
  void add(Work work) {
    pending.push_back(std::move(work));
    ++played::gpu().pending_work;
  }
  std::deque<Work> pending;
  std::size_t done = 0;
  std::shared_ptr<PlayedCapture> capture;

  void run_until(std::size_t count) {
    while (done < count && !pending.empty()) {
      const Work work = std::move(pending.front());
      pending.pop_front();
      --played::gpu().pending_work;
      work();
      ++done;
      ++played::gpu().ticks;
    }
  }
  std::size_t end() const { return done + pending.size(); }
};

struct PlayedEvent {
  PlayedStream* stream = nullptr;  // that it was recorded in
  std::size_t place = 0;
  std::shared_ptr<PlayedCapture> capture;
  bool keeps_time = false;
  int tick = -1;  // when it was passed
};

struct PlayedGraph {
  std::vector<Work> work;
};

struct PlayedGraphExec {
  std::vector<Work> work;
};

namespace {

constexpr cudaError_t kInvalid = 1, kNotReady = 600, kInvalidated = 901, kUnjoined = 904;
constexpr std::size_t kAlignment = 256;

std::map<const char*, std::size_t>& device_memory() {
  static std::map<const char*, std::size_t> ranges;
  return ranges;
}

PlayedStream& stream_of(cudaStream_t stream) {
  static PlayedStream standard;
  return stream == nullptr ? standard : *stream;
}

template <class T>
cudaError_t made(T** handle) {
  const auto turn = played::turn();
  *handle = new T();
  ++played::gpu().live_objects;
  return cudaSuccess;
}

template <class T>
cudaError_t destroyed(T* handle) {
  const auto turn = played::turn();
  if (handle == nullptr) return kInvalid;
  delete handle;
  --played::gpu().live_objects;
  return cudaSuccess;
}

cudaError_t allocated(void** memory, std::size_t bytes) {
  const auto turn = played::turn();
  *memory = std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
  ++played::gpu().live_objects;
  return cudaSuccess;
}

}  // namespace

namespace played {

Gpu& gpu() {
  static Gpu one;
  return one;
}

std::unique_lock<std::recursive_mutex> turn() {
  static std::recursive_mutex one;
  return std::unique_lock<std::recursive_mutex>(one);
}

bool is_on_device(const void* memory) {
  const auto held = turn();
  const auto* address = static_cast<const char*>(memory);
  const auto after = device_memory().upper_bound(address);
  if (after == device_memory().begin()) return false;
  const auto& [start, bytes] = *std::prev(after);
  return address < start + bytes;
}

void enqueue(cudaStream_t stream, Work work) {
  const auto held = turn();
  PlayedStream& target = stream_of(stream);
  if (target.capture) {
    target.capture->work.push_back(std::move(work));
  } else {
    target.add(std::move(work));
  }
}

bool is_capturing(cudaStream_t stream) { return stream_of(stream).capture != nullptr; }

void break_capture(cudaStream_t stream) { stream_of(stream).capture->is_broken = true; }

}  // namespace played

const char* cudaGetErrorString(cudaError_t code) {
  return code == kUnjoined ? "unjoined work" : code == kInvalidated ? "capture was invalidated" : "invalid value";
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = played::gpu().devices;
  return *count > 0 ? cudaSuccess : 100;
}

cudaError_t cudaGetDevice(int* device) {
  const auto turn = played::turn();
  *device = played::gpu().current;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  const auto turn = played::turn();
  played::gpu().current = device;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {"Played", 9, 0};
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  const auto turn = played::turn();
  allocated(memory, bytes);
  device_memory()[static_cast<const char*>(*memory)] = bytes;
  return cudaSuccess;
}

cudaError_t cudaFree(void* memory) {
  const auto turn = played::turn();
  if (device_memory().erase(static_cast<const char*>(memory)) == 0) return kInvalid;
  return cudaFreeHost(memory);
}

cudaError_t cudaMallocHost(void** memory, std::size_t bytes) { return allocated(memory, bytes); }

cudaError_t cudaFreeHost(void* memory) {
  const auto turn = played::turn();
  std::free(memory);
  --played::gpu().live_objects;
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  const auto turn = played::turn();
  const bool upwards = kind == cudaMemcpyHostToDevice;
  if (played::is_on_device(to) != upwards || played::is_on_device(from) == upwards) return kInvalid;
  played::enqueue(stream, [=] {
    played::gpu().copies_to_device += upwards;
    played::gpu().copies_to_host += !upwards;
    played::gpu().bytes_to_device += upwards ? bytes : 0;
    std::memcpy(to, from, bytes);
  });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) { return made(stream); }
cudaError_t cudaStreamDestroy(cudaStream_t stream) { return destroyed(stream); }

// In a thread that waits others can be under way.
static void meet() {
  static std::condition_variable_any changed;
  static int waiting = 0;
  auto turn = played::turn();
  if (played::gpu().awaited_runs == 0 || played::gpu().met) return;
  ++waiting;
  if (waiting >= played::gpu().awaited_runs) played::gpu().met = true;
  changed.notify_all();
  if (!changed.wait_for(turn, std::chrono::seconds(20), [] { return played::gpu().met; })) played::gpu().awaited_runs = 0;
  --waiting;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  meet();
  const auto turn = played::turn();
  PlayedStream& target = stream_of(stream);
  if (target.capture) return kInvalid;
  target.run_until(target.end());
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const auto turn = played::turn();
  PlayedStream& target = stream_of(stream);
  if (event->capture) {  // the waiting stream is captured from now on; what was issued before stands before it anyway
    target.capture = event->capture;
    target.capture->unjoined.erase(event->stream);
    if (target.capture->streams.insert(&target).second) target.capture->unjoined.insert(&target);
    return cudaSuccess;
  }
  if (target.capture) return kInvalid;
  target.add([awaited = event->stream, place = event->place] {
    if (awaited != nullptr) awaited->run_until(place);
  });
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  const auto turn = played::turn();
  PlayedStream& target = stream_of(stream);
  if (target.capture) return kInvalid;
  target.capture = std::make_shared<PlayedCapture>();
  target.capture->streams.insert(&target);
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const auto turn = played::turn();
  const std::shared_ptr<PlayedCapture> capture = stream_of(stream).capture;
  if (!capture) return kInvalid;
  for (PlayedStream* captured : capture->streams) captured->capture.reset();
  *graph = nullptr;
  if (!capture->unjoined.empty()) return kUnjoined;
  if (capture->is_broken) return kInvalidated;
  made(graph);
  (*graph)->work = std::move(capture->work);
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  const auto turn = played::turn();
  const cudaError_t code = made(event);
  (*event)->keeps_time = flags == cudaEventDefault;
  return code;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) { return destroyed(event); }

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const auto turn = played::turn();
  PlayedStream& source = stream_of(stream);
  *event = {&source, source.end(), source.capture, event->keeps_time, -1};
  if (event->keeps_time) {
    if (source.capture) return kInvalid;
    played::enqueue(stream, [event] { event->tick = played::gpu().ticks; });
  }
  return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t start, cudaEvent_t end) {
  const auto turn = played::turn();
  if (!start->keeps_time || !end->keeps_time) return kInvalid;
  if (start->tick < 0 || end->tick < start->tick) return kNotReady;
  *ms = static_cast<float>(end->tick - start->tick);
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return destroyed(graph); }

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  const auto turn = played::turn();
  made(executable);
  (*executable)->work = graph->work;
  ++played::gpu().instantiated_graphs;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) { return destroyed(executable); }

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  const auto turn = played::turn();
  for (const Work& work : executable->work) played::enqueue(stream, work);
  ++played::gpu().launched_graphs;
  return cudaSuccess;
}
