// numpy's .npy format, versions 1 to 3, of the types that clips are made of.
#pragma once

#include <cstdint>
#include <optional>
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

// What a file says of itself before its values.
struct Header {
  std::vector<std::int64_t> shape;
  std::size_t width = 0;     // bytes of a value
  std::uint64_t start = 0;   // of the values
  std::uint64_t size = 0;    // of the whole file
};

// Longer than any header of a numeric array.
inline constexpr std::size_t kLongestHeader = 1 << 16;

// Of a file's first bytes; `where` names the file in errors.
x3ddeploy::Result<Header> parse_header(std::string_view head, const std::string& where);
x3ddeploy::Result<Array> parse_npy(std::string_view file, const std::string& where);
// An error where a file of `size` bytes is shorter or longer than its header says.
std::optional<x3ddeploy::Error> misfit(const Header& header, std::uint64_t size, const std::string& where);

}  // namespace cli
