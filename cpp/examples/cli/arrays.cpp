#include "arrays.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace cli {
namespace fs = std::filesystem;
namespace {

using x3ddeploy::Error;
using x3ddeploy::ErrorKind;
using x3ddeploy::Result;

Error unreadable(const std::string& path, const std::string& why, const std::string& hint = "check the path") {
  return {ErrorKind::failed, "cannot read " + path + ": " + why, hint, {}};
}

// Little-endian integers at a place of a ZIP file; zero behind its end, which no signature is.
class Zip {
 public:
  explicit Zip(std::string_view file) : file_(file) {}

  std::uint64_t number(std::size_t at, int bytes) const {
    std::uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; --i) {
      const std::size_t place = at + static_cast<std::size_t>(i);
      value = value << 8 | (place < file_.size() ? static_cast<unsigned char>(file_[place]) : 0);
    }
    return value;
  }

  std::string_view slice(std::size_t at, std::size_t size) const {
    return at > file_.size() || size > file_.size() - at ? std::string_view() : file_.substr(at, size);
  }

  std::size_t size() const { return file_.size(); }

 private:
  std::string_view file_;
};

constexpr std::uint64_t kLargestFile = std::uint64_t{16} << 30;
constexpr std::uint64_t kEnd = 0x06054b50, kEntry = 0x02014b50;

Result<Arrays> parse_npz(std::string_view file, const std::string& path) {
  const Zip zip(file);
  std::size_t end = file.size() < 22 ? 0 : file.size() - 22;
  while (end > 0 && zip.number(end, 4) != kEnd) --end;
  if (zip.number(end, 4) != kEnd) return unreadable(path, "it is no .npz file", "write it with numpy.savez");
  Arrays arrays;
  std::size_t entry = zip.number(end + 16, 4), total = 0;
  for (std::uint64_t left = zip.number(end + 10, 2); left > 0; --left) {
    if (zip.number(entry, 4) != kEntry)
      return unreadable(path, "its directory is damaged", "write it with numpy.savez");
    const std::size_t name_size = zip.number(entry + 28, 2), size = zip.number(entry + 24, 4);
    const std::size_t local = zip.number(entry + 42, 4);
    const std::string name(zip.slice(entry + 46, name_size));
    if (zip.number(entry + 10, 2) != 0 || size == 0xffffffff) {
      return unreadable(path, name + " is compressed, or over 4 GiB",
                        "write it with numpy.savez, not savez_compressed");
    }
    total += size;  // entries that share their data would take any multiple of the file's size
    if (total > file.size()) return unreadable(path, "its directory is damaged", "write it with numpy.savez");
    const std::size_t data = local + 30 + zip.number(local + 26, 2) + zip.number(local + 28, 2);
    Result<Array> array = parse_npy(zip.slice(data, size), path + ":" + name);
    const std::string key = name.substr(0, name.rfind(".npy"));
    if (array) {
      arrays[key] = std::move(*array);
    } else if (key != "label") {  // a whole number, of no use here
      return array.error();
    }
    entry += 46 + name_size + zip.number(entry + 30, 2) + zip.number(entry + 32, 2);
  }
  return arrays;
}

Result<std::string> first_bytes(const std::string& path, std::uint64_t size) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes(size, '\0');
  if (!file || !file.read(bytes.data(), static_cast<std::streamsize>(size))) return unreadable(path, "Input/output error");
  return bytes;
}

Result<std::uint64_t> size_of(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) return unreadable(path, "No such file");
  if (!fs::is_regular_file(status)) return unreadable(path, "it is a folder, a pipe or a device, not a file");
  const std::uint64_t size = fs::file_size(path, error);
  if (size > kLargestFile || error) return unreadable(path, "it is larger than 16 GiB");
  return size;
}

// What the file says of itself is held against its size before memory is taken for it.
Result<Array> read_npy(const std::string& path) {
  const Result<std::uint64_t> size = size_of(path);
  if (!size) return size.error();
  const Result<std::string> head = first_bytes(path, std::min<std::uint64_t>(*size, kLongestHeader + 12));
  if (!head) return head.error();
  const Result<Header> header = parse_header(*head, path);
  if (!header) return header.error();
  if (const auto error = misfit(*header, *size, path)) return *error;
  const Result<std::string> bytes = read_file(path);
  if (!bytes) return bytes.error();
  return parse_npy(*bytes, path);
}

}  // namespace

Result<std::string> read_file(const std::string& path) {
  const Result<std::uint64_t> size = size_of(path);
  if (!size) return size.error();
  return first_bytes(path, *size);
}

std::string golden_folder(const std::string& bundle) {
  std::error_code error;
  return bundle + (fs::is_directory(bundle + "/.next", error) ? "/.next" : "") + "/golden";
}

Result<Arrays> read_arrays(const std::string& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    const Result<std::string> file = read_file(path);
    if (!file) return file.error();
    return parse_npz(*file, path);
  }
  Arrays arrays;
  for (const auto& file : fs::directory_iterator(path, error)) {
    if (file.path().extension() != ".npy") continue;
    Result<Array> array = read_npy(file.path().string());
    if (!array) return array.error();
    arrays[file.path().stem().string()] = std::move(*array);
  }
  return arrays;
}

}  // namespace cli
