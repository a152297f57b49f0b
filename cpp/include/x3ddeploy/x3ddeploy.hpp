// x3ddeploy: action recognition from a deployment bundle. How to: docs/embed.md; cameras: stream.hpp.
//
//   auto recognizer = x3ddeploy::Recognizer::open("deploy");
//   if (!recognizer) { std::cerr << recognizer.error().text(); return 1; }
//   auto prediction = recognizer->predict(video);
//   if (!prediction) { std::cerr << prediction.error().text(); return 1; }
//   for (const auto& label : recognizer->top(*prediction, 5)) std::cout << label.name << ' ' << label.score << '\n';
//
// No function of this library throws. Recognizers may be used by any number of threads at the same time, one recognizer too:
// it is one loaded network that computes as many calls at once as it has requests.
#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <x3ddeploy/export.h>
#include <x3ddeploy/version.h>

namespace x3ddeploy {

// "0.1.0": of the library; X3DDEPLOY_VERSION_MAJOR and so on are of the header.
X3DDEPLOY_API const char* version() noexcept;


// The values are the exit codes of the `x3ddeploy` command.
enum class ErrorKind { failed = 1, usage = 2, gate = 3, missing_requirement = 4 };

// What was wrong and where, what to do about it, and further lines such as every offending file.
struct Error {
  ErrorKind kind = ErrorKind::failed;
  std::string message;
  std::string hint;
  std::vector<std::string> details;

  // All of it, a line each; the same text as the command prints.
  X3DDEPLOY_API std::string text() const;
};

// A value, or the error that stands in its place. Asking for the one that is not there is a programming error.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  explicit operator bool() const noexcept { return state_.index() == 0; }
  T& operator*() & noexcept { return *checked(std::get_if<0>(&state_)); }
  const T& operator*() const& noexcept { return *checked(std::get_if<0>(&state_)); }
  T&& operator*() && noexcept { return std::move(*checked(std::get_if<0>(&state_))); }
  T* operator->() noexcept { return checked(std::get_if<0>(&state_)); }
  const T* operator->() const noexcept { return checked(std::get_if<0>(&state_)); }
  Error& error() noexcept { return *checked(std::get_if<1>(&state_)); }
  const Error& error() const noexcept { return *checked(std::get_if<1>(&state_)); }

 private:
  template <class P>
  static P* checked(P* pointer) noexcept {
    assert(pointer != nullptr && "a Result was used without looking whether it holds a value");
    return pointer;
  }

  std::variant<T, Error> state_;
};

// Where a caller's tensor lies. Device memory is taken by the TensorRT runtime alone, and is not copied.
enum class Memory { host, device };

// Somebody else's array, C-contiguous. It must stay as it is until the call that takes it returns.
template <class T>
struct View {
  const T* data = nullptr;
  std::vector<std::int64_t> shape;
  Memory memory = Memory::host;
};

// How the bytes of a picture lie. The first five are one plane of 3, 3, 4, 4 and 1 bytes a pixel. nv12: a plane of Y and one of
// U, V pairs at half the height; i420: planes of Y, U and V. Y, U, V are BT.601 of limited range, as OpenCV reads them.
enum class PixelFormat { rgb, bgr, rgba, bgra, gray, nv12, i420 };

// Somebody else's picture. Only what the network looks at is read and converted.
struct Frame {
  Frame() = default;
  Frame(const std::uint8_t* pixels) : planes{pixels} {}  // of the format and the size that its video says
  Frame(PixelFormat pixel_format, int rows, int columns, std::array<const std::uint8_t*, 3> at,
        std::array<std::size_t, 3> bytes = {})
      : planes(at), row_bytes(bytes), format(pixel_format), height(rows), width(columns) {}

  std::array<const std::uint8_t*, 3> planes{};  // those that are nullptr lie behind the one before
  std::array<std::size_t, 3> row_bytes{};       // from one row of a plane to the next; 0 where nothing lies between them
  PixelFormat format = PixelFormat::rgb;
  int height = 0;
  int width = 0;
};

