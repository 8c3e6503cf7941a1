#include "core/error.h"

#include "core/isa.h"
#include "core/stop.h"
#include "tests/support/catch.h"

using mss::Code;
using mss::Error;
using mss::ErrorParts;

TEST_CASE("error message composes its parts", "[core]") {
  const Error full({Code::format, "song.wav", "truncated", "100 samples", "40", "copy it again"});
  CHECK(std::string(full.what()) == "song.wav: truncated (expected 100 samples, found 40); copy it again");
  CHECK(full.code() == Code::format);
  const Error bare({Code::io, "", "", "", "", ""});
  CHECK(std::string(bare.what()) == "io error");
  const Error outer = full.with_context("track 'X'");
  CHECK(std::string(outer.what()).rfind("track 'X': song.wav: truncated", 0) == 0);
  CHECK(outer.code() == Code::format);
  CHECK(outer.parts().hint == "copy it again");
}

TEST_CASE("error codes have names that read back", "[core]") {
  for (const Code code :
       {Code::invalid_argument, Code::config, Code::io, Code::format, Code::unsupported, Code::dataset,
        Code::checkpoint, Code::method_contract, Code::numeric, Code::cancelled, Code::resource, Code::internal}) {
    CHECK(mss::core::code_from_name(mss::core::code_name(code)) == code);
  }
  CHECK_THROWS_AS(mss::core::code_from_name("nonsense"), Error);
}

TEST_CASE("assertions throw internal errors in every build type", "[core]") {
  CHECK_NOTHROW(MSS_ASSERT(1 + 1 == 2));
  try {
    MSS_ASSERT(1 + 1 == 3);
    FAIL("no exception");
  } catch (const Error& e) {
    CHECK(e.code() == Code::internal);
    CHECK(std::string(e.what()).find("1 + 1 == 3") != std::string::npos);
  }
}

TEST_CASE("stop tokens share one flag", "[core]") {
  mss::core::StopSource source;
  const mss::core::StopToken never, token = source.token(), copy = token;
  CHECK_NOTHROW(copy.check());
  source.request_stop();
  CHECK(token.stop_requested());
  CHECK_NOTHROW(never.check());
  try {
    copy.check();
    FAIL("no exception");
  } catch (const Error& e) {
    CHECK(e.code() == Code::cancelled);
  }
}

TEST_CASE("the active instruction set is one that the processor has", "[core]") {
  CHECK(mss::core::active_isa() <= mss::core::detected_isa());
  CHECK(mss::core::isa_name(mss::core::Isa::avx2) == "avx2");
  CHECK(mss::core::select_isa(0, 1, 2) == static_cast<int>(mss::core::active_isa()));
}

TEST_CASE("denormals are flushed in scope and come back after it", "[core]") {
  volatile float tiny = 1e-38f, factor = 1e-3f;
  {
    const mss::core::FlushDenormals flush;
    volatile float product = tiny * factor;
#if defined(__x86_64__) || defined(__aarch64__)
    CHECK(product == 0.0f);
#endif
  }
  volatile float product = tiny * factor;
  CHECK(product > 0.0f);
}
