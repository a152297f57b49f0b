// A test is a function; a failed check says where, and what it found. Nothing more is needed here, and nothing is fetched.
#pragma once

#include <cmath>
#include <functional>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

namespace check {

struct Test {
  const char* name;
  std::function<void()> run;
};

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

inline int& failures() {
  static int count = 0;
  return count;
}

struct Registered {
  Registered(const char* name, std::function<void()> run) { tests().push_back({name, std::move(run)}); }
};

inline void report(const char* file, int line, const std::string& what) {
  ++failures();
  std::cerr << file << ':' << line << ": " << what << '\n';
}

template <class A, class B>
void equal(const A& actual, const B& wanted, const char* file, int line, const char* expression) {
  if (actual == wanted) return;
  std::ostringstream text;
  text << expression << " is " << actual << ", not " << wanted;
  report(file, line, text.str());
}

inline int run_all() {
  for (const Test& test : tests()) {
    const int before = failures();
    test.run();
    std::cerr << (failures() == before ? "ok     " : "FAILED ") << test.name << '\n';
  }
  std::cerr << tests().size() << " tests, " << failures() << " failed checks\n";
  return failures() == 0 && !tests().empty() ? 0 : 1;
}

}  // namespace check

#define TEST(name)                                                \
  static void name();                                             \
  static const check::Registered registered_##name(#name, &name); \
  static void name()

#define CHECK(condition) \
  if (!(condition)) check::report(__FILE__, __LINE__, #condition)

#define CHECK_EQUAL(actual, wanted) check::equal((actual), (wanted), __FILE__, __LINE__, #actual)

#define CHECK_NEAR(actual, wanted, tolerance) CHECK(std::abs((actual) - (wanted)) <= (tolerance))
