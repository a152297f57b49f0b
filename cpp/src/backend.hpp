// One small interface to every runtime: a loaded network that turns its inputs into its outputs.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bundle.hpp"

namespace x3ddeploy::detail {

// Clips as a camera and a pose estimator give them, in host memory, by the names of x3ddeploy/modalities/: frames
// (clips, T, H, W, 3) of bytes, keypoints (clips, persons, T, joints, 2) and their scores (clips, persons, T, joints, 1).
inline constexpr const char* kRawFrames = "frames";
inline constexpr const char* kRawKeypoints = "keypoints";
inline constexpr const char* kRawScores = "keypoint_scores";
struct RawTensor {
  const void* data = nullptr;
  std::size_t bytes = 0;
};
struct RawFeeds {
  std::map<std::string, RawTensor> tensors;
  std::int64_t clips = 0;
  std::int64_t persons = 1;
};

class Backend {
 public:
  virtual ~Backend() = default;

  // "openvino 2026.4.1 on cpu"
  virtual std::string description() const = 0;
  // Names and shapes.
  virtual NamedShapes inputs() const = 0;
  // Clips that one run takes, where their number is not fixed by `inputs()`.
  virtual std::int64_t most_clips() const { return std::numeric_limits<std::int64_t>::max(); }
  virtual bool takes_device_memory() const { return false; }
  // Names of the tensors that `run_raw` takes, where the device prepares videos; empty where that is the host's work.
  virtual std::vector<std::string> raw_inputs() const { return {}; }
  virtual std::int64_t most_persons() const { return 0; }  // that one raw run takes
  // Where videos are prepared, and why, if there is a choice; else empty.
  virtual std::string note() const { return ""; }
  // Whether every run could be recorded and is replayed; false where the runtime has no such thing.
  virtual bool uses_cuda_graph() const { return false; }
  // Of the last run of a request, by the GPU's own clock; 0 where nobody tells.
  virtual double gpu_ms(int) const { return 0; }
  // How many runs may be under way at the same time, each with a request of its own.
  virtual int requests() const { return 1; }
  // `tensors` fit `inputs()`, each of `clips` clips; `request` from 0 is not used by another run that is under way. May throw;
  // the caller turns that into an error value.
  virtual Result<Outputs> run(const Feeds& tensors, std::int64_t clips, int request) = 0;
  // Likewise of all that `raw_inputs` names, and nothing else.
  virtual Result<Outputs> run_raw(const RawFeeds&, int) {
    return Error{ErrorKind::failed, "the runtime takes clips that are prepared already", "", {}};
  }
};

using BackendResult = Result<std::unique_ptr<Backend>>;

// Gives ErrorKind::missing_requirement where this machine, or the bundle on this machine, has not what the runtime needs:
// an automatic choice then goes on. Every other error is the user's to know. May throw.
using Opener = BackendResult (*)(const Bundle& bundle, const Options& options);

#ifdef X3DDEPLOY_WITH_TENSORRT
BackendResult open_tensorrt(const Bundle& bundle, const Options& options);
#endif
#ifdef X3DDEPLOY_WITH_OPENVINO
BackendResult open_openvino(const Bundle& bundle, const Options& options);
#endif
#ifdef X3DDEPLOY_WITH_ONNXRUNTIME
BackendResult open_onnxruntime(const Bundle& bundle, const Options& options);
#endif

struct Opened {
  std::unique_ptr<Backend> backend;
  std::vector<std::string> notes;  // runtimes that were passed over, and why; and what that which was taken has to say
};

Result<Opened> open_backend(const Bundle& bundle, const Options& options);

// Refuses missing and misshapen inputs by name, all at once; gives the number of clips.
Result<std::int64_t> check_feeds(const NamedShapes& inputs, const Feeds& tensors, bool device_memory);

// Whether its values lie where values of their type may: loops that became vectors rely on it.
template <class T>
bool is_aligned(const View<T>& view) {
  return reinterpret_cast<std::uintptr_t>(view.data) % alignof(T) == 0;
}

// "(1, 3, 16, 224, 224)"
std::string shape_text(const Shape& shape);

}  // namespace x3ddeploy::detail
