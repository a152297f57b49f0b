#include "bundle.hpp"

#include <algorithm>
#include <fstream>
#include <random>

#include "bundle_files.hpp"
#include "check.hpp"

namespace {

namespace fs = std::filesystem;
using x3ddeploy::detail::Bundle;

class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / ("x3ddeploy_tests_" + std::to_string(std::random_device()()))) {
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  ~Folder() {
    std::error_code error;
    fs::remove_all(path_, error);
  }
  void write(const std::string& name, const std::string& content) const {
    std::ofstream(path_ / name, std::ios::binary) << content;
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

void write_bundle(const Folder& folder, const check::BundleFiles& files) {
  for (const auto& [name, content] : files.contents) folder.write(name, content);
  folder.write("manifest.json", files.manifest());
}

std::string detail_of(const Bundle& bundle, const std::string& file) {
  const auto bytes = bundle.read(file);
  return bytes ? "" : bytes.error().details.at(0);
}

TEST(files_are_checked_before_they_are_given_away) {
  const Folder folder;
  write_bundle(folder, {});
  const auto bundle = Bundle::open(folder.path());
  CHECK(bundle);
  if (!bundle) return;
  CHECK_EQUAL(detail_of(*bundle, "recognizer.onnx"), "");
  folder.write("recognizer.onnx", "Fake");
  CHECK_EQUAL(detail_of(*bundle, "recognizer.onnx"), "recognizer.onnx: its sha256 differs");
  folder.write("recognizer.onnx", "fake graph");
  CHECK_EQUAL(detail_of(*bundle, "recognizer.onnx"), "recognizer.onnx: 10 bytes, not 4");
  fs::remove(folder.path() / "recognizer.onnx");
  CHECK_EQUAL(detail_of(*bundle, "recognizer.onnx"), "recognizer.onnx: missing");
  fs::create_directory(folder.path() / "recognizer.onnx");
  CHECK_EQUAL(detail_of(*bundle, "recognizer.onnx"), "recognizer.onnx: missing");
  CHECK_EQUAL(detail_of(*bundle, "manifest.json"), "manifest.json: not in the manifest");
}

TEST(what_is_no_bundle_is_refused) {
  const Folder folder;
  const auto refused = [&](const fs::path& path) {
    const auto bundle = Bundle::open(path);
    return bundle ? std::string() : bundle.error().message;
  };
  CHECK_EQUAL(refused(folder.path()), folder.path().string() + " holds no manifest.json: it is not a bundle");
  CHECK_EQUAL(refused(folder.path() / "none"), (folder.path() / "none").string() + " does not exist");
  CHECK_EQUAL(refused(""), " does not exist");
  fs::create_directory(folder.path() / "manifest.json");
  CHECK(refused(folder.path()).rfind("cannot read ", 0) == 0);
}

TEST(embedded_files_are_checked_the_same_way) {
  std::map<std::string, std::string> held;
  auto files = check::BundleFiles().embedded(held);
  const auto bundle = Bundle::open(files);
  CHECK(bundle);
  if (bundle) CHECK_EQUAL(detail_of(*bundle, "recognizer.onnx"), "");
  for (auto& file : files) {
    if (file.name == "recognizer.onnx") file.data = "Fake";
  }
  const auto spoilt = Bundle::open(files);
  CHECK(spoilt);
  if (spoilt) CHECK_EQUAL(detail_of(*spoilt, "recognizer.onnx"), "recognizer.onnx: its sha256 differs");
  CHECK(!Bundle::open(std::vector<x3ddeploy::EmbeddedFile>{}));
  CHECK(!Bundle::open({{"manifest.json", nullptr, 10}}));
}

TEST(labels_are_as_many_as_classes) {
  std::map<std::string, std::string> held;
  check::BundleFiles files;
  files.contents["labels.txt"] = "sit\nstand\n";
  const auto bundle = Bundle::open(files.embedded(held));
  CHECK(bundle && bundle->contract().labels == (std::vector<std::string>{"sit", "stand"}));
  auto without_labels = files.embedded(held);
  without_labels.erase(std::find_if(without_labels.begin(), without_labels.end(),
                                    [](const x3ddeploy::EmbeddedFile& file) { return file.name == "labels.txt"; }));
  const auto forgotten = Bundle::open(without_labels);
  CHECK(!forgotten && forgotten.error().hint.find("x3ddeploy_embed") != std::string::npos);
  files.contents["labels.txt"] = "sit\n";
  const auto short_one = Bundle::open(files.embedded(held));
  CHECK(!short_one && short_one.error().details.at(0) == "labels.txt: 1 labels, and 2 classes");
  files.contents["labels.txt"] = "sit\nst\x1b[31mand\n";
  const auto coloured = Bundle::open(files.embedded(held));
  CHECK(!coloured && coloured.error().text().find("'st\\x1b[31mand' has characters") != std::string::npos);
  for (const char* other : {"sit\r\nstand\r\n", "sit\n \n", "\nstand\n", "sit\nstand\n\n", "sit\n\u3000\u00a0\n", "sit\nst\xe9\n",
                            "sit\nst\xc3", "sit\n\xed\xa0\x80\n", "sit\n\xe0\x80\x9b\n", "sit\nst\u00adand\n", "sit\nst\U000e0041\n",
                            "sit\nst\u061cand\n", "sit\nst\ue000\n", "sit\nst\uffff\n"}) {
    files.contents["labels.txt"] = other;
    CHECK(!Bundle::open(files.embedded(held)));
  }
  files.contents["labels.txt"] = "\ufeffsit\n\U0001f3c3\n";  // a byte order mark is none of the name's
  const auto marked = Bundle::open(files.embedded(held));
  CHECK(marked && marked->contract().labels == (std::vector<std::string>{"sit", "\U0001f3c3"}));
}

// As x3ddeploy/text.py writes it.
TEST(nothing_in_an_error_steers_a_terminal) {
  const x3ddeploy::Error error = {{}, "a\x1b[2J\tb\nc", "Gr\u00fc\u00dfe \u202eabc \u4eba\x7f\xff", {"x\ny\u009b1m", "\xe4\xba"}};
  CHECK_EQUAL(error.text(), "a\\x1b[2J\\tb\n  c\n  x\n  y\\x9b1m\n  \xe4\xba\n-> Gr\u00fc\u00dfe \\u202eabc \u4eba\\x7f\xff");
}

TEST(a_missing_precision_says_what_there_is) {
  std::map<std::string, std::string> held;
  const auto bundle = Bundle::open(check::BundleFiles().embedded(held));
  CHECK(bundle);
  if (!bundle) return;
  CHECK(bundle->graph("recognizer", "fp32"));
  const auto graph = bundle->graph("recognizer", "int8");
  CHECK(!graph && graph.error().message == "the embedded bundle has no int8/recognizer.onnx" &&
        graph.error().hint.find("it has recognizer.onnx, rgb_backbone.onnx") != std::string::npos);
}

}  // namespace
