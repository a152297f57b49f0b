#include "text.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <iterator>

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
  constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool is_letter = code >= kLeast[bytes] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
  return is_letter ? Letter{code, bytes} : Letter{first, 1};
}

struct Range {
  std::uint32_t first, last;
};

template <std::size_t N>
bool is_in(const Range (&ranges)[N], std::uint32_t code) {
  return std::any_of(std::begin(ranges), std::end(ranges), [&](const Range& range) { return code >= range.first && code <= range.last; });
}

// Unicode's controls (Cc), marks of direction and of no width (Cf), line breaks (Zl, Zp), and what means nothing to others (Co,
// and code points that never will be characters).
bool steers(std::uint32_t code) {
  constexpr Range kSteering[] = {{0, 0x1f}, {0x7f, 0x9f}, {0xad, 0xad}, {0x600, 0x605}, {0x61c, 0x61c}, {0x6dd, 0x6dd}, {0x70f, 0x70f},
                                 {0x890, 0x891}, {0x8e2, 0x8e2}, {0x180e, 0x180e}, {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f},
                                 {0xd800, 0xf8ff}, {0xfdd0, 0xfdef}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0x110bd, 0x110bd},
                                 {0x110cd, 0x110cd}, {0x13430, 0x1343f}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
                                 {0xf0000, 0x10ffff}};
  return is_in(kSteering, code) || (code & 0xfffe) == 0xfffe;
}

bool is_space(std::uint32_t code) {
  constexpr Range kSpaces[] = {{0x20, 0x20}, {0xa0, 0xa0}, {0x1680, 0x1680}, {0x2000, 0x200a}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}};
  return is_in(kSpaces, code);
}

}  // namespace

std::string escaped(const std::string& text) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const Letter letter = letter_at(text, at);
    if (steers(letter.code)) {
      char written[16];
      std::snprintf(written, sizeof written, letter.code < 0x100 ? "\\x%02x" : letter.code < 0x10000 ? "\\u%04x" : "\\U%08x", static_cast<unsigned>(letter.code));
      result += letter.code == '\n' ? "\\n" : letter.code == '\r' ? "\\r" : letter.code == '\t' ? "\\t" : written;
    } else {
      result.append(text, at, letter.bytes);
    }
    at += letter.bytes;
  }
  return result;
}

bool is_utf8(const std::string& text) {
  for (std::size_t at = 0; at < text.size();) {
    const Letter letter = letter_at(text, at);
    if (letter.bytes == 1 && letter.code >= 0x80) return false;
    at += letter.bytes;
  }
  return true;
}

bool is_blank(const std::string& text) {
  for (std::size_t at = 0; at < text.size();) {
    const Letter letter = letter_at(text, at);
    if (!is_space(letter.code)) return false;
    at += letter.bytes;
  }
  return true;
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
