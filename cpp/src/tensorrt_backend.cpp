// TensorRT: the parts in waves, those of one wave side by side, each in a CUDA stream of its own; what lies between them
// stays on the GPU. A call that comes a second time with as many clips, from the same memory, is recorded as a CUDA graph.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <iterator>
#include <set>

#include "backend.hpp"
#include "cuda.hpp"
#include "engines.hpp"
#include "tensorrt_engine.hpp"

namespace x3ddeploy::detail {
namespace {

// Each number of clips has execution contexts of its own, which hold activations: few are kept. Graphs are small.
constexpr std::size_t kKeptBatches = 4;
constexpr std::size_t kKeptGraphs = 8;
// Of every address that TensorRT is given; IExecutionContext::setTensorAddress.
constexpr std::uintptr_t kAlignment = 256;

struct Buffer {
  std::size_t clip_bytes = 0;
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

class TensorRTBackend final : public Backend {
 public:
  // Plans in the order of the waves' parts.
  TensorRTBackend(const Network& network, std::vector<Bytes> plans, const Options& options, const Host& host)
      : options_(options),
        description_("tensorrt " + host.version + " on " + host.gpu),
        runtime_(make_runtime(log_)),
        waves_(network.waves),
        callers_event_(make_event()),
        start_(make_event(cudaEventDefault)),
        end_(make_event(cudaEventDefault)) {
    for (const Input& input : network.contract.inputs) borders_.insert(input.name);
    for (const Output& output : network.contract.outputs) borders_.insert(output.name);
    for (const auto& wave : waves_) {
      while (streams_.size() < wave.size()) streams_.push_back(make_stream());
      for (const Part& part : wave) {
        engines_.emplace_back(*runtime_, plans.at(engines_.size()), part.name, log_);
        for (const EngineTensor& tensor : engines_.back().tensors()) {
          if (tensor.is_input) largest_ = largest_ == 0 ? tensor.largest : std::min(largest_, tensor.largest);
        }
        add_tensors();
      }
    }
    for (const auto& wave : waves_) {  // where the other streams part from the first, and where they join it again
      for (std::size_t i = 2; i < 2 * wave.size(); ++i) events_.push_back(make_event());
    }
    for (auto& [name, buffer] : buffers_) {
      const std::size_t bytes = buffer.clip_bytes * static_cast<std::size_t>(largest_);
      buffer.device = allocate_device(bytes);
      if (!is_between(name)) buffer.pinned = allocate_pinned(bytes);
    }
  }

  ~TensorRTBackend() override {
    last_.emplace(options_.gpu);
    cudaStreamSynchronize(main());
  }

  std::string description() const override { return description_; }
  NamedShapes inputs() const override { return inputs_; }
  std::int64_t most_clips() const override { return largest_; }
  bool takes_device_memory() const override { return true; }
  bool uses_cuda_graph() const override { return options_.cuda_graph && !has_plain_; }
  double gpu_ms(int) const override { return gpu_ms_; }

  Result<Outputs> run(const Feeds& tensors, std::int64_t clips, int) override {
    if (clips > largest_) {
      return Error{ErrorKind::usage,
                   std::to_string(clips) + " clips at once, and the engines take at most " + std::to_string(largest_),
                   "build them with larger --max-shapes",
                   {}};
    }
    const CurrentDevice device(options_.gpu);
    Sources sources;
    bool all_copied = true;
    for (const auto& [name, shape] : inputs_) {
      const View<float>& view = tensors.at(name);
      const Result<const void*> place = source_of(name, view, clips);
      if (!place) return place.error();
      sources[name] = {*place, view.memory == Memory::host};
      all_copied = all_copied && view.memory == Memory::host;
    }
    if (!all_copied) order(static_cast<cudaStream_t>(options_.cuda_stream), main(), callers_event_);
    try {
      X3DDEPLOY_CUDA(cudaEventRecord(start_.get(), main()));
      launch(batch_of(clips), sources);
      X3DDEPLOY_CUDA(cudaEventRecord(end_.get(), main()));
    } catch (...) {  // what was launched still reads the caller's memory
      for (const Stream& stream : streams_) cudaStreamSynchronize(stream.get());
      throw;
    }
    X3DDEPLOY_CUDA(cudaStreamSynchronize(main()));
    X3DDEPLOY_CUDA(cudaEventElapsedTime(&gpu_ms_, start_.get(), end_.get()));
    Outputs outputs;
    for (const auto& [name, shape] : outputs_) {
      const Buffer& buffer = buffers_.at(name);
      const auto* values = static_cast<const float*>(buffer.pinned.get());
      outputs[name].assign(values, values + buffer.clip_bytes * static_cast<std::size_t>(clips) / sizeof(float));
    }
    return outputs;
  }

 private:
  cudaStream_t main() const { return streams_[0].get(); }

  // Made by a part and taken by others alone.
  bool is_between(const std::string& name) const { return borders_.count(name) == 0; }

