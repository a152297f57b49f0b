#include <numeric>

#include "check.hpp"
#include "preparation.hpp"

namespace {

using namespace x3ddeploy;
using namespace x3ddeploy::detail;
using Bytes = std::vector<std::uint8_t>;

constexpr int kRows = 3, kColumns = 5;  // odd: half planes have a last row and column for one

Bytes row_of(const Frame& frame, int row, int left, int right) {
  Bytes rgb(static_cast<std::size_t>(3 * (right - left)));
  read_row(completed(frame), row, left, right, rgb.data());
  return rgb;
}

TEST(channels_come_out_in_their_order_whatever_lies_between) {
  Bytes pixels(256);
  std::iota(pixels.begin(), pixels.end(), std::uint8_t{0});
  const auto second = [&](PixelFormat format, std::size_t row_bytes) {
    return row_of(Frame(format, kRows, kColumns, {pixels.data()}, {row_bytes}), 1, 1, 2);
  };
  CHECK((second(PixelFormat::rgb, 0) == Bytes{18, 19, 20}));
  CHECK((second(PixelFormat::bgr, 0) == Bytes{20, 19, 18}));
  CHECK((second(PixelFormat::rgba, 0) == Bytes{24, 25, 26}));
  CHECK((second(PixelFormat::bgra, 0) == Bytes{26, 25, 24}));
  CHECK((second(PixelFormat::gray, 0) == Bytes{6, 6, 6}));
  CHECK((second(PixelFormat::bgr, 32) == Bytes{37, 36, 35}));
}

// Expected values: cv2.cvtColor with COLOR_YUV2RGB_I420.
TEST(colours_of_yuv_are_those_of_opencv) {
  const Bytes luma(15, 120), nv12 = {90, 200, 90, 200, 90, 200, 90, 200, 90, 200, 90, 200};
  const Bytes u(6, 90), v(6, 200);
  const Bytes wanted = {236, 77, 44};
  CHECK((row_of(Frame(PixelFormat::i420, kRows, kColumns, {luma.data(), u.data(), v.data()}), 2, 4, 5) == wanted));
  CHECK((row_of(Frame(PixelFormat::nv12, kRows, kColumns, {luma.data(), nv12.data()}), 2, 4, 5) == wanted));
}

TEST(planes_that_are_not_given_lie_behind_the_one_before) {
  Bytes pixels(200, 120);
  const Frame i420 = completed(Frame(PixelFormat::i420, kRows, kColumns, {pixels.data()}, {8}));
  CHECK(i420.planes[1] == pixels.data() + 3 * 8 && i420.row_bytes[1] == 4);
  CHECK(i420.planes[2] == pixels.data() + 3 * 8 + 2 * 4 && i420.row_bytes[2] == 4);
  const Frame nv12 = completed(Frame(PixelFormat::nv12, kRows, kColumns, {pixels.data()}));
  CHECK(nv12.planes[1] == pixels.data() + 15 && nv12.row_bytes[1] == 6);
}

TEST(frames_that_cannot_be_are_refused) {
  const Bytes pixels(64);
  const auto problem = [&](PixelFormat format, int height, int width, std::size_t row_bytes) {
    return problem_of(Frame(format, height, width, {pixels.data()}, {row_bytes}));
  };
  CHECK(problem(PixelFormat::rgb, 4, 4, 0).empty());
  CHECK(!problem(PixelFormat::rgba, 4, 4, 12).empty());
  CHECK(!problem(PixelFormat::rgb, -1, 4, 0).empty());
  CHECK(!problem(PixelFormat::rgb, 4, 1 << 30, 0).empty());
  CHECK(!problem(PixelFormat::rgb, 4, 4, ~std::size_t{0}).empty());
  CHECK(!problem(static_cast<PixelFormat>(99), 4, 4, 0).empty());
  CHECK(!problem_of(Frame()).empty());
}

}  // namespace
