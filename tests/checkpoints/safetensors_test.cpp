#include "checkpoints/safetensors.h"

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <span>
#include <string>

#include "core/error.h"
#include "core/file.h"
#include "core/rng.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using namespace mss;
using namespace mss::checkpoints;

namespace {

Tensor raw(DType dtype, std::vector<std::int64_t> shape, const std::vector<unsigned char>& bytes) {
  Tensor t{dtype, std::move(shape), std::vector<std::byte>(bytes.size())};
  std::memcpy(t.bytes.data(), bytes.data(), bytes.size());
  return t;
}

std::string file_of(const std::string& header, std::size_t data_bytes) {
  std::string out;
  for (int i = 0; i < 8; ++i) out.push_back(static_cast<char>((header.size() >> (8 * i)) & 255));
  return out + header + std::string(data_bytes, '\0');
}

Code code_of(const std::string& bytes, const tests::TempDir& folder) {
  const auto path = folder / "x.safetensors";
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  try {
    SafetensorsFile(path).read_all();
  } catch (const Error& e) {
    CHECK(e.parts().where.find("x.safetensors") != std::string::npos);
    return e.code();
  }
  return Code::internal;
}

Tensors sample() {
  Tensors tensors;
  tensors["b.weight"] = Tensor::from(std::vector<float>{1, -2, 3.5F, 4, 5, 6}, {2, 3});
  tensors["a"] = raw(DType::u8, {3}, {1, 2, 255});
  tensors["scalar"] = Tensor::from(std::vector<double>{0.1}, {});
  tensors["empty"] = Tensor::from(std::vector<float>{}, {0, 7});
  return tensors;
}

}  // namespace

TEST_CASE("safetensors written and read again are equal, and equal content gives equal bytes", "[checkpoints]") {
  const tests::TempDir folder;
  const auto path = folder / "model.safetensors";
  write_safetensors(path, sample(), {{"format", "test"}, {"name", "Ünï \"q\"\n"}});
  const SafetensorsFile file(path);
  CHECK(file.metadata() == Metadata{{"format", "test"}, {"name", "Ünï \"q\"\n"}});
  const Tensors read = file.read_all();
  REQUIRE(read.size() == 4);
  for (const auto& [name, tensor] : sample()) {
    CAPTURE(name);
    CHECK(read.at(name).dtype == tensor.dtype);
    CHECK(read.at(name).shape == tensor.shape);
    CHECK(read.at(name).bytes == tensor.bytes);
  }
  CHECK(read.at("b.weight").to_float() == std::vector<float>{1, -2, 3.5F, 4, 5, 6});
  CHECK(file.tensors().at("b.weight").elements() == 6);
  CHECK(file.tensors().at("empty").elements() == 0);
  CHECK(serialize_safetensors(sample(), {}) == serialize_safetensors(read, {}));
  const std::string text = core::read_text_file(path);
  CHECK(text.size() % 8 == 3);  // length and header are multiples of 8, data are 8 + 24 + 0 + 3 bytes
  CHECK(file.tensors().at("scalar").begin == 0);
  CHECK(file.tensors().at("a").begin == 32);
}

TEST_CASE("a safetensors file has the published layout", "[checkpoints]") {
  const std::string bytes = serialize_safetensors({{"w", raw(DType::i16, {1, 2}, {1, 0, 255, 255})}}, {{"k", "v"}});
  const std::string header = R"({"__metadata__":{"k":"v"},"w":{"dtype":"I16","shape":[1,2],"data_offsets":[0,4]}})";
  std::string padded = header;
  while (padded.size() % 8 != 0) padded += ' ';
  std::string expected;
  expected.push_back(static_cast<char>(padded.size()));
  expected += std::string(7, '\0') + padded + std::string("\x01\x00\xff\xff", 4);
  CHECK(bytes == expected);
}

TEST_CASE("stored types widen to the values they stand for", "[checkpoints]") {
  CHECK(raw(DType::f16, {6}, {0x00, 0x3c, 0x00, 0xc0, 0x01, 0x00, 0xff, 0x7b, 0x00, 0x7c, 0x00, 0x80}).to_double() ==
        std::vector<double>{1.0, -2.0, std::ldexp(1.0, -24), 65504.0, INFINITY, -0.0});
  CHECK(std::isnan(raw(DType::f16, {1}, {0x01, 0x7e}).to_double()[0]));
  CHECK(raw(DType::bf16, {2}, {0x80, 0x3f, 0x20, 0xc1}).to_float() == std::vector<float>{1.0F, -10.0F});
  CHECK(raw(DType::i32, {1}, {0xfe, 0xff, 0xff, 0xff}).to_double() == std::vector<double>{-2.0});
  CHECK(raw(DType::u64, {1}, {0, 0, 0, 0, 0, 0, 0, 0x80}).to_double() == std::vector<double>{9223372036854775808.0});
  CHECK(raw(DType::boolean, {3}, {0, 1, 7}).to_float() == std::vector<float>{0, 1, 1});
  CHECK(raw(DType::i8, {1}, {0xff}).to_float() == std::vector<float>{-1});
}