  void add_tensors() {
    for (const EngineTensor& tensor : engines_.back().tensors()) {
      std::size_t bytes = tensor.element_bytes;
      for (std::size_t axis = 1; axis < tensor.shape.size(); ++axis)
        bytes *= static_cast<std::size_t>(tensor.shape[axis]);
      Buffer& buffer = buffers_[tensor.name];
      const bool is_new = buffer.clip_bytes == 0;
      if (buffer.clip_bytes != 0 && buffer.clip_bytes != bytes) {
        throw std::runtime_error("the engines disagree about " + tensor.name + ": build all parts again");
      }
      buffer.clip_bytes = bytes;
      if (is_between(tensor.name)) continue;
      if (!tensor.is_float32) throw std::runtime_error(tensor.name + " is not float32 in the engine: build it again");
      if (is_new) (tensor.is_input ? inputs_ : outputs_).emplace_back(tensor.name, tensor.shape);
    }
  }

  // Where an input is read: where the caller has it on the GPU, or the pinned memory that it is now in.
  Result<const void*> source_of(const std::string& name, const View<float>& view, std::int64_t clips) {
    if (view.memory == Memory::host) {
      const Buffer& buffer = buffers_.at(name);
      std::memcpy(buffer.pinned.get(), view.data, buffer.clip_bytes * static_cast<std::size_t>(clips));
      return static_cast<const void*>(buffer.pinned.get());
    }
    if (reinterpret_cast<std::uintptr_t>(view.data) % kAlignment != 0) {
      return Error{ErrorKind::failed,
                   "'" + name + "' lies at an address that is no multiple of 256 bytes",
                   "memory of cudaMalloc is aligned; a view into the middle of a tensor may not be",
                   {}};
    }
    return static_cast<const void*>(view.data);
  }

  Batch& batch_of(std::int64_t clips) {
    const auto found =
        std::find_if(batches_.begin(), batches_.end(), [&](const Batch& batch) { return batch.clips == clips; });
    if (found != batches_.end()) {
      std::rotate(found, found + 1, batches_.end());
      return batches_.back();
    }
    if (batches_.size() == kKeptBatches) batches_.erase(batches_.begin());
    Batch batch;
    batch.clips = clips;
    for (const auto& wave : waves_) {
      for (std::size_t i = 0; i < wave.size(); ++i) {
        batch.contexts.push_back(engines_[batch.contexts.size()].context(clips, streams_[i].get()));
      }
    }
    return batches_.emplace_back(std::move(batch));
  }

  void launch(Batch& batch, const Sources& sources) {
    std::vector<Recorded>& recorded = batch.recorded;
    const auto found =
        std::find_if(recorded.begin(), recorded.end(), [&](const Recorded& one) { return one.sources == sources; });
    if (!options_.cuda_graph || found == recorded.end()) {
      enqueue(batch, sources);
      if (recorded.size() == kKeptGraphs) recorded.erase(recorded.begin());
      if (options_.cuda_graph) recorded.push_back({sources, nullptr, false});
      return;
    }
    std::rotate(found, found + 1, recorded.end());
    Recorded& last = recorded.back();
    if (!last.graph && !last.is_plain) {
      try {
        last.graph = record(batch, sources);
      } catch (const std::exception& error) {
        enqueue(batch, sources);  // where more than the capture is wrong, this says so
        last.is_plain = has_plain_ = true;
        if (options_.log) {
          options_.log("runs of " + std::to_string(batch.clips) + " clips are not recorded as a CUDA graph: " + error.what());
        }
        return;
      }
    }
    if (last.is_plain) return enqueue(batch, sources);
    X3DDEPLOY_CUDA(cudaGraphLaunch(last.graph.get(), main()));
  }

  GraphExec record(Batch& batch, const Sources& sources) {
    X3DDEPLOY_CUDA(cudaStreamBeginCapture(main(), cudaStreamCaptureModeThreadLocal));
    cudaGraph_t captured = nullptr;
    try {
      enqueue(batch, sources);
    } catch (...) {
      cudaStreamEndCapture(main(), &captured);
      if (captured != nullptr) cudaGraphDestroy(captured);
      throw;
    }
    X3DDEPLOY_CUDA(cudaStreamEndCapture(main(), &captured));
    const Graph graph(captured);
    cudaGraphExec_t executable = nullptr;
    X3DDEPLOY_CUDA(cudaGraphInstantiateWithFlags(&executable, graph.get(), 0));
    return GraphExec(executable);
  }

