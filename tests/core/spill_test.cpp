#include "core/spill.h"

#include <cstdlib>
#include <numeric>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using mss::core::Spill;

namespace {

std::vector<float> numbered(std::int64_t count, float first) {
  std::vector<float> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), first);
  return values;
}

}  // namespace

TEST_CASE("blocks keep their values in memory and in the file", "[core]") {
  constexpr std::int64_t kFloats = 1000, kBytes = kFloats * 4;
  for (const std::int64_t limit : {std::int64_t{0}, 2 * kBytes, 100 * kBytes}) {
    CAPTURE(limit);
    Spill spill(limit);
    std::vector<std::int64_t> ids;
    for (int i = 0; i < 5; ++i) {
      ids.push_back(spill.add(kFloats));
      spill.write(ids.back(), 0, kFloats, numbered(kFloats, 10000.0F * static_cast<float>(i)).data());
    }
    const std::int64_t held = std::min<std::int64_t>(5, limit / kBytes);
    CHECK(spill.memory_bytes() == held * kBytes);
    CHECK(spill.file_bytes() == (5 - held) * kBytes);
    spill.write(ids[3], 500, 2, std::vector<float>{-1, -2}.data());
    for (int i = 0; i < 5; ++i) {
      std::vector<float> expected = numbered(kFloats, 10000.0F * static_cast<float>(i)), found(kFloats);
      if (i == 3) expected[500] = -1, expected[501] = -2;
      spill.read(ids[static_cast<std::size_t>(i)], 0, kFloats, found.data());
      CHECK(found == expected);
      spill.read(ids[static_cast<std::size_t>(i)], 400, 200, found.data());
      CHECK(std::equal(found.begin(), found.begin() + 200, expected.begin() + 400));
      CHECK((spill.memory(ids[static_cast<std::size_t>(i)]) != nullptr) == (i < held));
    }
  }
}

TEST_CASE("released space is used again", "[core]") {
  Spill spill(0);
  const std::int64_t a = spill.add(64), b = spill.add(64);
  spill.write(b, 0, 64, numbered(64, 1).data());
  spill.release(a);
  const std::int64_t c = spill.add(64);
  CHECK(spill.file_bytes() == 2 * 64 * 4);
  spill.write(c, 0, 64, numbered(64, 500).data());
  std::vector<float> found(64);
  spill.read(b, 0, 64, found.data());
  CHECK(found == numbered(64, 1));

  Spill held(64 * 4);
  const std::int64_t first = held.add(64);
  held.release(first);
  CHECK(held.memory_bytes() == 0);
  CHECK(held.memory(held.add(64)) != nullptr);
}

TEST_CASE("blocks of a file are read and written from several threads", "[core]") {
  Spill spill(0);
  std::vector<std::int64_t> ids;
  for (int i = 0; i < 32; ++i) ids.push_back(spill.add(4096));
  mss::core::parallel_for(32, 4, [&](std::int64_t i) {
    spill.write(ids[static_cast<std::size_t>(i)], 0, 4096, numbered(4096, static_cast<float>(i * 4096)).data());
  });
  std::vector<int> right(32, 0);
  mss::core::parallel_for(32, 4, [&](std::int64_t i) {
    std::vector<float> found(4096);
    spill.read(ids[static_cast<std::size_t>(i)], 0, 4096, found.data());
    right[static_cast<std::size_t>(i)] = found == numbered(4096, static_cast<float>(i * 4096)) ? 1 : 0;
  });
  CHECK(std::accumulate(right.begin(), right.end(), 0) == 32);
}

TEST_CASE("a folder for temporary files that is not there is named", "[core]") {
  const char* before = std::getenv("TMPDIR");
  const std::string saved = before == nullptr ? "" : before;
  setenv("TMPDIR", "/nonexistent/folder", 1);
  std::string message;
  try {
    Spill spill(0);
    spill.add(16);
  } catch (const mss::Error& error) {
    CHECK(error.code() == mss::Code::resource);
    message = error.what();
  }
  if (before == nullptr) {
    unsetenv("TMPDIR");
  } else {
    setenv("TMPDIR", saved.c_str(), 1);
  }
  CHECK(message.find("TMPDIR") != std::string::npos);
}
