// What a clip's arrays mean to the recognizer.
#pragma once

#include "arguments.hpp"
#include "arrays.hpp"

namespace cli {

// Whether the arrays are ready tensors, and not what a camera and a pose estimator give.
bool is_ready(const Arrays& arrays, const x3ddeploy::Contract& contract);
// The arrays that the network takes, by name.
x3ddeploy::Feeds feeds_of(const Arrays& arrays, const x3ddeploy::Contract& contract);

// The names of what clips that the network's inputs are made from consist of: frames, keypoints and their scores.
std::vector<std::string> raw_names(const x3ddeploy::Contract& contract);
// What of a clip the network takes; a view of `arrays`. Arrays with a clip axis in front, such as the golden ones, give
// clip `clip`.
x3ddeploy::Result<x3ddeploy::Video> video_of(const Arrays& arrays, const x3ddeploy::Contract& contract,
                                             std::size_t clip = 0);

// Reads what the arguments name.
x3ddeploy::Result<Arrays> read_clip(const Arguments& arguments);

}  // namespace cli
