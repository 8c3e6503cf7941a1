// Entry points for fuzzers: one per reader of foreign bytes, each with the signature of LLVMFuzzerTestOneInput. An
// input may be refused with mss::Error; anything else that happens (another exception, a wrong promise, a sanitizer's
// report) is a defect.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace mss::tests {

/// Thrown when a reader breaks a promise of its header.
struct BrokenPromise : std::logic_error {
  using std::logic_error::logic_error;
};

/// How many inputs were refused with mss::Error: a fuzzer whose inputs are all refused tests little.
inline std::uint64_t refused_inputs = 0;

inline void promise(bool kept, const char* what) {
  if (!kept) throw BrokenPromise(what);
}

}  // namespace mss::tests

extern "C" {
int mssbench_fuzz_safetensors(const std::uint8_t* data, std::size_t size);
int mssbench_fuzz_pytorch(const std::uint8_t* data, std::size_t size);
int mssbench_fuzz_pickle(const std::uint8_t* data, std::size_t size);
int mssbench_fuzz_toml(const std::uint8_t* data, std::size_t size);    ///< a document, and that as a plan
int mssbench_fuzz_recipe(const std::uint8_t* data, std::size_t size);  ///< a training recipe, read, written, read again
int mssbench_fuzz_events(const std::uint8_t* data, std::size_t size);  ///< a TensorBoard event file
int mssbench_fuzz_records(const std::uint8_t* data, std::size_t size);  ///< a records.jsonl
int mssbench_fuzz_museval(const std::uint8_t* data, std::size_t size);
int mssbench_fuzz_configuration(const std::uint8_t* data,
                                std::size_t size);                    ///< what a weights file says of its network
int mssbench_fuzz_audio(const std::uint8_t* data, std::size_t size);  ///< wav, mp4, playlists: probed and read
}

/// With libFuzzer (clang -fsanitize=fuzzer) a file compiled with MSSBENCH_LIBFUZZER is a fuzzer by itself.
#ifdef MSSBENCH_LIBFUZZER
#define MSSBENCH_FUZZ_TARGET(function) \
  extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) { return function(data, size); }
#else
#define MSSBENCH_FUZZ_TARGET(function)
#endif
