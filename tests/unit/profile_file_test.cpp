// SPDX-License-Identifier: Apache-2.0
#include "agent/format/profile_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "agent/base/unique_fd.h"
#include "tests/support/catch.h"

using namespace agent;

namespace {

const std::string kContent = "main 3\n";

std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct Fixture {
  std::filesystem::path folder;

  Fixture() {
    std::string name = (std::filesystem::temp_directory_path() / "agent-file-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    folder = name;
  }
  ~Fixture() { std::filesystem::remove_all(folder); }

  [[nodiscard]] std::string Path(const std::string& name) const { return folder / name; }
  [[nodiscard]] std::size_t Files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "Profile files: checking leaves everything as it is") {
  std::ofstream(Path("a.folded")) << "kept";
  CHECK(CheckProfileFile(Path("a.folded")));
  CHECK(CheckProfileFile(Path("new.folded")));
  CHECK(Read(Path("a.folded")) == "kept");
  CHECK(Files() == 1);
}

TEST_CASE_METHOD(Fixture, "Profile files: what cannot be written is found out before") {
  CHECK_FALSE(CheckProfileFile(Path("missing/a.folded")));
  CHECK(CheckProfileFile(folder).error().code == Errc::kInvalid);
  CHECK(CheckProfileFile(Path("missing/a.folded")).error().Message().find("missing/a.folded") !=
        std::string::npos);
}

TEST_CASE_METHOD(Fixture, "Profile files: written in place of the old one, with nothing beside") {
  std::ofstream(Path("a.folded")) << "old";
  REQUIRE(WriteProfileFile(Path("a.folded"), kContent));
  CHECK(Read(Path("a.folded")) == kContent);
  CHECK(Files() == 1);
  struct stat info{};
  REQUIRE(::stat(Path("a.folded").c_str(), &info) == 0);
  const mode_t mask = ::umask(0);
  ::umask(mask);
  CHECK((info.st_mode & 0777u) == (0644u & ~mask));
}

TEST_CASE_METHOD(Fixture, "Profile files: a link is replaced, what it leads to is not touched") {
  std::ofstream(Path("precious")) << "kept";
  std::filesystem::create_symlink("precious", Path("a.folded"));
  REQUIRE(WriteProfileFile(Path("a.folded"), kContent));
  CHECK(Read(Path("precious")) == "kept");
  CHECK(Read(Path("a.folded")) == kContent);
}

TEST_CASE_METHOD(Fixture, "Profile files: what a killed run left behind does not stop the next") {
  // In a container we always have the same process id, and so the same names.
  for (int i = 0; i < 3; ++i) {
    const std::string left =
        Path("a.folded." + std::to_string(::getpid()) + "-" + std::to_string(i) + ".tmp");
    std::filesystem::create_symlink(Path("precious"), left);
  }
  REQUIRE(CheckProfileFile(Path("a.folded")));
  REQUIRE(WriteProfileFile(Path("a.folded"), kContent));
  CHECK(Read(Path("a.folded")) == kContent);
  CHECK_FALSE(std::filesystem::exists(Path("precious")));
  CHECK(Files() == 4);
}

TEST_CASE_METHOD(Fixture, "Profile files: devices and pipes are written to directly") {
  std::filesystem::create_symlink("/dev/null", Path("null.folded"));
  CHECK(CheckProfileFile(Path("null.folded")));
  CHECK(WriteProfileFile(Path("null.folded"), kContent));
  CHECK(std::filesystem::is_symlink(Path("null.folded")));

  REQUIRE(::mkfifo(Path("pipe.folded").c_str(), 0600) == 0);
  CHECK_FALSE(WriteProfileFile(Path("pipe.folded"), kContent));  // nobody reads: not for ever
  const UniqueFd reader(::open(Path("pipe.folded").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  REQUIRE(WriteProfileFile(Path("pipe.folded"), kContent));
  std::string text(100, '\0');
  const ssize_t size = ::read(reader.get(), text.data(), text.size());
  REQUIRE(size == 7);
  CHECK(text.substr(0, 7) == kContent);
}

TEST_CASE_METHOD(Fixture, "Profile files: a full disk is an error, and leaves nothing") {
  std::filesystem::create_symlink("/dev/full", Path("full.folded"));
  const auto written = WriteProfileFile(Path("full.folded"), kContent);
  REQUIRE_FALSE(written);
  CHECK(written.error().sys_errno == ENOSPC);
}
