// From frames and poses, one by one, to windows that are ready for the network, and from its scores to steady labels.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "preparation.hpp"
#include "x3ddeploy/stream.hpp"

namespace x3ddeploy::detail {

// A window about one person, or about all.
struct ReadyWindow {
  std::optional<std::int64_t> track;
  double start = 0;
  double end = 0;
  std::int64_t number = 0;  // windows that follow each other without a gap have numbers that do
  Clips clips;
  double prepare_ms = 0;
  bool nobody = false;
  std::optional<Error> problem;  // why there are no clips
};

Result<StreamOptions> checked(StreamOptions options, const Contract& contract);

class Windows {
 public:
  // The options are checked ones.
  Windows(const Contract& contract, StreamOptions options, Preparing preparing, std::function<void(const std::string&)> log);

  Result<std::vector<ReadyWindow>> push(const Frame& frame, const Poses& poses, double time);
  void restart();

 private:
  using Bytes = std::vector<std::uint8_t>;

  // A frame that is kept: as the network sees it where that is always the same, else as the camera gave it.
  struct Kept {
    Bytes bytes;
    Frame frame;  // a view of `bytes`
    struct Resized {
      Box box;
      Bytes picture;
    };
    std::mutex lock;
    std::map<std::int64_t, Resized> resized;  // by whom it was cropped about last: windows overlap
  };
  struct Person {
    std::int64_t track = 0;
    std::vector<float> keypoints;
    std::vector<float> scores;
  };
  struct Moment {
    double time = 0;
    std::shared_ptr<Kept> kept;  // nullptr where no window draws this frame
    std::shared_ptr<const std::vector<Person>> persons;
  };

  std::vector<std::string> problems_of(const Frame& frame, const Poses& poses, double time) const;
  // How many moments of the stream's clock the frame stands for.
  std::int64_t moments_at(double time) const;
  bool is_drawn(std::int64_t moment) const;
  std::shared_ptr<Kept> keep(const Frame& frame) const;
  std::vector<Person> persons_of(const Poses& poses) const;
  ReadyWindow window_of(std::optional<std::int64_t> track) const;
  Result<Clips> clips_of(std::optional<std::int64_t> track) const;
  void resize(Kept& kept, std::int64_t whom, const Box& box, int height, int width, std::uint8_t* picture) const;

  const Contract contract_;
  const StreamOptions options_;
  const Preparing preparing_;
  const std::function<void(const std::string&)> log_;
  std::set<std::int64_t> drawn_;  // frames of a window that its clips show
  std::deque<Moment> moments_;    // a window at most
  std::int64_t count_ = 0;        // of moments since the stream began, or began anew
  std::int64_t window_ = 0;       // number of the last window
  double first_time_ = 0;
  std::optional<double> last_time_;
  int height_ = 0;
  int width_ = 0;
};

// Smoothed scores and labels by track.
class Labeller {
 public:
  explicit Labeller(const StreamOptions& options) : options_(options) {}

  StreamPrediction label(const ReadyWindow& window, Result<Prediction> prediction, const Contract& contract);

 private:
  struct State {
    std::vector<float> scores;
    std::size_t label = 0;
    std::int64_t window = 0;
  };

  const StreamOptions options_;
  std::map<std::optional<std::int64_t>, State> states_;
};

// The clips of all windows that have some, one behind the other; they are moved away.
Clips joined(std::vector<ReadyWindow>& windows);

}  // namespace x3ddeploy::detail
