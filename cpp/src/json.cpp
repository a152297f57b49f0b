#include "json.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <locale>
#include <sstream>
#include <unordered_set>

namespace x3ddeploy::detail {
namespace {

// A manifest nests seven levels; the bound keeps a hostile one from using up the stack.
constexpr int kDeepest = 64;

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<Json> document() {
    Json value;
    skip_space();
    if (!parse(value, 0)) return failure();
    skip_space();
    if (at_ != text_.size()) {
      malformed("trailing characters");
      return failure();
    }
    return value;
  }

 private:
  Error failure() const { return {ErrorKind::failed, problem_, "", {}}; }

  bool malformed(const std::string& what) {
    problem_ = at_ >= text_.size() ? "Input data was truncated"
                                   : "JSON is malformed: " + what + " (byte " + std::to_string(at_) + ")";
    return false;
  }

  void skip_space() {
    while (at_ < text_.size() && std::string_view(" \t\n\r").find(text_[at_]) != std::string_view::npos) ++at_;
  }

  bool next_is(char wanted) {
    if (at_ >= text_.size() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }

  bool parse(Json& value, int depth) {
    if (depth > kDeepest) return malformed("nested too deeply");
    if (at_ >= text_.size()) return malformed("");
    switch (text_[at_]) {
      case '{': return parse_object(value.value.emplace<Json::Object>(), depth);
      case '[': return parse_array(value.value.emplace<Json::Array>(), depth);
      case '"': return parse_string(value.value.emplace<std::string>());
      case 't': value.value = true; return parse_word("true");
      case 'f': value.value = false; return parse_word("false");
      case 'n': value.value = nullptr; return parse_word("null");
      default: return parse_number(value);
    }
  }

  bool parse_word(std::string_view word) {
    for (const char letter : word) {
      if (!next_is(letter)) return malformed("invalid character");
    }
    return true;
  }

  bool parse_object(Json::Object& object, int depth) {
    ++at_;
    skip_space();
    if (next_is('}')) return true;
    std::unordered_set<std::string> keys;
    do {
      skip_space();
      if (at_ >= text_.size() || text_[at_] != '"') return malformed("expected '\"'");
      auto& [key, member] = object.emplace_back();
      if (!parse_string(key)) return false;
      if (!keys.insert(key).second) return malformed("a key stands twice in an object");
      skip_space();
      if (!next_is(':')) return malformed("expected ':'");
      skip_space();
      if (!parse(member, depth + 1)) return false;
      skip_space();
    } while (next_is(','));
    return next_is('}') || malformed("expected ',' or '}'");
  }

  bool parse_array(Json::Array& array, int depth) {
    ++at_;
    skip_space();
    if (next_is(']')) return true;
    do {
      skip_space();
      if (!parse(array.emplace_back(), depth + 1)) return false;
      skip_space();
    } while (next_is(','));
    return next_is(']') || malformed("expected ',' or ']'");
  }

  bool parse_string(std::string& out) {
    ++at_;
    while (at_ < text_.size()) {
      const auto byte = static_cast<unsigned char>(text_[at_]);
      if (byte == '"') {
        ++at_;
        return true;
      }
      if (byte < 0x20) return malformed("invalid character");
      if (byte == '\\') {
        if (!parse_escape(out)) return false;
      } else if (byte < 0x80) {
        out += text_[at_++];
      } else if (!copy_utf8(out)) {
        return malformed("invalid utf-8");
      }
    }
    return malformed("");
  }

  bool parse_escape(std::string& out) {
    ++at_;
    if (at_ >= text_.size()) return malformed("");
    constexpr std::string_view kNames = "\"\\/bfnrt";
    constexpr std::string_view kMeant = "\"\\/\b\f\n\r\t";
    const char name = text_[at_];
    if (const std::size_t index = kNames.find(name); index != std::string_view::npos) {
      out += kMeant[index];
      ++at_;
      return true;
    }
    if (name != 'u') return malformed("invalid escape character in string");
    ++at_;
    std::uint32_t point = 0;
    if (!parse_unit(point)) return false;
    if (point >= 0xd800 && point < 0xdc00) {
      std::uint32_t low = 0;
      if (!next_is('\\') || !next_is('u')) return malformed("unexpected end of escaped utf-16 surrogate pair");
      if (!parse_unit(low)) return false;
      if (low < 0xdc00 || low > 0xdfff) return malformed("invalid utf-16 surrogate pair");
      point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
    } else if (point >= 0xdc00 && point < 0xe000) {
      return malformed("invalid utf-16 surrogate pair");
    }
    append_utf8(out, point);
    return true;
  }

  bool parse_unit(std::uint32_t& unit) {
    for (int digit = 0; digit < 4; ++digit, ++at_) {
      if (at_ >= text_.size()) return malformed("");
      const char c = text_[at_];
      unit <<= 4;
      if (c >= '0' && c <= '9') {
        unit |= static_cast<std::uint32_t>(c - '0');
      } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
        unit |= static_cast<std::uint32_t>((c | 0x20) - 'a' + 10);
      } else {
        return malformed("invalid character in unicode escape");
      }
    }
    return true;
  }

