// Videos and cropped clips to tensors: x3ddeploy/data/pipeline.py, and what comes before the `preprocess_*` graphs.
#pragma once

#include <optional>

#include "x3ddeploy/x3ddeploy.hpp"

namespace x3ddeploy::detail {

// Joints that are not finite or have a score under `min_score` are left out; without it all count, as in MMAction2.
Result<PreparedClips> prepare_video(const Video& video, int clips, const Contract& contract,
                                    const std::optional<float>& min_score = std::nullopt);
Result<PreparedClips> prepare_cropped(const std::vector<Video>& clips, const Contract& contract);

}  // namespace x3ddeploy::detail
