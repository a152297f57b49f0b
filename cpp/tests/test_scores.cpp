#include "scores.hpp"

#include "check.hpp"

namespace {

using x3ddeploy::Activation;
using x3ddeploy::Contract;
using x3ddeploy::OutputKind;
using x3ddeploy::Outputs;
using x3ddeploy::Prediction;
using x3ddeploy::detail::averaged;
using x3ddeploy::detail::predictions;

Contract two_classes() {
  Contract contract;
  contract.classes = 2;
  contract.average_clips = "prob";
  contract.weights = {{"rgb_logits", 1}, {"pose_logits", 1}};
  contract.outputs = {{"rgb_logits", OutputKind::logits, {-1, 2}, Activation::softmax},
                      {"pose_logits", OutputKind::logits, {-1, 2}, Activation::softmax},
                      {"scores", OutputKind::scores, {-1, 2}, Activation::none}};
  return contract;
}

Contract averaging(const char* how) {
  Contract contract = two_classes();
  contract.average_clips = how;
  return contract;
}

const Outputs kOutputs = {{"scores", {0.25f, 0.75f, 0.5f, 0.5f}},
                          {"rgb_logits", {0, 0, std::log(3.0f), 0}},
                          {"pose_logits", {std::log(3.0f), 0, 0, 0}}};

TEST(other_fusion_weights_give_other_scores) {
  const auto as_exported = predictions(kOutputs, 2, two_classes(), false);
  CHECK(as_exported && as_exported->at(0).scores == (std::vector<float>{0.25f, 0.75f}));
  Contract other = two_classes();
  other.weights[0].second = 2;
  const auto weighed = predictions(kOutputs, 2, other, true);
  CHECK(weighed);
  if (!weighed) return;
  CHECK_NEAR(weighed->at(0).scores[0], (2 * 0.5 + 0.75) / 3, 1e-6);
  CHECK_NEAR(weighed->at(1).scores[0], (2 * 0.75 + 0.5) / 3, 1e-6);
}

TEST(outputs_that_cannot_be_are_refused) {
  Outputs outputs = kOutputs;
  outputs["scores"].pop_back();
  CHECK(!predictions(outputs, 2, two_classes(), false));
  outputs = kOutputs;
  outputs.erase("rgb_logits");
  CHECK(!predictions(outputs, 2, two_classes(), false));
  outputs = kOutputs;
  outputs["scores"][3] = std::nanf("");
  const auto result = predictions(outputs, 2, two_classes(), false);
  CHECK(!result && result.error().kind == x3ddeploy::ErrorKind::gate);
}

TEST(clips_are_averaged_as_the_network_was_trained) {
  const auto clips = predictions(kOutputs, 2, two_classes(), false);
  CHECK(clips);
  if (!clips) return;
  const auto prob = averaged(*clips, averaging("prob"));
  CHECK(prob && std::abs(prob->scores[0] - 0.375f) < 1e-6);
  // Mean logits: half of log 3 for class 0 in both streams.
  const auto score = averaged(*clips, averaging("score"));
  CHECK(score && std::abs(score->scores[0] - std::sqrt(3.0f) / (std::sqrt(3.0f) + 1)) < 1e-6);
  CHECK(!averaged(*clips, averaging("none")));
  CHECK(averaged({clips->front()}, averaging("none")));
  CHECK(!averaged({}, averaging("prob")));
  CHECK(!averaged({clips->front(), Prediction()}, averaging("prob")));
}

// A network of one stream whose classes do not exclude each other, and which gives logits alone.
TEST(logits_of_any_name_become_scores) {
  Contract contract;
  contract.classes = 2;
  contract.average_clips = "score";
  contract.weights = {{"logits", 3}};
  contract.outputs = {{"logits", OutputKind::logits, {-1, 2}, Activation::sigmoid},
                      {"feat", OutputKind::features, {-1, 8}, Activation::none}};
  const auto clips = predictions({{"logits", {0, std::log(3.0f), 0, 0}}}, 2, contract, false);
  CHECK(clips);
  if (!clips) return;
  CHECK_NEAR(clips->at(0).scores.at(0), 0.5, 1e-6);
  CHECK_NEAR(clips->at(0).scores.at(1), 0.75, 1e-6);
  CHECK_EQUAL(clips->at(0).logits.at("logits").at(1), std::log(3.0f));
  CHECK(clips->at(0).rgb_logits.empty());
  const auto average = averaged(*clips, contract);
  CHECK(average && std::abs(average->scores.at(1) - std::sqrt(3.0f) / (std::sqrt(3.0f) + 1)) < 1e-6);
}

}  // namespace