  static void append_utf8(std::string& out, std::uint32_t point) {
    if (point < 0x80) {
      out += static_cast<char>(point);
    } else if (point < 0x800) {
      out += static_cast<char>(0xc0 | point >> 6);
      out += static_cast<char>(0x80 | (point & 0x3f));
    } else if (point < 0x10000) {
      out += static_cast<char>(0xe0 | point >> 12);
      out += static_cast<char>(0x80 | (point >> 6 & 0x3f));
      out += static_cast<char>(0x80 | (point & 0x3f));
    } else {
      out += static_cast<char>(0xf0 | point >> 18);
      out += static_cast<char>(0x80 | (point >> 12 & 0x3f));
      out += static_cast<char>(0x80 | (point >> 6 & 0x3f));
      out += static_cast<char>(0x80 | (point & 0x3f));
    }
  }

  // One well-formed sequence: no overlong form, no surrogate, nothing over U+10FFFF.
  bool copy_utf8(std::string& out) {
    const auto first = static_cast<unsigned char>(text_[at_]);
    const std::size_t more = first >= 0xf0 && first <= 0xf4 ? 3 : first >= 0xe0 ? 2 : 1;
    if (first < 0xc2 || first > 0xf4 || text_.size() - at_ <= more) return false;
    std::uint32_t point = first & (0x3f >> more);
    for (std::size_t i = 1; i <= more; ++i) {
      const auto byte = static_cast<unsigned char>(text_[at_ + i]);
      if ((byte & 0xc0) != 0x80) return false;
      point = point << 6 | (byte & 0x3f);
    }
    constexpr std::uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
    if (point < kLeast[more] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return false;
    out.append(text_, at_, more + 1);
    at_ += more + 1;
    return true;
  }

  std::size_t skip_digits() {
    const std::size_t start = at_;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
    return at_ - start;
  }

  bool parse_number(Json& value) {
    const std::size_t start = at_;
    next_is('-');
    const std::size_t first_digit = at_;
    const std::size_t digits = skip_digits();
    if (digits == 0) return malformed("invalid character");
    if (digits > 1 && text_[first_digit] == '0') return malformed("invalid number");
    bool whole = true;
    if (next_is('.')) {
      whole = false;
      if (skip_digits() == 0) return malformed("invalid number");
    }
    if (at_ < text_.size() && (text_[at_] | 0x20) == 'e') {
      whole = false;
      ++at_;
      if (!next_is('+')) next_is('-');
      if (skip_digits() == 0) return malformed("invalid number");
    }
    // A stream with the classic locale: strtod follows the application's, from_chars is missing in some libraries.
    std::istringstream number{std::string(text_.substr(start, at_ - start))};
    number.imbue(std::locale::classic());
    if (whole && digits <= std::numeric_limits<std::int64_t>::digits10) {
      std::int64_t integer = 0;
      number >> integer;
      value.value = integer;
      return true;
    }
    double real = 0;
    number >> real;
    if (!std::isfinite(real) || (number.fail() && real != 0)) return malformed("number out of range");
    value.value = real;
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::string problem_;
};

}  // namespace

const Json* Json::find(std::string_view key) const noexcept {
  const auto* object = get_if<Object>();
  if (object == nullptr) return nullptr;
  const auto found =
      std::find_if(object->begin(), object->end(), [&](const auto& member) { return member.first == key; });
  return found == object->end() ? nullptr : &found->second;
}

const char* Json::type_name() const noexcept {
  constexpr const char* kNames[] = {"null", "bool", "int", "float", "str", "array", "object"};
  return kNames[value.index()];
}

Result<Json> parse_json(std::string_view text) { return Parser(text).document(); }

}  // namespace x3ddeploy::detail
