// Typed reading of a JSON document: the first thing that does not fit is kept, in the words of Python's msgspec.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "json.hpp"

namespace x3ddeploy::detail {

class Decoder;

// A place in the document; reading from a place that is not there gives a default and leaves the first problem alone.
class Place {
 public:
  Place(Decoder& decoder, const Json* json, std::string path)
      : decoder_(decoder), json_(json), path_(std::move(path)) {}

  Place operator[](std::string_view key) const;  // a required member
  bool has(std::string_view key) const { return json_ != nullptr && json_->find(key) != nullptr; }
  std::string string() const;
  std::int64_t integer() const;
  std::optional<std::int64_t> integer_or_null() const;
  double number() const;
  bool boolean() const;
  bool is_null() const { return json_ != nullptr && json_->get_if<std::nullptr_t>() != nullptr; }
  bool is_number() const {
    return json_ != nullptr && (json_->get_if<std::int64_t>() != nullptr || json_->get_if<double>() != nullptr);
  }
  bool is_string() const { return json_ != nullptr && json_->get_if<std::string>() != nullptr; }
  bool is_array() const { return json_ != nullptr && json_->get_if<Json::Array>() != nullptr; }
  bool is_object() const { return json_ != nullptr && json_->get_if<Json::Object>() != nullptr; }

  // Calls `visit(key, Place)` for each member, `visit(Place)` for each element.
  template <class F>
  void each_member(F visit) const {
    if (const auto* object = expect<Json::Object>("object")) {
      for (const auto& [key, member] : *object) visit(key, Place(decoder_, &member, path_ + "[...]"));
    }
  }
  template <class F>
  void each_element(F visit) const {
    if (const auto* array = expect<Json::Array>("array")) {
      for (const Json& element : *array) visit(Place(decoder_, &element, path_ + "[...]"));
    }
  }
  void fail(const std::string& what) const;

 private:
  template <class T>
  const T* expect(const char* name) const {
    const T* value = json_ == nullptr ? nullptr : json_->get_if<T>();
    if (json_ != nullptr && value == nullptr) fail_type(name);
    return value;
  }
  void fail_type(const char* wanted) const;

  Decoder& decoder_;
  const Json* json_;
  std::string path_;
};

class Decoder {
 public:
  Place root(const Json& json) { return {*this, &json, "$"}; }
  const std::string& problem() const noexcept { return problem_; }
  void report(const std::string& problem) {
    if (problem_.empty()) problem_ = problem;
  }

 private:
  std::string problem_;
};

}  // namespace x3ddeploy::detail
