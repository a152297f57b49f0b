// What of the CUDA runtime is needed, owned by values; a call that fails throws with CUDA's own words.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>

namespace x3ddeploy::detail {

inline void cuda_check(cudaError_t code, const char* call) {
  if (code != cudaSuccess) throw std::runtime_error(std::string(call) + ": " + cudaGetErrorString(code));
}

#define X3DDEPLOY_CUDA(call) ::x3ddeploy::detail::cuda_check((call), #call)

// Makes a device the calling thread's own, and puts the application's choice back at the end of the scope. What fails
// here is told by the next call.
class CurrentDevice {
 public:
  explicit CurrentDevice(int device) noexcept {
    cudaGetDevice(&before_);
    if (before_ != device) cudaSetDevice(device);
    device_ = device;
  }
  ~CurrentDevice() {
    if (before_ != device_) cudaSetDevice(before_);
  }
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

 private:
  int before_ = 0;
  int device_ = 0;
};

template <class Handle, cudaError_t (*destroy)(Handle)>
struct CudaDeleter {
  using pointer = Handle;
  void operator()(Handle handle) const noexcept { destroy(handle); }
};

template <class Handle, cudaError_t (*destroy)(Handle)>
using CudaHandle = std::unique_ptr<Handle, CudaDeleter<Handle, destroy>>;

using DeviceMemory = CudaHandle<void*, cudaFree>;
using PinnedMemory = CudaHandle<void*, cudaFreeHost>;
using Stream = CudaHandle<cudaStream_t, cudaStreamDestroy>;
using Event = CudaHandle<cudaEvent_t, cudaEventDestroy>;
using Graph = CudaHandle<cudaGraph_t, cudaGraphDestroy>;
using GraphExec = CudaHandle<cudaGraphExec_t, cudaGraphExecDestroy>;

inline DeviceMemory allocate_device(std::size_t bytes) {
  void* memory = nullptr;
  X3DDEPLOY_CUDA(cudaMalloc(&memory, bytes));
  return DeviceMemory(memory);
}

inline PinnedMemory allocate_pinned(std::size_t bytes) {
  void* memory = nullptr;
  X3DDEPLOY_CUDA(cudaMallocHost(&memory, bytes));
  return PinnedMemory(memory);
}

inline Stream make_stream() {
  cudaStream_t stream = nullptr;
  X3DDEPLOY_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  return Stream(stream);
}

inline Event make_event(unsigned flags = cudaEventDisableTiming) {
  cudaEvent_t event = nullptr;
  X3DDEPLOY_CUDA(cudaEventCreateWithFlags(&event, flags));
  return Event(event);
}

// `waiting` goes on when all that is in `awaited` by now is done.
inline void order(cudaStream_t awaited, cudaStream_t waiting, const Event& event) {
  X3DDEPLOY_CUDA(cudaEventRecord(event.get(), awaited));
  X3DDEPLOY_CUDA(cudaStreamWaitEvent(waiting, event.get(), 0));
}

}  // namespace x3ddeploy::detail
