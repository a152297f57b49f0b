// What a clip's arrays mean to the recognizer.
#pragma once

#include "arguments.hpp"
#include "arrays.hpp"

namespace cli {

// Ready tensors, where the arrays are those.
bool is_ready(const Arrays& arrays);
x3ddeploy::Tensors tensors_of(const Arrays& arrays);

// Frames and keypoints; a view of `arrays`. Arrays with a clip axis in front, such as the golden ones, give clip `clip`.
x3ddeploy::Result<x3ddeploy::Video> video_of(const Arrays& arrays, std::size_t clip = 0);

// Reads what the arguments name.
x3ddeploy::Result<Arrays> read_clip(const Arguments& arguments);

}  // namespace cli
