#include "core/hash.h"

#include "core/error.h"
#include "core/file.h"
#include "tests/support/catch.h"
#include "tests/support/paths.h"

using namespace mss::core;

TEST_CASE("SHA-256 gives the published digests", "[core]") {
  // FIPS 180-4 examples and the million 'a' of NIST's test vectors.
  CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(sha256_hex(std::string(1000000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("SHA-256 does not depend on how the bytes arrive", "[core]") {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += static_cast<char>(i * 7);
  const std::string whole = sha256_hex(text);
  for (const std::size_t step : {1u, 3u, 63u, 64u, 65u, 200u}) {
    Sha256 hash;
    for (std::size_t at = 0; at < text.size(); at += step) hash.update(std::string_view(text).substr(at, step));
    CHECK(hash.hex_digest() == whole);
  }
  const mss::tests::TempDir dir;
  write_file_atomic(dir / "x", text);
  CHECK(sha256_file(dir / "x") == whole);
  CHECK_THROWS_AS(sha256_file(dir / "none"), mss::Error);
}

TEST_CASE("FNV-1a 64 gives the published values", "[core]") {
  CHECK(fnv1a64("") == 0xcbf29ce484222325u);
  CHECK(fnv1a64("a") == 0xaf63dc4c8601ec8cu);
  CHECK(fnv1a64("foobar") == 0x85944171f73967e8u);
  CHECK(fnv1a64("signal/c0") == 11298756339436384873u);
}
