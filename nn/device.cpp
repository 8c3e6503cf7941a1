#include "nn/device.h"

#include <charconv>
#include <cstdlib>

#include "core/error.h"

namespace mss::nn {

DeviceChoice parse_device(std::string_view text) {
  if (text == "auto") return {};
  if (text == "cpu") return {DeviceChoice::Kind::cpu, 0};
  if (text == "cuda") return {DeviceChoice::Kind::cuda, 0};
  if (text.starts_with("cuda:")) {
    const std::string_view digits = text.substr(5);
    int index = 0;
    const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
    if (failed == std::errc() && end == digits.data() + digits.size() && index >= 0) {
      return {DeviceChoice::Kind::cuda, index};
    }
  }
  ErrorParts parts;
  parts.code = Code::config;
  parts.where = "device";
  parts.what = "no such device";
  parts.expected = "auto, cpu, cuda or cuda:N";
  parts.found = "'" + std::string(text) + "'";
  throw Error(parts);
}

std::string to_string(const DeviceChoice& choice) {
  if (choice.kind == DeviceChoice::Kind::automatic) return "auto";
  return choice.kind == DeviceChoice::Kind::cpu ? "cpu" : "cuda:" + std::to_string(choice.index);
}

DeviceChoice device_from_environment() {
  const char* text = std::getenv("MSSBENCH_DEVICE");
  return text == nullptr || *text == '\0' ? DeviceChoice{} : parse_device(text);
}

}  // namespace mss::nn
