#include "json.hpp"

#include "check.hpp"

namespace {

using x3ddeploy::detail::Json;
using x3ddeploy::detail::parse_json;

template <class T>
T value_of(const std::string& text) {
  const auto json = parse_json(text);
  const T* value = json ? json->get_if<T>() : nullptr;
  if (value == nullptr) check::report(__FILE__, __LINE__, text + " is not read as what it is");
  return value == nullptr ? T{} : *value;
}

TEST(json_values_are_read) {
  CHECK_EQUAL(value_of<std::int64_t>(" -12 "), -12);
  CHECK_EQUAL(value_of<std::int64_t>("999999999999999999"), 999999999999999999);
  CHECK_EQUAL(value_of<double>("9999999999999999999"), 1e19);
  CHECK_EQUAL(value_of<double>("-1.5e-3"), -1.5e-3);
  CHECK_EQUAL(value_of<bool>("true"), true);
  CHECK_EQUAL(value_of<Json::Array>("[1, [], {}]").size(), 3u);
  const auto object = parse_json(R"({"a": null, "b": {"c": "d"}})");
  CHECK(object && object->find("b")->find("c") != nullptr && object->find("x") == nullptr);
}

TEST(json_strings_are_read) {
  CHECK_EQUAL(value_of<std::string>(R"("a\n\"\\\/\u0041")"), "a\n\"\\/A");
  CHECK_EQUAL(value_of<std::string>(R"("\u00e4\u20ac\ud83d\ude00")"), "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
  CHECK_EQUAL(value_of<std::string>("\"\xc3\xa4\xf0\x9f\x98\x80\""), "\xc3\xa4\xf0\x9f\x98\x80");
}

TEST(json_of_a_lenient_reader_is_refused) {
  for (const char* text : {"",
                           " ",
                           "{",
                           "[",
                           "[1,]",
                           "{\"a\":1,}",
                           "{a:1}",
                           "{\"a\" 1}",
                           "01",
                           "-",
                           "1.",
                           ".5",
                           "1e",
                           "+1",
                           "NaN",
                           "Infinity",
                           "1e999",
                           "'a'",
                           "\"a",
                           "\"\t\"",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\ud800\"",
                           "\"\\ud800\\u0041\"",
                           "\"\\udc00\"",
                           "tru",
                           "nul",
                           "1 2",
                           "// 1",
                           "{\"a\":1,\"a\":2}",
                           "\"\xff\"",
                           "\"\xc0\x80\"",
                           "\"\xed\xa0\x80\"",
                           "\"\xf4\x90\x80\x80\"",
                           "\"\xe2\x82\""}) {
    if (parse_json(text)) check::report(__FILE__, __LINE__, std::string("accepted: ") + text);
  }
}

TEST(json_nesting_is_bounded) {
  CHECK(!parse_json(std::string(100000, '[')));
  CHECK(parse_json(std::string(60, '[') + std::string(60, ']')));
}

}  // namespace
