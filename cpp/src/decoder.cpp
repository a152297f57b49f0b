#include "decoder.hpp"

namespace x3ddeploy::detail {

Place Place::operator[](std::string_view key) const {
  const std::string path = path_ + "." + std::string(key);
  if (expect<Json::Object>("object") == nullptr) return {decoder_, nullptr, path};
  const Json* member = json_->find(key);
  if (member == nullptr) fail("Object missing required field `" + std::string(key) + "`");
  return {decoder_, member, path};
}

std::string Place::string() const {
  const auto* value = expect<std::string>("str");
  return value == nullptr ? "" : *value;
}

std::int64_t Place::integer() const {
  const auto* value = expect<std::int64_t>("int");
  return value == nullptr ? 0 : *value;
}

std::optional<std::int64_t> Place::integer_or_null() const {
  if (json_ == nullptr || is_null()) return std::nullopt;
  const auto* value = json_->get_if<std::int64_t>();
  if (value == nullptr) fail_type("int | null");
  return value == nullptr ? std::nullopt : std::optional<std::int64_t>(*value);
}

double Place::number() const {
  if (const auto* whole = json_ == nullptr ? nullptr : json_->get_if<std::int64_t>())
    return static_cast<double>(*whole);
  const auto* value = expect<double>("float");
  return value == nullptr ? 0 : *value;
}

bool Place::boolean() const {
  const auto* value = expect<bool>("bool");
  return value != nullptr && *value;
}

void Place::fail(const std::string& what) const {
  decoder_.report(path_ == "$" ? what : what + " - at `" + path_ + "`");
}

void Place::fail_type(const char* wanted) const {
  fail(std::string("Expected `") + wanted + "`, got `" + json_->type_name() + "`");
}

}  // namespace x3ddeploy::detail
