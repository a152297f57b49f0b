// Videos and cropped clips to tensors: x3ddeploy/data/pipeline.py, and what comes before the `preprocess_*` graphs.
#pragma once

#include "x3ddeploy/x3ddeploy.hpp"

namespace x3ddeploy::detail {

Result<PreparedClips> prepare_video(const Video& video, int clips, const Contract& contract);
Result<PreparedClips> prepare_cropped(const std::vector<Video>& clips, const Contract& contract);

}  // namespace x3ddeploy::detail
