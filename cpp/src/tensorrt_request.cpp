#include "tensorrt_request.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace x3ddeploy::detail {
namespace {

// Each number of clips has execution contexts of its own, which hold activations: few are kept. Graphs are small.
constexpr std::size_t kKeptBatches = 4;
constexpr std::size_t kKeptGraphs = 8;
// Of every address that TensorRT is given; IExecutionContext::setTensorAddress.
constexpr std::uintptr_t kAlignment = 256;

std::size_t takers(const std::vector<std::vector<Part>>& waves, const std::string& name) {
  std::size_t count = 0;
  for (const auto& wave : waves) {
    for (const Part& part : wave) count += static_cast<std::size_t>(std::count(part.inputs.begin(), part.inputs.end(), name));
  }
  return count;
}

}  // namespace

LoadedEngines::LoadedEngines(const Network& network, const std::vector<Bytes>& plans, const Options& its_options)
    : options(its_options), runtime(make_runtime(log)), waves(network.waves) {
  for (const Input& input : network.contract.inputs) borders.insert(input.name);
  for (const Output& output : network.contract.outputs) borders.insert(output.name);
  for (const auto& wave : waves) {
    for (const Part& part : wave) {
      engines.emplace_back(*runtime, plans.at(engines.size()), part.name, log);
      add_tensors(engines.back());
    }
  }
}

std::unique_ptr<nvinfer1::IExecutionContext> LoadedEngines::context(std::size_t part, std::int64_t clips, cudaStream_t stream) {
  const std::lock_guard<std::mutex> one(making_);
  return engines[part].context(clips, stream);
}

void LoadedEngines::add_tensors(const TensorRTEngine& engine) {
  for (const EngineTensor& tensor : engine.tensors()) {
    if (tensor.is_input) largest = largest == 0 ? tensor.largest : std::min(largest, tensor.largest);
    std::size_t bytes = tensor.element_bytes;
    for (std::size_t axis = 1; axis < tensor.shape.size(); ++axis) bytes *= static_cast<std::size_t>(tensor.shape[axis]);
    const auto [known, is_new] = clip_bytes.try_emplace(tensor.name, bytes);
    if (known->second != bytes) {
      throw std::runtime_error("the engines disagree about " + tensor.name + ": build all parts again");
    }
    if (is_between(tensor.name)) continue;
    if (!tensor.is_float32) throw std::runtime_error(tensor.name + " is not float32 in the engine: build it again");
    if (is_new) (tensor.is_input ? inputs : outputs).emplace_back(tensor.name, tensor.shape);
  }
}

TensorRTRequest::TensorRTRequest(LoadedEngines& loaded)
    : loaded_(loaded), callers_event_(make_event()), start_(make_event(cudaEventDefault)), end_(make_event(cudaEventDefault)) {
  for (const auto& wave : loaded_.waves) {
    while (streams_.size() < wave.size()) streams_.push_back(make_stream());
    // Where the other streams part from the first, and where they join it again.
    for (std::size_t i = 2; i < 2 * wave.size(); ++i) events_.push_back(make_event());
  }
  for (const auto& [name, bytes] : loaded_.clip_bytes) {
    buffers_[name].device = allocate_device(bytes_of(name, loaded_.largest));
    if (!loaded_.is_between(name)) buffers_[name].pinned = allocate_pinned(bytes_of(name, loaded_.largest));
  }
}

std::size_t TensorRTRequest::bytes_of(const std::string& name, std::int64_t clips) const {
  return loaded_.clip_bytes.at(name) * static_cast<std::size_t>(clips);
}

Result<Outputs> TensorRTRequest::run(const Feeds& tensors, std::int64_t clips) {
  if (clips > loaded_.largest) {
    return Error{ErrorKind::usage,
                 std::to_string(clips) + " clips at once, and the engines take at most " + std::to_string(loaded_.largest),
                 "build them with larger --max-shapes",
                 {}};
  }
  Sources sources;
  bool all_copied = true;
  for (const auto& [name, shape] : loaded_.inputs) {
    const View<float>& view = tensors.at(name);
    const Result<const void*> place = source_of(name, view, clips);
    if (!place) return place.error();
    sources[name] = {*place, view.memory == Memory::host};
    all_copied = all_copied && view.memory == Memory::host;
  }
  if (!all_copied) order(static_cast<cudaStream_t>(loaded_.options.cuda_stream), main(), callers_event_);
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
  for (const auto& [name, shape] : loaded_.outputs) {
    const auto* values = static_cast<const float*>(buffers_.at(name).pinned.get());
    outputs[name].assign(values, values + bytes_of(name, clips) / sizeof(float));
  }
  return outputs;
}

