#include "tensorrt_engine.hpp"

#include <algorithm>
#include <stdexcept>
#include <type_traits>

#include "backend.hpp"

namespace x3ddeploy::detail {
namespace {

using nvinfer1::DataType;

Shape shape_of(const nvinfer1::Dims& dims) {
  Shape shape;
  for (int axis = 0; axis < dims.nbDims; ++axis) shape.push_back(dims.d[axis]);  // -1 is kDynamic
  return shape;
}

}  // namespace

std::size_t bytes_of(DataType type) {
  switch (type) {
    case DataType::kFLOAT: return 4;
    case DataType::kHALF: return 2;
    case DataType::kUINT8: return 1;
#if NV_TENSORRT_MAJOR >= 10
    case DataType::kBF16: return 2;
#endif
    default: throw std::runtime_error("the engine has a tensor of a type that no x3ddeploy graph has");
  }
}

void TensorRTLog::log(Severity severity, const char* message) noexcept {
  if (severity > Severity::kERROR) return;
  try {
    const std::lock_guard<std::mutex> held(lock_);
    last_error_ = message;
  } catch (...) {  // no memory for the words: the error itself is told all the same
  }
}

std::string TensorRTLog::last_error() const {
  const std::lock_guard<std::mutex> held(lock_);
  return last_error_;
}

TensorRTEngine::TensorRTEngine(nvinfer1::IRuntime& runtime, const Bytes& plan, const std::string& name,
                               const TensorRTLog& log)
    : name_(name) {
  engine_.reset(runtime.deserializeCudaEngine(plan.data(), plan.size()));
  if (!engine_) throw std::runtime_error(name + " cannot be loaded: " + log.last_error());
  for (int index = 0; index < engine_->getNbIOTensors(); ++index) {
    EngineTensor tensor;
    const char* const tensor_name = engine_->getIOTensorName(index);
    tensor.name = tensor_name;
    tensor.is_input = engine_->getTensorIOMode(tensor_name) == nvinfer1::TensorIOMode::kINPUT;
    tensor.type = engine_->getTensorDataType(tensor_name);
    tensor.shape = tensor.largest = shape_of(engine_->getTensorShape(tensor_name));
    if (tensor.is_input && std::count(tensor.shape.begin(), tensor.shape.end(), kDynamic) > 0) {
      tensor.largest = shape_of(engine_->getProfileShape(tensor_name, 0, nvinfer1::OptProfileSelector::kMAX));
    }
    tensors_.push_back(std::move(tensor));
  }
}

std::unique_ptr<nvinfer1::IExecutionContext> TensorRTEngine::context(std::int64_t clips, std::int64_t persons,
                                                                     cudaStream_t stream) const {
  std::unique_ptr<nvinfer1::IExecutionContext> context(engine_->createExecutionContext());
  if (!context) throw std::runtime_error("TensorRT makes no execution context; the GPU's memory may be used up");
  // In 8.6 the profile is one context's, unless the engine was built otherwise; the others have none, and never run.
  if (context->getOptimizationProfile() < 0 && !context->setOptimizationProfileAsync(0, stream)) {
    throw std::runtime_error(
        "the engine's profile belongs to another number of clips or persons or to another request, and cannot be shared: build it again with x3ddeploy "
        "build-trt, which allows that");
  }
  for (const EngineTensor& tensor : tensors_) {
    if (!tensor.is_input) continue;
    nvinfer1::Dims dims = engine_->getTensorShape(tensor.name.c_str());
    using Size = std::remove_reference_t<decltype(dims.d[0])>;  // 32 bits in 8.6, 64 from 10 on
    for (int axis = 1; axis < dims.nbDims; ++axis) {
      if (dims.d[axis] == kDynamic) dims.d[axis] = static_cast<Size>(persons);
    }
    dims.d[0] = static_cast<Size>(clips);
    if (!context->setInputShape(tensor.name.c_str(), dims)) {
      throw std::runtime_error("the engine of " + name_ + " does not take " + shape_text(shape_of(dims)) + " as " + tensor.name);
    }
  }
  return context;
}

std::string tensorrt_version() {
#if NV_TENSORRT_MAJOR >= 10
  return std::to_string(getInferLibMajorVersion()) + "." + std::to_string(getInferLibMinorVersion()) + "." +
         std::to_string(getInferLibPatchVersion()) + "." + std::to_string(getInferLibBuildVersion());
#else
  const int version = getInferLibVersion();  // 8601 is 8.6.1, and Python says no build number
  return std::to_string(version / 1000) + "." + std::to_string(version / 100 % 10) + "." +
         std::to_string(version % 100);
#endif
}

std::unique_ptr<nvinfer1::IRuntime> make_runtime(TensorRTLog& log) {
  std::unique_ptr<nvinfer1::IRuntime> runtime(nvinfer1::createInferRuntime(log));
  if (!runtime) throw std::runtime_error("TensorRT does not start: " + log.last_error());
  runtime->setEngineHostCodeAllowed(true);
  return runtime;
}

}  // namespace x3ddeploy::detail
