// Strict JSON (RFC 8259): UTF-8, no comments, no trailing commas, no duplicate keys, no NaN, bounded nesting.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "x3ddeploy/x3ddeploy.hpp"

namespace x3ddeploy::detail {

class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::vector<std::pair<std::string, Json>>;  // in the order of the text

  // The value of a number that is written without a fraction or exponent and fits 64 bits is an int64_t.
  std::variant<std::nullptr_t, bool, std::int64_t, double, std::string, Array, Object> value = nullptr;

  template <class T>
  const T* get_if() const noexcept {
    return std::get_if<T>(&value);
  }
  // A member of an object, or nullptr.
  const Json* find(std::string_view key) const noexcept;
  // 'int', 'str', 'array', ...: the name of the value's type in the messages of Python's reader.
  const char* type_name() const noexcept;
};

// The error's message says what is wrong and at which byte; nothing else in it is set.
Result<Json> parse_json(std::string_view text);

}  // namespace x3ddeploy::detail
