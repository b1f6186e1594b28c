// SPDX-License-Identifier: Apache-2.0
// The Python spy over a recorded process (tests/offline) of which some words are the input's: the
// first byte says which recording, then eleven bytes for each change: page, place in it (two),
// eight bytes.
#include <algorithm>
#include <cstring>
#include <filesystem>

#include "spies/python/python_spy.h"
#include "tests/fuzz/target.h"
#include "tests/offline/read_threads.h"
#include "tests/offline/recording.h"

using namespace agent;
using namespace agent::offline;

namespace {

std::vector<Recording> ReadRecordings() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(AGENT_OFFLINE_PYTHON)) {
    paths.push_back(entry.path());
  }
  std::ranges::sort(paths);
  std::vector<Recording> recordings;
  for (const auto& path : paths) {
    if (Result<Recording> recording = ReadRecordingFile(path)) {
      recordings.push_back(*std::move(recording));
    }
  }
  return recordings;
}

void Change(std::span<const std::byte, 11> change, Pages& pages) {
  std::uint16_t place = 0;
  std::memcpy(&place, change.data() + 1, sizeof(place));
  const auto page = std::next(
      pages.begin(),
      static_cast<std::ptrdiff_t>(std::to_integer<std::size_t>(change[0]) % pages.size()));
  std::memcpy(page->second.data() + place % (kPage - 7), change.data() + 3, 8);
}

}  // namespace

AGENT_FUZZ_TARGET(python_recording) {
  static const std::vector<Recording> recordings = ReadRecordings();
  if (input.empty() || recordings.empty()) return;
  Recording recording = recordings[std::to_integer<std::size_t>(input[0]) % recordings.size()];
  for (std::size_t at = 1; at + 11 <= input.size(); at += 11) {
    Change(input.subspan(at).first<11>(), recording.pages);
  }
  RecordedProcess process(recording);
  FunctionTable functions;
  python::PythonSpyFactory factory(functions);
  const auto spy = factory.Attach(process);
  if (!spy) return;
  for (int time = 0; time < 2; ++time) {
    for (const Recording::Thread& thread : recording.threads) (void)ReadThread(**spy, thread.tid);
  }
}
