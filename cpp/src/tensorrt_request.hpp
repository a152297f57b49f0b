// One run at a time on the GPU, with streams, memory, execution contexts and recorded graphs of its own; as many requests as
// there are run side by side on the same engines.
#pragma once

#include <atomic>
#include <mutex>
#include <set>

#include "backend.hpp"
#include "cuda.hpp"
#include "tensorrt_engine.hpp"

namespace x3ddeploy::detail {

// What all requests share. Engines are in the order of the waves' parts.
struct LoadedEngines {
  // Plans in the same order.
  LoadedEngines(const Network& network, const std::vector<Bytes>& plans, const Options& options);

  // Made by a part and taken by others alone.
  bool is_between(const std::string& name) const { return borders.count(name) == 0; }
  std::unique_ptr<nvinfer1::IExecutionContext> context(std::size_t part, std::int64_t clips, cudaStream_t stream);

  const Options options;
  TensorRTLog log;
  const std::unique_ptr<nvinfer1::IRuntime> runtime;
  const std::vector<std::vector<Part>> waves;
  std::set<std::string> borders;  // the network's inputs and outputs
  std::vector<TensorRTEngine> engines;
  std::int64_t largest = 0;  // clips
  std::map<std::string, std::size_t> clip_bytes;
  NamedShapes inputs;
  NamedShapes outputs;
  std::atomic<bool> has_plain{false};  // a run could not be recorded

 private:
  void add_tensors(const TensorRTEngine& engine);

  std::mutex making_;  // contexts, one at a time
};

class TensorRTRequest {
 public:
  explicit TensorRTRequest(LoadedEngines& loaded);
  ~TensorRTRequest() { cudaStreamSynchronize(main()); }
  TensorRTRequest(const TensorRTRequest&) = delete;
  TensorRTRequest& operator=(const TensorRTRequest&) = delete;

  Result<Outputs> run(const Feeds& tensors, std::int64_t clips);
  // Of the last run, by the GPU's own clock.
  double gpu_ms() const { return static_cast<double>(gpu_ms_); }

 private:
  struct Buffer {
    DeviceMemory device;
    PinnedMemory pinned;  // for inputs and outputs
  };
  using Addresses = std::map<std::string, void*>;
  // Where an input is read, and whether it is copied there first.
  struct Source {
    const void* place = nullptr;
    bool copied = false;

    bool operator==(const Source& other) const { return place == other.place && copied == other.copied; }
  };
  using Sources = std::map<std::string, Source>;
  struct Recorded {
    Sources sources;
    GraphExec graph;        // empty after the first call, which is never recorded: a context does its last preparations in it
    bool is_plain = false;  // it could not be recorded: enqueued each time
  };
  struct Batch {
    std::int64_t clips = 0;
    std::vector<std::unique_ptr<nvinfer1::IExecutionContext>> contexts;  // by part
    std::vector<Recorded> recorded;                                      // the last used one last
  };

  cudaStream_t main() const { return streams_[0].get(); }
  std::size_t bytes_of(const std::string& name, std::int64_t clips) const;
  Result<const void*> source_of(const std::string& name, const View<float>& view, std::int64_t clips);
  Batch& batch_of(std::int64_t clips);
  void launch(Batch& batch, const Sources& sources);
  GraphExec record(Batch& batch, const Sources& sources);
  void enqueue(Batch& batch, const Sources& sources);
  void enqueue_part(Batch& batch, std::size_t part, const std::string& name, cudaStream_t stream, const Addresses& addresses);

  // In the order of construction; what is destroyed first stands last.
  LoadedEngines& loaded_;
  std::vector<Stream> streams_;  // as many as the widest wave has parts
  std::vector<Event> events_;
  Event callers_event_;
  Event start_, end_;  // of a run, by the GPU's clock
  float gpu_ms_ = 0;   // of the last run
  std::map<std::string, Buffer> buffers_;
  std::vector<Batch> batches_;
};

}  // namespace x3ddeploy::detail
