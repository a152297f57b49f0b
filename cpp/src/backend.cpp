#include "backend.hpp"

#include <algorithm>

namespace x3ddeploy {
namespace detail {
namespace {

struct Entry {
  Runtime runtime;
  const char* name;
  Opener open;  // nullptr where the library was built without it
};

#ifdef X3DDEPLOY_WITH_TENSORRT
constexpr Opener kTensorrt = open_tensorrt;
#else
constexpr Opener kTensorrt = nullptr;
#endif
#ifdef X3DDEPLOY_WITH_OPENVINO
constexpr Opener kOpenvino = open_openvino;
#else
constexpr Opener kOpenvino = nullptr;
#endif
#ifdef X3DDEPLOY_WITH_ONNXRUNTIME
constexpr Opener kOnnxruntime = open_onnxruntime;
#else
constexpr Opener kOnnxruntime = nullptr;
#endif

constexpr std::int64_t kMostClipsAtOnce = 1 << 12;

// In the order of an automatic choice.
constexpr Entry kEntries[] = {{Runtime::tensorrt, "tensorrt", kTensorrt},
                              {Runtime::openvino, "openvino", kOpenvino},
                              {Runtime::onnxruntime, "onnxruntime", kOnnxruntime}};

BackendResult open_entry(const Entry& entry, const Bundle& bundle, const Options& options) {
  if (entry.open == nullptr) {
    return Error{ErrorKind::missing_requirement,
                 std::string("this library was built without ") + entry.name,
                 "build it again where its headers are found (docs/embed.md)",
                 {}};
  }
  return entry.open(bundle, options);
}

}  // namespace

Result<Opened> open_backend(const Bundle& bundle, const Options& options) {
  Opened opened;
  const auto tell = [&](const std::string& note) {
    opened.notes.push_back(note);
    if (options.log) options.log(note);
  };
  for (const Entry& entry : kEntries) {
    if (options.runtime != Runtime::automatic && options.runtime != entry.runtime) continue;
    BackendResult backend = open_entry(entry, bundle, options);
    if (backend) {
      opened.backend = std::move(*backend);
      if (const std::string note = opened.backend->note(); !note.empty()) tell(note);
      return opened;
    }
    if (options.runtime != Runtime::automatic || backend.error().kind != ErrorKind::missing_requirement) {
      return std::move(backend.error());
    }
    tell(entry.open == nullptr ? std::string("not built in: ") + entry.name
                               : std::string("cannot run here: ") + entry.name + ": " + backend.error().message);
  }
  return Error{ErrorKind::missing_requirement, "no runtime can run " + bundle.name() + " here",
               "build the library with one of them (docs/embed.md)", opened.notes};
}

Result<std::int64_t> check_feeds(const NamedShapes& inputs, const Feeds& tensors, bool device_memory) {
  std::vector<std::string> problems;
  std::int64_t clips = 0;
  for (const auto& [name, wanted] : inputs) {
    const auto found = tensors.find(name);
    if (found == tensors.end() || found->second.data == nullptr) {
      problems.push_back("missing input '" + name + "'");
      continue;
    }
    const View<float>& given = found->second;
    if (!given.shape.empty() && given.shape[0] > kMostClipsAtOnce) {
      problems.push_back("'" + name + "' is of " + std::to_string(given.shape[0]) + " clips, and at most " +
                         std::to_string(kMostClipsAtOnce) + " are taken at once");
      continue;
    }
    bool fits = wanted.size() == given.shape.size();
    for (std::size_t axis = 0; fits && axis < wanted.size(); ++axis) {
      fits = given.shape[axis] > 0 && (wanted[axis] == kDynamic || wanted[axis] == given.shape[axis]);
    }
    if (!fits) {
      problems.push_back("'" + name + "' has shape " + shape_text(given.shape) + ", and the graph takes " +
                         shape_text(wanted));
    } else if (clips != 0 && clips != given.shape[0]) {
      problems.push_back("'" + name + "' holds " + std::to_string(given.shape[0]) + " clips, and another input " +
                         std::to_string(clips));
    } else {
      clips = given.shape[0];
    }
    if (!is_aligned(given)) problems.push_back("'" + name + "' does not lie at a multiple of 4 bytes");
    if (given.memory == Memory::device && !device_memory) {
      problems.push_back("'" + name + "' is in device memory, and the runtime computes in host memory");
    }
  }
  if (!problems.empty()) {
    return Error{ErrorKind::failed, "the inputs do not fit the graph", "see `x3ddeploy inspect`", problems};
  }
  return clips;
}

std::string shape_text(const Shape& shape) {
  std::string text = "(";
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    text += (axis == 0 ? "" : ", ") + (shape[axis] == kDynamic ? std::string("N") : std::to_string(shape[axis]));
  }
  return text + (shape.size() == 1 ? ",)" : ")");
}

}  // namespace detail

const char* name_of(Runtime runtime) noexcept {
  for (const auto& entry : detail::kEntries) {
    if (entry.runtime == runtime) return entry.name;
  }
  return "automatic";
}

bool is_built_in(Runtime runtime) noexcept {
  return std::any_of(std::begin(detail::kEntries), std::end(detail::kEntries),
                     [&](const auto& entry) { return entry.runtime == runtime && entry.open != nullptr; });
}

}  // namespace x3ddeploy