  void enqueue(Batch& batch, const Sources& sources) {
    Addresses addresses;
    for (const auto& [name, buffer] : buffers_) addresses[name] = buffer.device.get();
    std::set<std::string> waiting;  // inputs that are not there yet
    for (const auto& [name, source] : sources) {
      if (source.copied) {
        waiting.insert(name);
      } else {  // an input is read only; TensorRT's interface cannot say so
        addresses[name] = const_cast<void*>(source.place);
      }
    }
    const auto feed = [&](const std::string& name, cudaStream_t stream) {
      if (waiting.erase(name) == 0) return;
      const std::size_t bytes = buffers_.at(name).clip_bytes * static_cast<std::size_t>(batch.clips);
      X3DDEPLOY_CUDA(cudaMemcpyAsync(addresses.at(name), sources.at(name).place, bytes, cudaMemcpyHostToDevice, stream));
    };
    // What one part alone takes, and at once, comes in that part's stream; the rest before the streams part.
    for (const auto& [name, source] : sources) {
      if (takers(name) != 1) feed(name, main());
    }
    std::size_t part = 0, event = 0;
    for (const std::vector<Part>& wave : waves_) {
      for (std::size_t i = 1; i < wave.size(); ++i) order(main(), streams_[i].get(), events_[event++]);
      for (std::size_t i = 0; i < wave.size(); ++i, ++part) {
        for (const std::string& name : wave[i].inputs) feed(name, streams_[i].get());
        enqueue_part(batch, part, wave[i].name, streams_[i].get(), addresses);
      }
      for (std::size_t i = 1; i < wave.size(); ++i) order(streams_[i].get(), main(), events_[event++]);
    }
    for (const auto& [name, shape] : outputs_) {
      const Buffer& buffer = buffers_.at(name);
      X3DDEPLOY_CUDA(cudaMemcpyAsync(buffer.pinned.get(), buffer.device.get(),
                                     buffer.clip_bytes * static_cast<std::size_t>(batch.clips), cudaMemcpyDeviceToHost,
                                     main()));
    }
  }

  std::size_t takers(const std::string& name) const {
    std::size_t count = 0;
    for (const auto& wave : waves_) {
      for (const Part& part : wave) count += static_cast<std::size_t>(std::count(part.inputs.begin(), part.inputs.end(), name));
    }
    return count;
  }

  void enqueue_part(Batch& batch, std::size_t part, const std::string& name, cudaStream_t stream,
                    const Addresses& addresses) {
    nvinfer1::IExecutionContext& context = *batch.contexts[part];
    for (const EngineTensor& tensor : engines_[part].tensors()) {
      if (!context.setTensorAddress(tensor.name.c_str(), addresses.at(tensor.name))) {
        throw std::runtime_error(name + " does not take the address of " + tensor.name);
      }
    }
    if (!context.enqueueV3(stream)) throw std::runtime_error(name + " fails: " + log_.last_error());
  }

  // In the order of construction; what is destroyed first stands last.
  std::optional<CurrentDevice> last_;  // while the rest is destroyed
  Options options_;
  std::string description_;
  TensorRTLog log_;
  std::unique_ptr<nvinfer1::IRuntime> runtime_;
  std::vector<std::vector<Part>> waves_;
  std::vector<Stream> streams_;  // as many as the widest wave has parts
  std::vector<Event> events_;
  Event callers_event_;
  Event start_, end_;  // of a run, by the GPU's clock
  float gpu_ms_ = 0;   // of the last run
  std::atomic<bool> has_plain_{false};
  std::set<std::string> borders_;  // the network's inputs and outputs
  std::vector<TensorRTEngine> engines_;
  std::int64_t largest_ = 0;  // clips
  std::map<std::string, Buffer> buffers_;
  NamedShapes inputs_;
  NamedShapes outputs_;
  std::vector<Batch> batches_;
};

Error no_gpu(const std::string& why) {
  return {ErrorKind::missing_requirement,
          "there is no usable NVIDIA GPU: " + why,
          "run it on a machine with one, or use another runtime",
          {}};
}

}  // namespace

BackendResult open_tensorrt(const Bundle& bundle, const Options& options) {
  // The driver is asked first: without one, TensorRT's runtime may crash.
  int devices = 0;
  if (const cudaError_t code = cudaGetDeviceCount(&devices); code != cudaSuccess)
    return no_gpu(cudaGetErrorString(code));
  if (options.gpu < 0 || options.gpu >= devices) {
    return no_gpu("device " + std::to_string(options.gpu) + " was asked for, of " + std::to_string(devices));
  }
  const CurrentDevice device(options.gpu);
  cudaDeviceProp properties;
  X3DDEPLOY_CUDA(cudaGetDeviceProperties(&properties, options.gpu));
  const Host host = {properties.name, std::to_string(properties.major) + "." + std::to_string(properties.minor),
                     tensorrt_version()};
  std::vector<Bytes> plans;
  const Network& network = bundle.manifest().network;
  std::vector<Part> parts;
  for (const auto& wave : network.waves) parts.insert(parts.end(), wave.begin(), wave.end());
  for (const Part& part : parts) {
    Result<std::string> name = find_engine(bundle, part.name, options.precision, host);
    if (!name) {
      // Left to choose, another runtime can serve; asked for TensorRT, this is the answer.
      if (options.runtime == Runtime::automatic) name.error().kind = ErrorKind::missing_requirement;
      return std::move(name.error());
    }
    Result<Bytes> plan = bundle.read(*name);
    if (!plan) return std::move(plan.error());
    plans.push_back(std::move(*plan));
  }
  return BackendResult(std::make_unique<TensorRTBackend>(network, std::move(plans), options, host));
}

}  // namespace x3ddeploy::detail
