#include "scores.hpp"

#include "check.hpp"

namespace {

using x3ddeploy::Contract;
using x3ddeploy::Prediction;
using x3ddeploy::detail::averaged;
using x3ddeploy::detail::Outputs;
using x3ddeploy::detail::predictions;

Contract two_classes() {
  Contract contract;
  contract.classes = 2;
  contract.fusion = {1, 1};
  return contract;
}

const Outputs kOutputs = {{"scores", {0.25f, 0.75f, 0.5f, 0.5f}},
                          {"rgb_logits", {0, 0, std::log(3.0f), 0}},
                          {"pose_logits", {std::log(3.0f), 0, 0, 0}}};

TEST(other_fusion_weights_give_other_scores) {
  const auto as_exported = predictions(kOutputs, 2, two_classes(), std::nullopt);
  CHECK(as_exported && as_exported->at(0).scores == (std::vector<float>{0.25f, 0.75f}));
  const auto weighed = predictions(kOutputs, 2, two_classes(), std::array<double, 2>{2, 1});
  CHECK(weighed);
  if (!weighed) return;
  CHECK_NEAR(weighed->at(0).scores[0], (2 * 0.5 + 0.75) / 3, 1e-6);
  CHECK_NEAR(weighed->at(1).scores[0], (2 * 0.75 + 0.5) / 3, 1e-6);
}

TEST(outputs_that_cannot_be_are_refused) {
  Outputs outputs = kOutputs;
  outputs["scores"].pop_back();
  CHECK(!predictions(outputs, 2, two_classes(), std::nullopt));
  outputs = kOutputs;
  outputs.erase("rgb_logits");
  CHECK(!predictions(outputs, 2, two_classes(), std::nullopt));
  outputs = kOutputs;
  outputs["scores"][3] = std::nanf("");
  const auto result = predictions(outputs, 2, two_classes(), std::nullopt);
  CHECK(!result && result.error().kind == x3ddeploy::ErrorKind::gate);
}

TEST(clips_are_averaged_as_the_network_was_trained) {
  const auto clips = predictions(kOutputs, 2, two_classes(), std::nullopt);
  CHECK(clips);
  if (!clips) return;
  const auto prob = averaged(*clips, "prob", {1, 1});
  CHECK(prob && std::abs(prob->scores[0] - 0.375f) < 1e-6);
  // Mean logits: half of log 3 for class 0 in both streams.
  const auto score = averaged(*clips, "score", {1, 1});
  CHECK(score && std::abs(score->scores[0] - std::sqrt(3.0f) / (std::sqrt(3.0f) + 1)) < 1e-6);
  CHECK(!averaged(*clips, "none", {1, 1}));
  CHECK(averaged({clips->front()}, "none", {1, 1}));
  CHECK(!averaged({}, "prob", {1, 1}));
  CHECK(!averaged({clips->front(), Prediction()}, "prob", {1, 1}));
}

}  // namespace
