// numpy's .npy format, versions 1 to 3, of the types that clips are made of.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <x3ddeploy/x3ddeploy.hpp>

namespace cli {

// Bytes stay bytes; floats of any width are float32.
struct Array {
  std::vector<std::int64_t> shape;
  std::vector<std::uint8_t> bytes;  // where the file holds uint8
  std::vector<float> floats;        // where it holds float32 or float64

  bool is_bytes() const { return !bytes.empty(); }
  x3ddeploy::View<float> view() const { return {floats.data(), shape}; }
};

// `where` names the file in errors.
x3ddeploy::Result<Array> parse_npy(std::string_view file, const std::string& where);

}  // namespace cli