// Where an input is read: where the caller has it on the GPU, or the pinned memory that it is now in.
Result<const void*> TensorRTRequest::source_of(const std::string& name, const View<float>& view, std::int64_t clips) {
  if (view.memory == Memory::host) {
    const Buffer& buffer = buffers_.at(name);
    std::memcpy(buffer.pinned.get(), view.data, bytes_of(name, clips));
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

TensorRTRequest::Batch& TensorRTRequest::batch_of(std::int64_t clips) {
  const auto found =
      std::find_if(batches_.begin(), batches_.end(), [&](const Batch& batch) { return batch.clips == clips; });
  if (found != batches_.end()) {
    std::rotate(found, found + 1, batches_.end());
    return batches_.back();
  }
  if (batches_.size() == kKeptBatches) batches_.erase(batches_.begin());
  Batch batch;
  batch.clips = clips;
  for (const auto& wave : loaded_.waves) {
    for (std::size_t i = 0; i < wave.size(); ++i) {
      batch.contexts.push_back(loaded_.context(batch.contexts.size(), clips, streams_[i].get()));
    }
  }
  return batches_.emplace_back(std::move(batch));
}

void TensorRTRequest::launch(Batch& batch, const Sources& sources) {
  std::vector<Recorded>& recorded = batch.recorded;
  const auto found =
      std::find_if(recorded.begin(), recorded.end(), [&](const Recorded& one) { return one.sources == sources; });
  if (!loaded_.options.cuda_graph || found == recorded.end()) {
    enqueue(batch, sources);
    if (recorded.size() == kKeptGraphs) recorded.erase(recorded.begin());
    if (loaded_.options.cuda_graph) recorded.push_back({sources, nullptr, false});
    return;
  }
  std::rotate(found, found + 1, recorded.end());
  Recorded& last = recorded.back();
  if (!last.graph && !last.is_plain) {
    try {
      last.graph = record(batch, sources);
    } catch (const std::exception& error) {
      enqueue(batch, sources);  // where more than the capture is wrong, this says so
      last.is_plain = loaded_.has_plain = true;
      if (loaded_.options.log) {
        loaded_.options.log("runs of " + std::to_string(batch.clips) + " clips are not recorded as a CUDA graph: " + error.what());
      }
      return;
    }
  }
  if (last.is_plain) return enqueue(batch, sources);
  X3DDEPLOY_CUDA(cudaGraphLaunch(last.graph.get(), main()));
}

GraphExec TensorRTRequest::record(Batch& batch, const Sources& sources) {
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

void TensorRTRequest::enqueue(Batch& batch, const Sources& sources) {
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
    X3DDEPLOY_CUDA(cudaMemcpyAsync(addresses.at(name), sources.at(name).place, bytes_of(name, batch.clips), cudaMemcpyHostToDevice, stream));
  };
  // What one part alone takes, and at once, comes in that part's stream; the rest before the streams part.
  for (const auto& [name, source] : sources) {
    if (takers(loaded_.waves, name) != 1) feed(name, main());
  }
  std::size_t part = 0, event = 0;
  for (const std::vector<Part>& wave : loaded_.waves) {
    for (std::size_t i = 1; i < wave.size(); ++i) order(main(), streams_[i].get(), events_[event++]);
    for (std::size_t i = 0; i < wave.size(); ++i, ++part) {
      for (const std::string& name : wave[i].inputs) feed(name, streams_[i].get());
      enqueue_part(batch, part, wave[i].name, streams_[i].get(), addresses);
    }
    for (std::size_t i = 1; i < wave.size(); ++i) order(streams_[i].get(), main(), events_[event++]);
  }
  for (const auto& [name, shape] : loaded_.outputs) {
    const Buffer& buffer = buffers_.at(name);
    X3DDEPLOY_CUDA(cudaMemcpyAsync(buffer.pinned.get(), buffer.device.get(), bytes_of(name, batch.clips), cudaMemcpyDeviceToHost, main()));
  }
}

void TensorRTRequest::enqueue_part(Batch& batch, std::size_t part, const std::string& name, cudaStream_t stream,
                  const Addresses& addresses) {
  nvinfer1::IExecutionContext& context = *batch.contexts[part];
  for (const EngineTensor& tensor : loaded_.engines[part].tensors()) {
    if (!context.setTensorAddress(tensor.name.c_str(), addresses.at(tensor.name))) {
      throw std::runtime_error(name + " does not take the address of " + tensor.name);
    }
  }
  if (!context.enqueueV3(stream)) throw std::runtime_error(name + " fails: " + loaded_.log.last_error());
}

}  // namespace x3ddeploy::detail
