// Where the versions of TensorRT differ, and nowhere else: 8.6, 10 and 11.
#pragma once

#include <NvInfer.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "bundle.hpp"

namespace x3ddeploy::detail {

// Keeps the last error that TensorRT told, for the error value.
class TensorRTLog final : public nvinfer1::ILogger {
 public:
  void log(Severity severity, const char* message) noexcept override;
  std::string last_error() const;

 private:
  mutable std::mutex lock_;  // requests run side by side
  std::string last_error_;
};

struct EngineTensor {
  std::string name;
  bool is_input = false;
  nvinfer1::DataType type = nvinfer1::DataType::kFLOAT;
  Shape shape;    // kDynamic for the axes of clips and of persons
  Shape largest;  // that the profile allows, for an input
};

std::size_t bytes_of(nvinfer1::DataType type);

class TensorRTEngine {
 public:
  // The plan's sha256 was the manifest's: the lean runtime that a version-compatible plan carries may run.
  TensorRTEngine(nvinfer1::IRuntime& runtime, const Bytes& plan, const std::string& name, const TensorRTLog& log);

  const std::string& name() const noexcept { return name_; }
  const std::vector<EngineTensor>& tensors() const noexcept { return tensors_; }
  // For so many clips at a time, each of so many persons. What follows in another stream than `stream` has to wait for it.
  std::unique_ptr<nvinfer1::IExecutionContext> context(std::int64_t clips, std::int64_t persons, cudaStream_t stream) const;

 private:
  std::string name_;
  std::unique_ptr<nvinfer1::ICudaEngine> engine_;
  std::vector<EngineTensor> tensors_;
};

// "10.13.2.6", as Python's tensorrt.__version__ has it.
std::string tensorrt_version();
std::unique_ptr<nvinfer1::IRuntime> make_runtime(TensorRTLog& log);

}  // namespace x3ddeploy::detail
