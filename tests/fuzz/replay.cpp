// SPDX-License-Identifier: Apache-2.0
// usage: fuzz_replay TARGET FOLDER: runs every file of the folder through the target. Status 1 when
// there is no such target or no file; a fault ends it as a sanitizer or the kernel does.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "tests/fuzz/target.h"

namespace agent::fuzz {
namespace {

std::map<std::string, Target>& Targets() {
  static std::map<std::string, Target> targets;
  return targets;
}

std::vector<std::byte> ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

int Replay(const std::string& name, const std::string& folder) {
  const auto target = Targets().find(name);
  if (target == Targets().end()) {
    std::fprintf(stderr, "no target %s\n", name.c_str());
    return 1;
  }
  std::error_code error;
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    paths.push_back(entry.path());
  }
  std::ranges::sort(paths);
  for (const auto& path : paths) {
    std::printf("%s\n", path.c_str());
    std::fflush(stdout);  // The last name is that of the file that failed.
    // In memory of just its size: a read past the end is seen.
    const std::vector<std::byte> bytes = ReadFile(path);
    target->second(bytes);
  }
  std::printf("%s: %zu files\n", name.c_str(), paths.size());
  return paths.empty() ? 1 : 0;
}

}  // namespace

Registration::Registration(const char* name, Target target) { Targets().emplace(name, target); }

}  // namespace agent::fuzz

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: fuzz_replay TARGET FOLDER\n");
    return 2;
  }
  return agent::fuzz::Replay(argv[1], argv[2]);
}