TEST_CASE("malformed safetensors files are refused with the file's name", "[checkpoints]") {
  const tests::TempDir folder;
  const auto entry = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return R"({"t":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
  };
  CHECK(code_of(file_of(entry("F32", "[2]", "[0,8]"), 8), folder) == Code::internal);  // the only good one
  for (
      const auto& bytes : std::vector<std::string>{
          "",
          "short",
          std::string("\xff\xff\xff\xff\xff\xff\xff\xff", 8) + "{}",
          file_of("", 0),
          file_of("[]", 0),
          file_of("{", 0),
          file_of("{\"\xff\":1}", 0),
          file_of(entry("F32", "[2]", "[0,8]"), 7),    // truncated
          file_of(entry("F32", "[2]", "[0,8]"), 9),    // trailing bytes
          file_of(entry("F32", "[2]", "[4,12]"), 12),  // a gap
          file_of(entry("F32", "[2]", "[0,4]"), 4),    // size does not follow
          file_of(entry("F32", "[2]", "[8,0]"), 8),    // backwards
          file_of(entry("F32", "[-2]", "[0,8]"), 8),
          file_of(entry("F32", "[2.0]", "[0,8]"), 8),
          file_of(entry("F32", "[4611686018427387904,4611686018427387904]", "[0,8]"), 8),
          file_of(entry("Q4", "[2]", "[0,8]"), 8),
          file_of(entry("F32", "2", "[0,8]"), 8),
          file_of(entry("F32", "[2]", "[0]"), 8),
          file_of(entry("F32", "[2]", "[0,99999999999999999999]"), 8),
          file_of(R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}})", 8),
          file_of(R"({"t":1})", 0),
          file_of(R"({"__metadata__":{"k":1}})", 0),
          file_of(R"({"__metadata__":[]})", 0),
          file_of(
              R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
              6),
          file_of(
              R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
              1)}) {
    CAPTURE(bytes);
    CHECK(code_of(bytes, folder) == Code::format);
  }
  try {
    SafetensorsFile file(folder / "absent.safetensors");
    FAIL("opened a file that is not there");
  } catch (const Error& e) {
    CHECK(e.code() == Code::io);
  }
}

TEST_CASE("a random change of a safetensors file is read or refused, never worse", "[checkpoints]") {
  const std::string good = serialize_safetensors(sample(), {{"format", "test"}});
  const tests::TempDir folder;
  core::Rng rng(5, 1);
  int refused = 0;
  for (int trial = 0; trial < 600; ++trial) {
    std::string bytes = good;
    const std::uint32_t edits = 1 + rng.below(3);
    for (std::uint32_t i = 0; i < edits; ++i) {
      const auto at = static_cast<std::size_t>(rng.below(static_cast<std::uint32_t>(bytes.size())));
      switch (rng.below(3)) {
        case 0:
          bytes[at] = static_cast<char>(rng.below(256));
          break;
        case 1:
          bytes.erase(at, 1 + rng.below(9));
          break;
        default:
          bytes.insert(at, 1 + rng.below(3), static_cast<char>(rng.below(256)));
          break;
      }
      if (bytes.empty()) break;
    }
    const Code code = code_of(bytes, folder);
    CHECK((code == Code::format || code == Code::internal));
    refused += code == Code::format ? 1 : 0;
  }
  CHECK(refused > 300);
}

TEST_CASE("unknown tensors and impossible content are named", "[checkpoints]") {
  const tests::TempDir folder;
  const auto path = folder / "model.safetensors";
  write_safetensors(path, sample(), {});
  try {
    SafetensorsFile(path).read("b.weigth");
    FAIL("read a tensor that is not there");
  } catch (const Error& e) {
    CHECK(e.code() == Code::checkpoint);
    CHECK(e.parts().hint.find("b.weight") != std::string::npos);
  }
  CHECK_THROWS_AS(serialize_safetensors({{"", Tensor::from(std::vector<float>{1}, {1})}}, {}), Error);
  CHECK_THROWS_AS(serialize_safetensors({{"__metadata__", Tensor::from(std::vector<float>{1}, {1})}}, {}), Error);
  CHECK_THROWS_AS(serialize_safetensors({{"a", raw(DType::f32, {2}, {0, 0, 0, 0})}}, {}), Error);
  CHECK_THROWS_AS(serialize_safetensors({}, {{"k", "\xff"}}), Error);
  CHECK_THROWS_AS(Tensor::from(std::vector<float>{1, 2}, {3}), Error);
}

TEST_CASE("float16 is the nearest half, ties to even", "[checkpoints]") {
  const auto half = [](float value) {
    const LazyTensor tensor = LazyTensor::half(std::span<const float>(&value, 1), {1});
    return tensor.values()[0];
  };
  // Every finite half is itself, and what lies between two neighbours goes to the nearer one, the middle to the even one.
  std::vector<float> halves;
  for (unsigned bits = 0; bits < 0x7c00; ++bits) {
    halves.push_back(
        raw(DType::f16, {1}, {static_cast<unsigned char>(bits & 255), static_cast<unsigned char>(bits >> 8)})
            .to_float()[0]);
  }
  std::size_t wrong = 0;
  for (std::size_t i = 0; i + 1 < halves.size(); ++i) {
    const float low = halves[i], high = halves[i + 1], middle = 0.5F * (low + high);
    wrong += half(low) != low;
    wrong += half(-low) != -low;
    wrong += half(middle) != (i % 2 == 0 ? low : high);
    wrong += half(std::nextafter(middle, 0.0F)) != low;
    wrong += half(std::nextafter(middle, 1e9F)) != high;
  }
  CHECK(wrong == 0);
  CHECK(half(65504.0F) == 65504.0F);
  CHECK(half(65519.0F) == 65504.0F);
  CHECK(std::isinf(half(65520.0F)));
  CHECK(half(-std::numeric_limits<float>::infinity()) == -std::numeric_limits<float>::infinity());
  CHECK(std::isnan(half(std::numeric_limits<float>::quiet_NaN())));
  CHECK(half(1e-9F) == 0.0F);
}
