// One run at a time on the GPU, with streams, memory, execution contexts and recorded graphs of its own; as many requests as
// there are run side by side on the same engines.
#pragma once

#include <atomic>
#include <deque>
#include <mutex>

#include "backend.hpp"
#include "cuda.hpp"
#include "tensorrt_engine.hpp"

namespace x3ddeploy::detail {

// A serialized engine, and the part or the preprocessing graph that it was built from.
struct Plan {
  std::string name;
  Bytes bytes;
};

// Engines from some inputs to the network's outputs, in waves: those of one wave run side by side.
struct Way {
  std::vector<std::vector<const TensorRTEngine*>> waves;
  NamedShapes inputs;  // that none of its engines gives

  // How many of its engines take a tensor.
  std::size_t takers(const std::string& tensor) const;
};

// What all requests share.
struct LoadedEngines {
  // `plans` of the network's parts in their waves; `before` of the preprocessing graphs, none where the host prepares.
  LoadedEngines(const Contract& contract, const std::vector<std::vector<Plan>>& plans, const std::vector<Plan>& before,
                const Options& options);

  std::unique_ptr<nvinfer1::IExecutionContext> context(const TensorRTEngine& engine, std::int64_t clips, std::int64_t persons,
                                                       cudaStream_t stream);
  std::size_t bytes_of(const std::string& tensor, std::int64_t clips, std::int64_t persons) const;

  const Options options;
  TensorRTLog log;
  const std::unique_ptr<nvinfer1::IRuntime> runtime;
  std::deque<TensorRTEngine> engines;
  Way ready;  // from the network's inputs
  Way raw;    // from frames and keypoints; without waves where the host prepares
  NamedShapes outputs;
  std::map<std::string, EngineTensor> tensors;
  std::int64_t most_clips = 0;
  std::int64_t most_persons = 0;
  std::atomic<bool> has_plain{false};  // a run could not be recorded

 private:
  std::vector<const TensorRTEngine*> load(const std::vector<Plan>& plans);
  // Float32, but for frames.
  void check_type(const std::string& tensor) const;

  std::mutex making_;  // contexts, one at a time
};

class TensorRTRequest {
 public:
  explicit TensorRTRequest(LoadedEngines& loaded);
  ~TensorRTRequest() { cudaStreamSynchronize(main()); }
  TensorRTRequest(const TensorRTRequest&) = delete;
  TensorRTRequest& operator=(const TensorRTRequest&) = delete;

  Result<Outputs> run(const Feeds& tensors, std::int64_t clips);
  Result<Outputs> run_raw(const RawFeeds& feeds);
  // Of the last run, by the GPU's own clock.
  double gpu_ms() const { return static_cast<double>(gpu_ms_); }

 private:
  struct Buffer {
    DeviceMemory device;
    PinnedMemory pinned;  // of outputs, and of inputs that come from host memory
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
  // What runs of as many clips and persons have in common.
  struct Batch {
    const Way* way = nullptr;
    std::int64_t clips = 0;
    std::int64_t persons = 1;
    std::vector<std::unique_ptr<nvinfer1::IExecutionContext>> contexts;  // in the order of the waves' engines
    std::vector<Recorded> recorded;                                      // the last used one last
  };

  cudaStream_t main() const { return streams_[0].get(); }
  // Nothing, or why the engines do not take so many.
  std::optional<Error> too_many(std::int64_t clips, std::int64_t persons) const;
  const void* pinned(const std::string& name, const void* data, std::size_t bytes);
  Result<Outputs> run(const Way& way, const Sources& sources, std::int64_t clips, std::int64_t persons);
  Batch& batch_of(const Way& way, std::int64_t clips, std::int64_t persons);
  void launch(Batch& batch, const Sources& sources);
  GraphExec record(Batch& batch, const Sources& sources);
  void enqueue(Batch& batch, const Sources& sources);
  void enqueue_engine(const TensorRTEngine& engine, nvinfer1::IExecutionContext& context, cudaStream_t stream, const Addresses& addresses);

  // In the order of construction; what is destroyed first stands last.
  LoadedEngines& loaded_;
  std::vector<Stream> streams_;  // as many as the widest wave has engines
  std::vector<Event> events_;
  Event callers_event_;
  Event start_, end_;  // of a run, by the GPU's clock
  float gpu_ms_ = 0;   // of the last run
  std::map<std::string, Buffer> buffers_;
  std::vector<Batch> batches_;
};

}  // namespace x3ddeploy::detail