// What a camera and a pose estimator give. Keypoints and frames need not be equally many: they cover the same time.
struct Video {
  std::vector<Frame> frames;
  int height = 0;  // of the frames; may be left out where they say it
  int width = 0;
  std::size_t row_bytes = 0;               // of the first plane, where a frame does not say it
  PixelFormat format = PixelFormat::rgb;   // of frames that are nothing but a pointer
  // (persons, frames, joints, 2), x and y in pixels of the frames, 0 means "not found"; (..., 3) of skeletons in space.
  View<float> keypoints;
  View<float> keypoint_scores;  // (persons, frames, joints)
  int keypoints_height = 0;     // of the pictures that keypoints are pixels of; 0 where it is that of the frames
  int keypoints_width = 0;
};

// Ready tensors of N clips, by the names of the network's inputs.
using Feeds = std::map<std::string, View<float>>;
// What the network gives for N clips, one clip behind the other, by the names of its outputs.
using Outputs = std::map<std::string, std::vector<float>>;

// Ready tensors of N clips, for a network of frames, of heatmaps, of skeletons or of one input of each.
struct Tensors {
  View<float> imgs;          // (N, 3, T, H, W), normalised
  View<float> heatmap_imgs;  // (N, joints, T', H', W')
  View<float> keypoint;      // (N, persons, T, joints, channels)
};

// Tensors of the library's own; those of an input that the network has not are empty.
struct PreparedClips {
  std::vector<float> imgs;
  std::vector<float> heatmap_imgs;
  std::vector<std::int64_t> imgs_shape;
  std::vector<std::int64_t> heatmap_imgs_shape;
  std::vector<float> keypoint;
  std::vector<std::int64_t> keypoint_shape;
  bool nobody = false;  // keypoints were looked at, and no joint was found in the picture

  Tensors view() const {
    return {{imgs.data(), imgs_shape}, {heatmap_imgs.data(), heatmap_imgs_shape}, {keypoint.data(), keypoint_shape}};
  }
};

// Where the time of a call went.
struct Stages {
  double prepare_ms = 0;  // frames and keypoints to tensors
  double wait_ms = 0;     // for a request that is free
  double compute_ms = 0;  // tensors to the network's outputs
  double gpu_ms = 0;      // of that, copies and computation by the GPU's own clock; 0 where no GPU computes
};

// Of one clip, or of a video's clips averaged.
struct Prediction {
  std::vector<float> scores;      // probabilities, one a class
  Outputs logits;                 // by the names of the network's outputs
  std::vector<float> rgb_logits;  // the same of a two-stream network, by name
  std::vector<float> pose_logits;
  std::vector<float> rgb_coarse_logits;  // empty where the network has no coarse classes
  std::vector<float> pose_coarse_logits;
  // Of the frames that the pose stream saw, in how many a joint was drawn; nothing where they lie in device memory.
  // At 0 the scores are no answer, and `top` gives none.
  std::optional<int> frames_with_persons;
  Stages stages;  // of the call that it comes from; of an average all its clips'
};

struct Label {
  int index = 0;
  float score = 0;
  std::string name;  // the class's number where the bundle has no labels.txt
};

// How far rounding alone takes an output of the network on the golden clip; measured when the graphs were made. Each is
// a share: of the output's largest value (of 1 for `scores`), and of its root mean square. Of fp32 the first alone is known.
struct Rounding {
  double relative = 0;  // largest difference
  double rms = 0;       // root mean square of the differences
  double channels = 0;  // root mean square of the channels' mean differences
};

enum class InputKind { frames, heatmaps, skeleton, other };
enum class OutputKind { features, logits, scores };
// What makes probabilities of logits.
enum class Activation { none, softmax, sigmoid };

