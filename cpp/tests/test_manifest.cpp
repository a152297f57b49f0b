#include "manifest.hpp"

#include "bundle_files.hpp"
#include "check.hpp"

namespace {

using x3ddeploy::detail::Manifest;
using x3ddeploy::detail::parse_manifest;

std::string problem_with(const std::string& from, const std::string& to) {
  check::BundleFiles files;
  files.replaced = {{from, to}};
  const auto manifest = parse_manifest(files.manifest(), "m");
  return manifest ? "" : manifest.error().text();
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(a_good_manifest_is_read) {
  const auto manifest = parse_manifest(check::BundleFiles().manifest(), "m");
  CHECK(manifest);
  if (!manifest) return;
  const x3ddeploy::Contract& contract = manifest->contract;
  CHECK_EQUAL(contract.classes, 2);
  CHECK_EQUAL(contract.joints, 2);
  CHECK_EQUAL(contract.pose_frames, 3);
  CHECK_EQUAL(contract.std[2], 8.0f);
  CHECK(!contract.batch);
  CHECK_EQUAL(manifest->tensors.at("recognizer").inputs[0].second[0], x3ddeploy::detail::kDynamic);
  CHECK(manifest->find("recognizer.onnx") != nullptr && manifest->find("head.onnx") == nullptr);
}

TEST(what_is_wrong_with_a_manifest_is_said_as_python_says_it) {
  CHECK(contains(problem_with("\"schema_version\": 1", "\"schema_version\": 2"), "m has schema version 2, and this"));
  CHECK(contains(problem_with("\"fusion\"", "\"fission\""),
                 "not a valid manifest: Object missing required field `fusion`"));
  CHECK(contains(problem_with("\"batch\": null", "\"batch\": \"many\""),
                 "Expected `int | null`, got `str` - at `$.batch`"));
  CHECK(contains(problem_with("\"frames\": 2", "\"frames\": 0"), "invalid model specification"));
  CHECK(contains(problem_with("\"frames\": 2", "\"frames\": 99999999999"), "invalid model specification"));
  CHECK(contains(problem_with("\"sigma\": 0.6", "\"sigma\": -1"), "invalid model specification"));
  CHECK(contains(problem_with("[2.0, 4.0, 8.0]", "[2.0, 4.0]"), "length 3"));
  CHECK(contains(problem_with("[2.0, 4.0, 8.0]", "[2.0, 4.0, 0.0]"), "invalid model specification"));
  CHECK(contains(problem_with("[1.0, 1.0]", "[0.0, 0.0]"), "weights"));
  CHECK(contains(problem_with("\"prob\"", "\"mean\""), "average_clips 'mean'"));
  CHECK(contains(problem_with("{", "["), "JSON is malformed"));
}

const char* with_rounding(const char* relative) {
  static std::string text;
  text = std::string("\"precisions\": {\"int8\": {\"rounding\": {\"head -> scores\": {\"relative\": 0.5, \"rms\": 1, ") +
         "\"channels\": 2}, \"recognizer -> scores\": {\"relative\": " + relative +
         ", \"rms\": 0.5, \"channels\": 0.125}}}}, \"engines\": {";
  return text.c_str();
}

TEST(the_rounding_of_a_precision_is_read_for_the_recognizer) {
  check::BundleFiles files;
  files.replaced = {{"\"engines\": {", with_rounding("0.25")}};
  const auto manifest = parse_manifest(files.manifest(), "m");
  CHECK(manifest);
  if (!manifest) return;
  const auto& outputs = manifest->roundings.at("int8");
  CHECK_EQUAL(outputs.size(), 1u);
  CHECK_EQUAL(outputs.at("scores").relative, 0.25);
  CHECK_EQUAL(outputs.at("scores").rms, 0.5);
  CHECK_EQUAL(outputs.at("scores").channels, 0.125);
}

TEST(a_rounding_that_would_let_everything_pass_is_refused) {
  for (const char* value : {"NaN", "Infinity", "1e999", "-1", "null", "\"0.1\""}) {
    CHECK(contains(problem_with("\"engines\": {", with_rounding(value)), "not a valid manifest"));
  }
}

TEST(files_outside_the_bundle_are_refused) {
  for (const char* name : {"../secret", "/etc/passwd", "a/../../b", "C:x", "a/..", ""}) {
    check::BundleFiles files;
    files.contents[name] = "x";
    const auto manifest = parse_manifest(files.manifest(), "m");
    CHECK(!manifest && contains(manifest.error().message, "names files outside the bundle"));
  }
}

}  // namespace
