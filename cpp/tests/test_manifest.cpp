#include "manifest.hpp"

#include "bundle_files.hpp"
#include "check.hpp"

namespace {

using x3ddeploy::detail::Manifest;
using x3ddeploy::detail::parse_manifest;

std::string problem_with(const std::string& from, const std::string& to,
                         const std::string& network = check::BundleFiles::kSchema1) {
  check::BundleFiles files;
  files.network = network;
  files.replaced = {{from, to}};
  const auto manifest = parse_manifest(files.manifest(), "m");
  return manifest ? "" : manifest.error().text();
}

std::string problem_in_2(const std::string& from, const std::string& to) {
  return problem_with(from, to, check::BundleFiles::kSchema2);
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(a_good_manifest_is_read_in_both_schemas) {
  for (const char* network : {check::BundleFiles::kSchema1, check::BundleFiles::kSchema2}) {
    check::BundleFiles files;
    files.network = network;
    const auto manifest = parse_manifest(files.manifest(), "m");
    if (!manifest) return check::report(__FILE__, __LINE__, manifest.error().text());
    const x3ddeploy::Contract& contract = manifest->network.contract;
    CHECK_EQUAL(contract.family, "two_stream_x3d");
    CHECK_EQUAL(contract.classes, 2);
    CHECK_EQUAL(contract.joints, 2);
    CHECK_EQUAL(contract.rgb_frames, 2);
    CHECK_EQUAL(contract.pose_frames, 3);
    CHECK_EQUAL(contract.rgb_height, 4);
    CHECK_EQUAL(contract.std[2], 8.0f);
    CHECK_EQUAL(contract.sigma, 0.6);
    CHECK_EQUAL(contract.average_clips, "prob");
    CHECK_EQUAL(contract.fusion[1], 1.0);
    CHECK(contract.crops_to_persons && contract.foreign_step.empty() && !contract.batch);
    CHECK_EQUAL(contract.inputs.at(0).shape[0], x3ddeploy::detail::kDynamic);
    CHECK_EQUAL(contract.outputs.size(), 3u);
    CHECK_EQUAL(manifest->network.waves.size(), 2u);
    CHECK_EQUAL(manifest->network.waves.at(0).size(), 2u);
    CHECK_EQUAL(manifest->network.waves.at(1).at(0).name, "head");
    CHECK(manifest->find("recognizer.onnx") != nullptr && manifest->find("head.onnx") == nullptr);
  }
}

TEST(a_network_of_another_shape_is_read) {
  check::BundleFiles files;
  files.network = check::BundleFiles::kOneStream;
  const auto manifest = parse_manifest(files.manifest(), "m");
  if (!manifest) return check::report(__FILE__, __LINE__, manifest.error().text());
  const x3ddeploy::Contract& contract = manifest->network.contract;
  CHECK(!contract.channels_first && !contract.crops_to_persons);
  CHECK_EQUAL(contract.rgb_frames, 2);
  CHECK_EQUAL(contract.joints, 0);
  const auto& waves = manifest->network.waves;
  CHECK_EQUAL(waves.size(), 3u);
  CHECK(waves.at(0).at(0).name == "backbone" && waves.at(1).at(0).name == "neck" && waves.at(2).at(0).name == "head");
}

TEST(what_is_wrong_with_a_contract_is_said) {
  CHECK(contains(problem_in_2("\"inputs\": [\"rgb_feat\", ", "\"inputs\": [\"sound\", "), "which nothing gives"));
  CHECK(contains(problem_in_2("\"outputs\": [\"rgb_feat\"]", "\"outputs\": [\"tail\", \"rgb_feat\"]"),
                 "which is not described"));
  CHECK(contains(problem_in_2("\"inputs\": [\"imgs\"]", "\"inputs\": [\"scores\"]"), "wait for each other"));
  CHECK(contains(problem_in_2("\"recognizer\": {", "\"rec\": {"), "'recognizer' are needed"));
  CHECK(contains(problem_in_2("\"pose_logits\": 1.0", "\"pose_feat\": 1.0"), "which is no logits"));
  CHECK(contains(problem_in_2("\"pose_logits\": 1.0", "\"pose_logits\": -1.0"), "weights that cannot be weights"));
  CHECK(contains(problem_in_2("\"deployed\": \"both\"", "\"deployed\": \"none\""), "missing required field `none`"));
  CHECK(contains(problem_in_2("[\"N\", 3, 2, 4, 4]", "[4, 3, 2, 4, 4]"), "different numbers of clips"));
  CHECK(contains(problem_in_2("[\"N\", 3, 2, 4, 4]", "[\"N\", 3, 2, 4, 99999]"), "invalid model specification"));
  CHECK(contains(problem_in_2("[\"N\", 3, 2, 4, 4]", "[\"N\", 3, 9999, 9999, 9999]"), "a shape that no tensor has"));
  CHECK(contains(problem_in_2("\"sigma\": 0.6", "\"sigma\": 0"), "not a positive number"));
  CHECK(contains(problem_in_2("\"float32\"", "\"float16\""), "'float16'"));
  CHECK(contains(problem_in_2("\"N\", 3, 2", "\"Nx\", 3, 2"), "called N"));
  CHECK(contains(problem_in_2("\"kind\": \"frames\"", "\"kind\": \"framesx\""), "kind 'framesx'"));
  CHECK(contains(problem_in_2("[2.0, 4.0, 8.0]", "[2.0, 4.0]"), "length 3"));
  CHECK(contains(problem_in_2("\"activation\": \"softmax\"", "\"activation\": \"tanh\""), "activation 'tanh'"));
  CHECK(contains(problem_in_2("\"kind\": \"scores\"", "\"kind\": \"rows\""), "kind 'rows'"));
  CHECK_EQUAL(problem_in_2("\"MMCompact\"", "\"ThreeCrop\""), "");  // ready tensors can be taken
}

TEST(a_step_of_skeletons_without_features_is_not_understood) {
  check::BundleFiles files;
  files.network = check::BundleFiles::kOneStream;
  files.replaced = {
      {R"("kind": "frames", "shape": ["N", 2, 3, 4, 4])", R"("kind": "skeleton", "shape": ["N", 2, 8, 17, 3])"},
      {R"({"type": "UniformSampleFrames", "parameters": {"clip_len": 2}})", R"({"type": "GenSkeFeat", "parameters": {"feats": []}})"}};
  const auto manifest = parse_manifest(files.manifest(), "m");
  CHECK(manifest && contains(manifest->network.contract.foreign_step, "GenSkeFeat.feats"));
}

TEST(what_is_wrong_with_a_manifest_is_said_as_python_says_it) {
  CHECK(contains(problem_with("\"schema_version\": 1", "\"schema_version\": 3"), "m has schema version 3, and this"));
  CHECK(contains(problem_with("\"fusion\"", "\"fission\""),
                 "not a valid manifest: Object missing required field `fusion`"));
  CHECK(contains(problem_with("\"batch\": null", "\"batch\": \"many\""),
                 "Expected `int | null`, got `str` - at `$.batch`"));
  CHECK(contains(problem_with("\"frames\": 2", "\"frames\": 0"), "invalid model specification"));
  CHECK(contains(problem_with("\"frames\": 2", "\"frames\": 99999999"), "invalid model specification"));
  CHECK(contains(problem_with("\"frames\": 2", "\"frames\": 99999999999"), "a number that cannot be"));
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
  CHECK_EQUAL(problem_with("\"engines\": {", with_rounding("10")), "");
  for (const char* value : {"NaN", "Infinity", "1e999", "10.1", "-1", "null", "\"0.1\""}) {
    CHECK(contains(problem_with("\"engines\": {", with_rounding(value)), "not a valid manifest"));
  }
}

// What the library does not rely on is refused all the same where Python refuses it: one bundle is good for both or for none.
TEST(what_is_not_read_is_in_pythons_bounds_too) {
  const std::string shape = "\"shape\": [\"N\", 3, 2, 4, 4], ";
  for (const char* said : {"\"views\": {\"clips\": 0}, ", "\"views\": {\"crops\": \"3\"}, ", "\"views\": {\"flip\": 1}, ", "\"views\": [], ",
                           "\"keypoint_order\": \"x\", "}) {
    CHECK(contains(problem_in_2(shape, said + shape), "not a valid manifest"));
  }
  CHECK_EQUAL(problem_in_2(shape, "\"views\": {\"clips\": 2, \"crops\": 3, \"flip\": true}, \"keypoint_order\": null, " + shape), "");
  const std::string head = "\"outputs\": [\"rgb_feat\"]";
  CHECK(contains(problem_in_2(head, head + ", \"blocks\": [{\"name\": \"layer1\"}]"), "missing required field `tensor`"));
  CHECK_EQUAL(problem_in_2(head, head + ", \"blocks\": [{\"name\": \"layer1\", \"tensor\": \"x\"}]"), "");
  for (const char* name : {"", ".", "..", "a/b", "a\\\\b", "C:x", "a\\u001b[2J", "a\\u202eb"}) {
    CHECK(contains(problem_in_2("\"pose_feat\": {", "\"" + std::string(name) + R"(": {"kind": "features", "shape": ["N", 5]}, "pose_feat": {)"), "is no name for a file"));
  }
  CHECK(contains(problem_in_2("{\"rgb_logits\": 1.0}}", "{\"rgb_logits\": -1.0}}"), "weights"));
  CHECK(contains(problem_in_2("{\"rgb_logits\": 1.0}}", "{\"rgb_feat\": 1.0}}"), "which is no logits"));
  CHECK(contains(problem_in_2("\"features\"", "\"rows\""), "kind 'rows'"));
  CHECK(contains(problem_in_2("[1.0, 2.0, 3.0]", "[1.0, 2.0, 4294967297]"), "a number that cannot be"));
  const auto with = [](const std::string& sections) { return problem_in_2("\"engines\": {}", sections + ", \"engines\": {}"); };
  CHECK_EQUAL(with(R"("precisions": {"int8": {"calibration": "calib/1.json", "accuracy": {"both": {"agreement": 1, "top1_before": null}}}})"), "");
  for (const char* entry : {R"("tf32": {})", R"("int8": {"calibration": null})", R"("fp16": {"calibration": "calib/1.json"})", R"("int8": {"calibration": "x"})",
                            R"("fp16": {"float_layers": {"a": 1}})", R"("fp16": {"golden_error": {"a": 11}})", R"("fp16": {"random_calibration": 1})",
                            R"("fp16": {"accuracy": {"a": {"agreement": 1.1}}})", R"("fp16": {"accuracy": {"a": {"agreement": 1, "top1_after": 101}}})"}) {
    CHECK(contains(with(std::string("\"precisions\": {") + entry + "}"), "not a valid manifest"));
  }
  const auto front = [&](const std::string& name, const std::string& axis, const std::string& output) {
    return with("\"preprocessing\": {\"" + name + "\": {\"inputs\": {\"frames\": [\"T\", " + axis + "]}, \"outputs\": [\"" + output + "\"]}}");
  };
  CHECK_EQUAL(front("front", "3", "imgs"), "");
  CHECK(contains(front("head", "3", "imgs"), "a part has this name"));
  CHECK(contains(front("front", "0", "imgs"), "out of bounds"));
  CHECK(contains(front("front", "3", "rgb_feat"), "it gives 'rgb_feat'"));
}

TEST(what_an_engine_says_is_in_pythons_bounds) {
  const auto built = [](const std::string& from, const std::string& to) {
    std::string entry = R"("engines/a.plan": {"part": "head", "graph_sha256": ")" + std::string(64, 'a') +
                        R"(", "version": "10.1", "gpu": null, "compute_capabilities": ["8.9"], "driver": null, "options": {"flavour": "tensorrt",
                        "precision": "fp32", "hardware_compatibility": "none", "version_compatible": false, "workspace_mib": 1, "optimization_level": 5,
                        "batches": {"minimum": 1, "optimum": 1, "maximum": 8}}})";
    const std::size_t at = entry.find(from);
    return problem_in_2("\"engines\": {}", "\"engines\": {" + entry.replace(at, from.size(), to) + "}");
  };
  CHECK_EQUAL(built("1", "1"), "");
  const std::vector<std::pair<const char*, const char*>> wrong = {
      {"\"head\"", "\"tail\""}, {"aaaa", "AAAA"}, {"aaaa", "aaa"}, {"8.9", "89"}, {"8.9", "8.9.1"}, {"8.9", "x.y"}, {"\"driver\": null", "\"driver\": 1"},
      {"\"tensorrt\"", "\"trt\""}, {"fp32", "tf32"}, {"none", "all"}, {"\"workspace_mib\": 1", "\"workspace_mib\": 0"},
      {"level\": 5", "level\": 6"}, {"\"minimum\": 1", "\"minimum\": 0"}, {"\"maximum\": 8", "\"maximum\": 0"}};
  for (const auto& [from, to] : wrong) CHECK(contains(built(from, to), "not a valid manifest"));
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
