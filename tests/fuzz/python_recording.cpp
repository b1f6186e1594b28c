// SPDX-License-Identifier: Apache-2.0
// The Python spy over a recorded process (tests/offline) of which some words are the input's: the
// first byte says which recording, then eleven bytes for each change: page, place in it (two),
// eight bytes.
#include <cstring>
#include <iterator>

#include "spies/python/python_spy.h"
#include "tests/fuzz/target.h"
#include "tests/offline/read_threads.h"
#include "tests/offline/recorded_process.h"

using namespace agent;
using namespace agent::offline;

namespace {

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
  static const auto recordings = ReadRecordings(AGENT_OFFLINE_PYTHON);
  if (input.empty() || recordings.empty()) return;
  Recording recording = std::next(recordings.begin(), std::to_integer<std::ptrdiff_t>(input[0]) %
                                                          std::ssize(recordings))
                            ->second;
  for (std::size_t at = 1; at + 11 <= input.size(); at += 11) {
    Change(input.subspan(at).first<11>(), recording.pages);
  }
  RecordedProcess process(recording);
  FunctionTable functions;
  python::PythonSpyFactory factory(functions);
  const auto spy = factory.Attach(process);
  if (!spy) return;
  for (int time = 0; time < 2; ++time) {
    for (const Recording::Thread& thread : recording.threads) (void)ReadThread(**spy, thread);
  }
}
