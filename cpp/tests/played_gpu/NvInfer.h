// What the TensorRT backend calls of TensorRT 10's interface, played: see played_tensorrt.cpp.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#define NV_TENSORRT_MAJOR 10

namespace nvinfer1 {

enum class DataType { kFLOAT, kHALF, kBF16, kINT8, kUINT8 };
enum class TensorIOMode { kNONE, kINPUT, kOUTPUT };
enum class OptProfileSelector { kMIN, kOPT, kMAX };

struct Dims {
  std::int32_t nbDims;
  std::int64_t d[8];
};

class ILogger {
 public:
  enum class Severity { kINTERNAL_ERROR, kERROR, kWARNING };
  virtual ~ILogger() = default;
  virtual void log(Severity severity, const char* message) noexcept = 0;
};

struct PlayedTensor {
  std::string name;
  bool is_input;
  Dims dims;
  DataType type = DataType::kFLOAT;
};

class IExecutionContext {
 public:
  // `largest` are the sizes of the axes of clips and of persons that the profile allows.
  IExecutionContext(std::string part, std::vector<PlayedTensor> tensors, std::array<std::int64_t, 2> largest, ILogger& log);
  ~IExecutionContext();
  // -1 where the profile is another context's; such a context takes no shapes and does not run.
  std::int32_t getOptimizationProfile() const;
  bool setOptimizationProfileAsync(std::int32_t profile, cudaStream_t stream);
  bool setInputShape(const char* name, const Dims& dims);
  bool setTensorAddress(const char* name, void* address);
  bool enqueueV3(cudaStream_t stream);

 private:
  std::string part_;
  std::vector<PlayedTensor> tensors_;
  std::array<std::int64_t, 2> largest_;
  ILogger& log_;
  std::int32_t profile_ = -1;
  bool is_prepared_ = false;  // it ran since its shapes were set
  std::map<std::string, Dims> shapes_;  // of inputs
  std::map<std::string, void*> addresses_;
};

class ICudaEngine {
 public:
  ICudaEngine(std::string part, std::array<std::int64_t, 2> largest, ILogger& log);
  std::int32_t getNbIOTensors() const;
  const char* getIOTensorName(std::int32_t index) const;
  TensorIOMode getTensorIOMode(const char* name) const;
  DataType getTensorDataType(const char* name) const;
  Dims getTensorShape(const char* name) const;
  Dims getProfileShape(const char* name, std::int32_t profile, OptProfileSelector selector) const;
  IExecutionContext* createExecutionContext() const;

 private:
  const PlayedTensor& tensor(const char* name) const;

  std::string part_;
  std::array<std::int64_t, 2> largest_;
  std::vector<PlayedTensor> tensors_;
  ILogger& log_;
};

class IRuntime {
 public:
  explicit IRuntime(ILogger& log) : log_(log) {}
  void setEngineHostCodeAllowed(bool) {}
  ICudaEngine* deserializeCudaEngine(const void* plan, std::size_t size);

 private:
  ILogger& log_;
};

IRuntime* createInferRuntime(ILogger& log);

}  // namespace nvinfer1

inline int getInferLibMajorVersion() { return 10; }
inline int getInferLibMinorVersion() { return 13; }
inline int getInferLibPatchVersion() { return 2; }
inline int getInferLibBuildVersion() { return 6; }
