// Whatever bytes stand in manifest.json, reading them ends in a manifest or in an error value.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "bundle.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using x3ddeploy::detail::Bundle;
  const auto bundle = Bundle::open(std::vector<x3ddeploy::EmbeddedFile>{{"manifest.json", data, size}});
  if (bundle) {
    // What was read is used: every graph and file that the manifest names is asked for, and none is there.
    for (const char* precision : {"fp32", "int8"}) {
      const auto graph = bundle->graph("recognizer", precision);
      if (graph && bundle->read(*graph)) std::abort();
    }
  } else if (bundle.error().text().empty()) {
    std::abort();
  }
  return 0;
}
