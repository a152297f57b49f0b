#include "text.hpp"

#include <array>
#include <cstdint>
#include <cstdio>

#include "x3ddeploy/x3ddeploy.hpp"

namespace x3ddeploy {
namespace detail {
namespace {

struct Letter {
  std::uint32_t code = 0;
  std::size_t bytes = 1;
};

// UTF-8; a byte that is none stands for itself.
Letter letter_at(const std::string& text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
  const std::uint32_t first = byte(at);
  const std::size_t bytes = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 1;
  if (bytes == 1 || at + bytes > text.size()) return {first, 1};
  std::uint32_t code = first & (0xffu >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(at + i) & 0xc0) != 0x80) return {first, 1};
    code = code << 6 | (byte(at + i) & 0x3f);
  }
  return {code, bytes};
}

// Controls, line breaks, and marks of direction and of no width.
bool steers(std::uint32_t code) {
  constexpr std::array<std::array<std::uint32_t, 2>, 6> kRanges = {
      {{0, 0x1f}, {0x7f, 0x9f}, {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}}};
  for (const auto& [first, last] : kRanges) {
    if (code >= first && code <= last) return true;
  }
  return false;
}

}  // namespace

std::string escaped(const std::string& text) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const Letter letter = letter_at(text, at);
    if (steers(letter.code)) {
      char written[16];
      std::snprintf(written, sizeof written, letter.code < 0x100 ? "\\x%02x" : "\\u%04x", static_cast<unsigned>(letter.code));
      result += letter.code == '\n' ? "\\n" : letter.code == '\r' ? "\\r" : letter.code == '\t' ? "\\t" : written;
    } else {
      result.append(text, at, letter.bytes);
    }
    at += letter.bytes;
  }
  return result;
}

}  // namespace detail

std::string Error::text() const {
  // Libraries' messages have several lines, and names may have: none of them looks like a line of its own.
  const auto line = [](const std::string& words) {
    std::string result;
    for (std::size_t start = 0;;) {
      const std::size_t end = words.find('\n', start);
      result += detail::escaped(words.substr(start, end == std::string::npos ? end : end - start));
      if (end == std::string::npos) return result;
      result += "\n  ";
      start = end + 1;
    }
  };
  std::string text = line(message);
  for (const std::string& detail : details) text += "\n" + line("  " + detail);
  if (!hint.empty()) text += "\n" + line("-> " + hint);
  return text;
}

}  // namespace x3ddeploy