// A tensor that the network takes, or gives. Shapes have the clips first, -1 for any number of them.
struct Input {
  std::string name;
  InputKind kind = InputKind::other;
  std::vector<std::int64_t> shape;
};
struct Output {
  std::string name;
  OutputKind kind = OutputKind::features;
  std::vector<std::int64_t> shape;
  Activation activation = Activation::none;
};

namespace detail {
struct Steps;
}

// What the network takes and gives, as its bundle says.
struct Contract {
  std::string family;
  std::vector<Input> inputs;
  std::vector<Output> outputs;
  std::vector<std::pair<std::string, double>> weights;  // of the logits in the scores

  // What the library needs to prepare clips: of the input of frames, and of the one of heatmaps; 0 where there is none.
  int classes = 0;
  int coarse_classes = 0;
  int joints = 0;
  int rgb_frames = 0;
  int rgb_height = 0;  // of frames as they are resized, in which the joints of heatmaps lie, too
  int rgb_width = 0;
  bool channels_first = true;  // (N, 3, T, H, W), else (N, T, 3, H, W)
  std::array<float, 3> mean{};
  std::array<float, 3> std{};
  int pose_frames = 0;
  int pose_height = 0;
  int pose_width = 0;
  double sigma = 0;    // of a keypoint's Gaussian, in heatmap pixels
  double scaling = 0;  // heatmap pixels a frame pixel
  bool use_score = true;
  bool crops_to_persons = false;  // frames are cropped to the persons before they are resized
  std::shared_ptr<const detail::Steps> steps;  // of the pipeline, as the library does them
  int clips = 1;                  // that the configuration draws from a video; give them to `predict` for its scores
  int views = 1;                  // of each clip: crops of a frame, and their mirror images; each is a row of N
  std::string foreign_step;       // of the pipeline, which the library cannot do; then it takes ready tensors alone
  std::string average_clips;        // how a video's clips are averaged: "prob", "score" or "none"
  std::array<double, 2> fusion{};   // the weights, where they are of two
  std::optional<int> batch;         // a fixed number of clips; nothing for any
  std::vector<std::string> labels;  // class names; empty where the bundle has none
  // Of each output of the network in the precision that was opened; empty where the bundle does not say.
  std::map<std::string, Rounding> rounding;
};

// automatic: the first of the others that is built in and can run this bundle on this machine.
enum class Runtime { automatic, tensorrt, openvino, onnxruntime };

// What a network is loaded for: the shortest time of one call, or the most calls a second.
enum class Hint { latency, throughput };

struct Options {
  Runtime runtime = Runtime::automatic;
  std::string precision = "fp32";               // or "fp16", "bf16", "int8": that of the bundle's graph or engine
  std::optional<std::array<double, 2>> fusion;  // weights of two streams; nothing for the bundle's
  // Joints that are not finite or have a lower score neither widen a video's crop nor are drawn; nothing counts all, as
  // MMAction2 does.
  std::optional<float> min_keypoint_score;
  std::string device;           // of OpenVINO: "cpu", "gpu", "npu"; empty for the CPU
  Hint hint = Hint::latency;
  int requests = 0;             // calls that are computed at the same time; 0 leaves the choice to the runtime and the hint
  int threads = 0;              // of a CPU runtime, and of preparing; 0 leaves the choice to them
  std::string cache_dir;        // of OpenVINO: where compiled networks are kept; empty keeps none
  bool warm_up = false;         // computes a clip of zeros before `open` returns, so that no later call is the first
  std::function<void(const std::string& line)> log;  // what is done and why, in words; from any thread, one at a time
  int gpu = 0;                                  // index of the CUDA device
  void* cuda_stream = nullptr;  // the cudaStream_t on which device tensors become ready; nullptr is the default one
  bool cuda_graph = true;       // record the launches of a call and replay them, where inputs keep their addresses
};

// A file that the application carries itself, named as in the bundle: "manifest.json", "recognizer.onnx", ...
struct EmbeddedFile {
  std::string name;
  const void* data = nullptr;
  std::size_t size = 0;
};

