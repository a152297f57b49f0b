#include "x3ddeploy/x3ddeploy.hpp"

namespace x3ddeploy {

std::string Error::text() const {
  std::string text = message;
  for (const std::string& line : details) text += "\n  " + line;
  if (!hint.empty()) text += "\n-> " + hint;
  return text;
}

}  // namespace x3ddeploy
