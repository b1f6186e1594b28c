// SPDX-License-Identifier: Apache-2.0
#include "agent/process/held_output.h"

#include <fcntl.h>
#include <unistd.h>

#include "agent/base/write_all.h"
#include "tests/support/catch.h"

using namespace agent;

TEST_CASE("Held output: the end is kept, and how much is not is said") {
  Result<HeldOutput> held = HeldOutput::Open();
  REQUIRE(held);
  held->Take();  // nothing: it does not wait
  CHECK(held->Text().empty());
  REQUIRE(WriteAll(held->write_end(), "some\xff words\n"));
  held->Take();
  CHECK(held->Text() == "some\xff words\n");
  const std::string block(4096, 'x');
  for (std::size_t i = 0; i < 3 * HeldOutput::kMostBytes / block.size(); ++i) {
    REQUIRE(WriteAll(held->write_end(), block));
    held->Take();
  }
  REQUIRE(WriteAll(held->write_end(), "end"));
  held->Take();
  const std::string text = held->Text();
  CHECK(text.starts_with("agent: 2097167 bytes of the program's output are left out here\n"));
  CHECK(text.ends_with("xend"));
  CHECK(text.size() <= HeldOutput::kMostBytes + 100);
  held->CloseWriteEnd();
  held->Take();
  CHECK(held->read_end() == -1);
  held->TakeAll();
  CHECK(held->Text() == text);
}

TEST_CASE("Held output: at the end all that a large pipe holds is taken") {
  Result<HeldOutput> held = HeldOutput::Open();
  REQUIRE(held);
  held->TakeAll();
  CHECK(held->Text().empty());
  constexpr int kSize = 1 << 18;
  REQUIRE(::fcntl(held->write_end(), F_SETPIPE_SZ, kSize) >= kSize);
  const std::string written = std::string(kSize - 4, 'x') + "end\n";
  REQUIRE(WriteAll(held->write_end(), written));
  held->TakeAll();
  CHECK(held->Text() == written);
}
