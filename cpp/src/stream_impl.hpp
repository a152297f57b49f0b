// What a stream and a pool do with windows that are ready.
#pragma once

#include <functional>
#include <vector>

#include "windows.hpp"

namespace x3ddeploy::detail {

struct Computing {
  const Contract& contract;
  int clips = 1;  // a window
  std::function<Result<std::vector<Prediction>>(Clips clips)> predict;
};

// All windows in one call of the network; each goes to its labeller, in their order.
std::vector<StreamPrediction> computed(const Computing& computing, std::vector<ReadyWindow>& windows,
                                       const std::vector<Labeller*>& labellers);

}  // namespace x3ddeploy::detail