class X3DDEPLOY_API Recognizer {
 public:
  // Opens a bundle's directory: reads the manifest, checks the sha256 of the files it needs, loads the network.
  static Result<Recognizer> open(const std::string& bundle, const Options& options = {});
  // The same, of files in memory; they are not needed any more afterwards.
  static Result<Recognizer> open(const std::vector<EmbeddedFile>& files, const Options& options = {});

  // One that was moved from gives errors, and no names.
  Recognizer(Recognizer&&) noexcept;
  Recognizer& operator=(Recognizer&&) noexcept;
  ~Recognizer();

  const Contract& contract() const noexcept;
  // The runtime that computes, its version and its device: "openvino 2026.4.1 on cpu".
  const std::string& runtime() const noexcept;
  // Whether launches are replayed as CUDA graphs: false without TensorRT, and once a recording failed, which `log` is told.
  bool uses_cuda_graph() const noexcept;
  // Whether frames of videos go up to a GPU as bytes, and are normalised there, heatmaps drawn: on TensorRT where the bundle
  // has engines of its preprocessing graphs. `prepare` and ready tensors are the same either way.
  bool prepares_on_device() const noexcept;
  // Why the runtimes that come before it were passed over, a line each: "not built in: tensorrt", "cannot run here: ..."; and
  // on TensorRT where videos are prepared, and why.
  const std::vector<std::string>& notes() const noexcept;
  // Calls that are computed at the same time; more wait.
  int requests() const noexcept;

  // Draws clips from a video, crops and resizes them as the configuration says; the predictions of all views averaged. Any
  // number of clips will do (`contract().clips` is the configuration's): they are computed in groups of as many as the
  // runtime takes at a time.
  Result<Prediction> predict(const Video& video, int clips = 1);
  // Clips that are sampled, cropped and resized already, as many frames and pixels as the contract says.
  Result<std::vector<Prediction>> predict(const std::vector<Video>& cropped);
  // Ready tensors, one prediction a clip; as many clips as the graph or the engines take at a time.
  Result<std::vector<Prediction>> predict(const Tensors& tensors);
  Result<std::vector<Prediction>> predict(const Feeds& tensors);
  // What the network gives for ready tensors, as it comes.
  Result<Outputs> run(const Feeds& tensors);

  // The same as `predict`, in a thread of the library: `done` is called there with what came out. What the views of the video
  // or the tensors point to must stay until then. The recognizer must not be destroyed in `done`; its destructor waits, where
  // streams or pools keep the network, too.
  std::future<Result<Prediction>> submit(const Video& video, int clips = 1);
  std::future<Result<std::vector<Prediction>>> submit(const Feeds& tensors);
  void submit(const Video& video, int clips, std::function<void(Result<Prediction>)> done);
  void submit(const Feeds& tensors, std::function<void(Result<std::vector<Prediction>>)> done);

  // The tensors that `predict` would compute from.
  Result<PreparedClips> prepare(const Video& video, int clips = 1) const;
  Result<PreparedClips> prepare(const std::vector<Video>& cropped) const;

  // One prediction for a video from those of its clips, as the network's training configuration says.
  Result<Prediction> average(const std::vector<Prediction>& clips) const;
  // The `count` best classes, best first; none where nobody is in the picture or a score is no number.
  std::vector<Label> top(const Prediction& prediction, int count) const;

 private:
  friend class Stream;
  friend class Pool;
  struct X3DDEPLOY_HIDDEN Impl;
  explicit Recognizer(std::shared_ptr<Impl> impl) noexcept;
  std::shared_ptr<Impl> impl_;
};

// Name of a runtime ("openvino"), and whether this library was built with it.
X3DDEPLOY_API const char* name_of(Runtime runtime) noexcept;
X3DDEPLOY_API bool is_built_in(Runtime runtime) noexcept;

}  // namespace x3ddeploy
