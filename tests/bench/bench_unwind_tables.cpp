// SPDX-License-Identifier: Apache-2.0
// How fast unwind tables are compiled, and how large they are. usage: bench_unwind_tables FILE...
#include <fcntl.h>
#include <fmt/format.h>

#include "agent/base/clock.h"
#include "agent/elf/elf_file.h"
#include "spies/unwind/unwind_table.h"

int main(int argc, char** argv) {
  using namespace agent;
  const SystemClock clock;
  fmt::print("{:>9} {:>9} {:>9} {:>8} {:>8} {:>10} {:>7}  file\n", "text MB", "frame MB", "rows",
             "rules", "table MB", "KB/MB text", "MB/s");
  for (int i = 1; i < argc; ++i) {
    auto elf = ElfFile::Open(UniqueFd(::open(argv[i], O_RDONLY | O_CLOEXEC)));
    if (!elf) continue;
    double text = 0;
    for (const ElfSegment& segment : elf->load_segments()) {
      if (segment.executable) text += static_cast<double>(segment.file_size) / 1e6;
    }
    const auto section = elf->ReadSection(".eh_frame");
    if (!section || text <= 0) continue;
    const double bytes = static_cast<double>(section->bytes.size()) / 1e6;
    Nanoseconds best{std::chrono::hours(1)};
    Result<unwind::UnwindTable> table = Fail(Errc::kInvalid, "not compiled");
    for (int round = 0; round < 5; ++round) {
      const MonotonicTime begin = clock.Now();
      table = unwind::UnwindTable::Compile(*elf);
      best = std::min(best, Nanoseconds(clock.Now() - begin));
    }
    if (!table) continue;
    const double megabytes = static_cast<double>(table->bytes()) / 1e6;
    fmt::print("{:9.2f} {:9.2f} {:9} {:8} {:8.2f} {:10.1f} {:7.0f}  {}\n", text, bytes,
               table->rows(), table->rules(), megabytes, megabytes * 1000 / text,
               bytes / (static_cast<double>(best.count()) / 1e9), argv[i]);
  }
}
