// Videos and cropped clips to tensors: x3ddeploy/data/prepare.py, and what comes before the `preprocess_*` graphs.
#pragma once

#include <functional>
#include <mutex>
#include <optional>

#include "preprocess.hpp"
#include "steps.hpp"

namespace x3ddeploy::detail {

constexpr int kMostClips = 1 << 12;  // at a time

// The joints of a clip's persons as a GPU draws them. Heatmaps are the maximum over persons, frame by frame, so who is drawn in
// a frame takes its first places: as many as are drawn at the same time. A joint that is not drawn has a score of 0, or, where
// the network was trained without scores, no place (x3ddeploy/data/prepare.py, fed_clips).
struct ClipPersons {
  std::int64_t places = 1;
  std::vector<float> keypoints;  // (places, frames, joints, 2)
  std::vector<float> scores;     // (places, frames, joints)
  int frames_with_persons = 0;
};

// `keypoints` (persons, frames, joints, 2) and `scores` (persons, frames, joints) of one clip; nothing for nobody.
ClipPersons persons_of(const float* keypoints, const float* scores, std::int64_t persons, const Contract& contract);

// Clips on their way to the network: ready tensors, or what a GPU makes them of.
struct Clips : PreparedClips {
  std::int64_t raw = 0;              // clips of those below; 0 where the tensors are ready
  std::vector<std::uint8_t> frames;  // (clips, frames, height, width, 3), R, G, B
  std::vector<ClipPersons> persons;  // one a clip, where heatmaps are drawn

  std::int64_t count() const;
};

// Memory of clips that were computed, for the next ones: the system takes longer to give new pages than it takes to fill them.
class ClipMemory {
 public:
  // Keeps that of so many calls.
  explicit ClipMemory(int calls) { kept_.reserve(static_cast<std::size_t>(calls)); }

  Clips take();
  void give(Clips clips) noexcept;

 private:
  std::mutex lock_;
  std::vector<Clips> kept_;
};

struct Preparing {
  // Joints that are not finite or have a score under it are left out; without it all count, as in MMAction2.
  std::optional<float> min_score = std::nullopt;
  std::size_t threads = 1;
  ClipMemory* memory = nullptr;  // nothing for new memory each time
  bool raw = false;              // up to what a GPU goes on from
  // Gives the box of a frame, resized, where somebody holds pictures in another way than a video does.
  std::function<void(std::size_t frame, const Box& box, int height, int width, std::uint8_t* picture)> picture = nullptr;
};

// To draw them, to crop frames about them, or as they are.
bool takes_keypoints(const Contract& contract);
// 2, or 3 of skeletons in space.
std::int64_t coordinates_of(const Contract& contract);
// What an input of frames or of heatmaps sees of a video.
View2D frames_view(const Contract& contract);
// Draws so many clips instead of the configuration's.
Result<Sampler> sampler_of(const View2D& view, std::int64_t length, std::int64_t clips);

Result<Clips> prepare_video(const Video& video, int clips, const Contract& contract, const Preparing& preparing = {});
// A raw clip in which nobody is seen.
Clips black_clip(const Contract& contract);
Result<Clips> prepare_cropped(const std::vector<Video>& clips, const Contract& contract, const Preparing& preparing = {});

// What is wrong with a frame by itself; empty when all is well.
std::string problem_of(const Frame& frame);

}  // namespace x3ddeploy::detail
