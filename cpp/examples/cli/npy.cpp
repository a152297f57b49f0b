#include "npy.hpp"

#include <cstring>
#include <limits>

namespace cli {
namespace {

using x3ddeploy::Error;
using x3ddeploy::ErrorKind;

Error damaged(const std::string& where, const std::string& what) {
  return {
      ErrorKind::failed, where + " cannot be read as an array: " + what, "write it with numpy.save or numpy.savez", {}};
}

// The text after `'key':` in the header, which is a Python dictionary written by numpy.
std::string_view value_of(std::string_view header, std::string_view key) {
  const std::size_t at = header.find("'" + std::string(key) + "':");
  if (at == std::string_view::npos) return {};
  header.remove_prefix(at + key.size() + 3);
  header.remove_prefix(std::min(header.find_first_not_of(' '), header.size()));
  return header;
}

bool parse_shape(std::string_view text, std::vector<std::int64_t>& shape, std::uint64_t& count) {
  if (text.empty() || text.front() != '(') return false;
  count = 1;
  bool in_number = false;
  std::int64_t number = 0;
  for (const char c : text.substr(1)) {
    if (c >= '0' && c <= '9') {
      if (number > (std::int64_t{1} << 40)) return false;
      number = number * 10 + (c - '0');
      in_number = true;
    } else if (c == ',' || c == ')') {
      if (in_number) {
        shape.push_back(number);
        if (number != 0 && count > (std::uint64_t{1} << 40) / static_cast<std::uint64_t>(number)) return false;
        count *= static_cast<std::uint64_t>(number);
      }
      if (c == ')') return true;
      in_number = false;
      number = 0;
    } else if (c != ' ') {
      return false;
    }
  }
  return false;
}

template <class T>
std::vector<float> floats_of(std::string_view data, std::uint64_t count) {
  std::vector<float> values(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, data.data() + i * sizeof value, sizeof value);
    values[i] = static_cast<float>(value);
  }
  return values;
}

}  // namespace

x3ddeploy::Result<Header> parse_header(std::string_view head, const std::string& where) {
  constexpr std::string_view kMagic = "\x93NUMPY";
  if (head.size() < 12 || head.substr(0, kMagic.size()) != kMagic) return damaged(where, "no .npy header");
  const auto byte = [&](std::size_t at) { return static_cast<std::size_t>(static_cast<unsigned char>(head[at])); };
  const bool first_version = byte(6) == 1;
  const std::size_t length = byte(8) | byte(9) << 8 | (first_version ? 0 : byte(10) << 16 | byte(11) << 24);
  const std::size_t start = first_version ? 10 : 12;
  if (byte(6) < 1 || byte(6) > 3 || length > head.size() - start || length > kLongestHeader) {
    return damaged(where, "a header of another version");
  }
  const std::string_view text = head.substr(start, length);
  if (value_of(text, "fortran_order").substr(0, 5) != "False") return damaged(where, "it is in Fortran order");
  Header header;
  std::uint64_t count = 0;
  if (!parse_shape(value_of(text, "shape"), header.shape, count)) return damaged(where, "it has no shape");
  const std::string_view type = value_of(text, "descr").substr(0, 5);
  header.width = type == "'|u1'" ? 1 : type == "'<f4'" ? 4 : type == "'<f8'" ? 8 : 0;
  if (header.width == 0) return damaged(where, "it holds " + std::string(type) + ", and not uint8, float32 or float64");
  header.start = start + length;
  header.size = header.start + count * header.width;
  return header;
}

std::optional<Error> misfit(const Header& header, std::uint64_t size, const std::string& where) {
  if (size == header.size) return std::nullopt;
  return damaged(where, size < header.size ? "it is cut off" : "more follows than its header says");
}

x3ddeploy::Result<Array> parse_npy(std::string_view file, const std::string& where) {
  x3ddeploy::Result<Header> header = parse_header(file, where);
  if (!header) return std::move(header.error());
  if (const auto error = misfit(*header, file.size(), where)) return *error;
  const std::string_view data = file.substr(header->start);
  const std::uint64_t count = data.size() / header->width;
  Array array;
  array.shape = std::move(header->shape);
  if (header->width == 1) array.bytes.assign(data.begin(), data.end());
  if (header->width == 4) array.floats = floats_of<float>(data, count);
  if (header->width == 8) array.floats = floats_of<double>(data, count);
  return array;
}

}  // namespace cli
