// Cameras: frames and poses go in one by one, predictions come out whenever a window is full. How to: docs/embed.md.
//
//   auto stream = x3ddeploy::Stream::open(*recognizer, options);
//   const auto found = stream->push(frame, poses, seconds);
//   if (!found) { std::cerr << found.error().text(); return 1; }
//   for (const auto& one : *found) if (one.label) std::cout << one.label->name << '\n';
//
// A window's prediction is that of `Recognizer::predict` on a video of its frames and poses.
#pragma once

#include <x3ddeploy/x3ddeploy.hpp>

namespace x3ddeploy {

// Who was found in one frame.
struct Poses {
  View<float> keypoints;             // (persons, joints, 2), x and y in pixels of the frame; 0 means "not found"
  View<float> scores;                // (persons, joints); without them all are 1
  std::vector<std::int64_t> tracks;  // a number for each person that stays with it; left out, its place in the frame
};

struct StreamOptions {
  int window = 0;             // frames a prediction sees; 0 for as many as the network's longest input takes
  int stride = 0;             // frames from one prediction to the next; 0 for half a window
  int clips = 1;              // drawn from a window, averaged
  bool each_person = false;   // a prediction for each track, about it alone; else one for all
  // 0 takes every frame as it comes. Else the window's frames lie at equal times, so many a second: each is the pushed frame
  // that comes first at that time or half a step before. A slower camera's frames count several times, a faster one's not all.
  double frames_per_second = 0;
  double largest_gap = 1;     // seconds from frame to frame after which a window begins anew; 0 for never
  double smoothing = 0;       // share that a track's former scores keep in its new ones, from 0 and under 1
  double hysteresis = 0;      // by how much another class's score has to be larger before the label changes
};

// Of one window.
struct StreamPrediction {
  std::optional<std::int64_t> track;  // the person that it is of; nothing for all
  double start = 0;                   // times of the window's first and last frame
  double end = 0;
  Prediction prediction;      // the network's
  std::vector<float> scores;  // smoothed
  std::optional<Label> label;  // nothing where nobody was seen
  bool changed = false;        // whether the label is another than in the window before
  std::optional<Error> problem;  // why there is no prediction, such as keypoints that cannot be a skeleton in the picture
};

// The windows of one camera. It keeps a window of poses, and of the frames those that a window draws: resized where the network
// sees frames whole, in the camera's own format where they are cropped about persons. Calls from several threads take turns.
class X3DDEPLOY_API Stream {
 public:
  static Result<Stream> open(const Recognizer& recognizer, const StreamOptions& options = {});

  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) noexcept;
  ~Stream();

  // `time` in seconds, later than the call's before. Of a network without frames `frame` says the size of the picture alone.
  // Nothing that the arguments point to is kept. After an error the stream goes on with the next frame.
  Result<std::vector<StreamPrediction>> push(const Frame& frame, const Poses& poses, double time);
  // Forgets frames, tracks and times.
  void restart() noexcept;

 private:
  struct X3DDEPLOY_HIDDEN Impl;
  explicit Stream(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

struct PoolOptions {
  StreamOptions stream;   // of every camera
  int batch = 8;          // windows that are computed together at most
  double wait_ms = 20;    // for how long a window may wait for others to be computed with
  // Longer than `wait_ms`: after which a window that still waits is given up, with an error, as soon as a batch that is under
  // way is computed. 0 for never: then more and more windows wait where the machine is too slow.
  double give_up_ms = 0;
};

// Many cameras on one network: what their windows are ready for is computed together.
class X3DDEPLOY_API Pool {
 public:
  // What a window came to, in the order of each camera's windows; called in a thread of the library. The pool must be neither
  // finished nor destroyed in it; pushing and removing are fine.
  using Done = std::function<void(std::int64_t camera, Result<StreamPrediction> found)>;

  static Result<Pool> open(const Recognizer& recognizer, const PoolOptions& options, Done done);

  Pool(Pool&&) noexcept;
  Pool& operator=(Pool&&) noexcept;
  ~Pool();  // computes what waits

  // Prepares in the caller's thread; gives how many windows this frame made ready. A camera begins with its first frame.
  Result<int> push(std::int64_t camera, const Frame& frame, const Poses& poses, double time);
  // Forgets a camera.
  void remove(std::int64_t camera) noexcept;
  // Waits until nothing waits.
  void finish() noexcept;

 private:
  struct X3DDEPLOY_HIDDEN Impl;
  explicit Pool(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace x3ddeploy
