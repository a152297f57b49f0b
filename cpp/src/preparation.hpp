// Videos and cropped clips to tensors: x3ddeploy/data/prepare.py, and what comes before the `preprocess_*` graphs.
#pragma once

#include <functional>
#include <optional>

#include "preprocess.hpp"

namespace x3ddeploy::detail {

constexpr int kMostClips = 1 << 12;  // at a time

struct Preparing {
  // Joints that are not finite or have a score under it are left out; without it all count, as in MMAction2.
  std::optional<float> min_score = std::nullopt;
  std::size_t threads = 1;
  // Gives the box of a frame, resized, where somebody holds pictures in another way than a video does.
  std::function<void(std::size_t frame, const Box& box, std::uint8_t* picture)> picture = nullptr;
};

// To draw them, or to crop frames about them.
bool takes_keypoints(const Contract& contract);

Result<PreparedClips> prepare_video(const Video& video, int clips, const Contract& contract,
                                    const Preparing& preparing = {});
Result<PreparedClips> prepare_cropped(const std::vector<Video>& clips, const Contract& contract, std::size_t threads = 1);

// What is wrong with a frame by itself; empty when all is well.
std::string problem_of(const Frame& frame);

}  // namespace x3ddeploy::detail
