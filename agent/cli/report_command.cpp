// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/report_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/write_all.h"
#include "agent/cli/exit_status.h"
#include "agent/cli/progress_line.h"
#include "agent/format/loaded_profile.h"
#include "agent/report/diff_report.h"
#include "agent/report/facts_json.h"
#include "agent/report/page_encoder.h"
#include "agent/report/summary.h"

namespace agent {
namespace {

constexpr std::size_t kMostFunctions = 30;

struct FileRun {
  std::unique_ptr<LoadedProfile> loaded;
  RunFacts facts;
};

Result<FileRun> Load(const std::string& path) {
  FileRun run;
  AGENT_TRY(run.loaded, LoadProfile(path));
  run.facts.name = path;
  if (!ReadFactsJson(run.loaded->facts, run.facts, run.loaded->profile.losses()) &&
      !run.loaded->facts.empty()) {
    LogWarn("{}: what it says of its run cannot be read", path);
  }
  return run;
}

bool HasTimes(const LoadedProfile& loaded) {
  const SampleValue total = loaded.profile.Total();
  return total.cpu_ns > 0 || total.wall_ns > 0;
}

// False, with a line, when there is nothing of what the user asked to see.
bool Has(const FileRun& run, const Measure& measure, const std::string& path) {
  if (measure.value == nullptr || run.loaded->profile.Total().*measure.value > 0) return true;
  LogError("{} has no {}: choose something else (--by cpu, wall or samples)", path,
           measure.value == kSampleCount.value ? "samples" : fmt::format("{} time", measure.name));
  return false;
}

// What `report` does at the moment, for its progress line.
class Progress {
 public:
  void Say(std::string doing) {
    const std::lock_guard lock(mutex_);
    doing_ = std::move(doing);
  }

 private:
  std::string Text() {
    const std::lock_guard lock(mutex_);
    const Nanoseconds passed = SystemClock().Now() - begin_;
    return fmt::format("{} s: {}", std::chrono::duration_cast<std::chrono::seconds>(passed).count(),
                       doing_);
  }

  const MonotonicTime begin_ = SystemClock().Now();
  std::mutex mutex_;
  std::string doing_;
  ProgressLine line_{[this] { return Text(); }};  // the last: its thread uses the others
};

Result<FileRun> LoadAll(const std::vector<std::string>& paths, Progress& progress) {
  progress.Say(fmt::format("reading {}", paths.front()));
  AGENT_TRY(FileRun sum, Load(paths.front()));
  for (std::size_t i = 1; i < paths.size(); ++i) {
    progress.Say(fmt::format("reading {} ({} of {})", paths[i], i + 1, paths.size()));
    AGENT_TRY(const FileRun more, Load(paths[i]));
    if (HasTimes(*sum.loaded) != HasTimes(*more.loaded)) {
      return std::unexpected(Error{
          Errc::kInvalid, "one file tells times, the other samples only: they cannot be added up",
          0, fmt::format("{}, {}", paths.front(), paths[i])});
    }
    SampleValue total = sum.loaded->profile.Total();
    AGENT_CHECK_OK(AddWithinLimit(total, more.loaded->profile.Total()));
    AddProfile(*sum.loaded, *more.loaded);
    sum.facts = {};
    sum.facts.name = fmt::format("{} profiles", paths.size());
  }
  return sum;
}

int Fail(const Error& error) {
  LogError("{}", error.Message());
  return kFailed;
}

// A reader that has seen enough (`agent report x | head`) is no fault.
int Print(std::string_view text) {
  if (WriteAll(STDOUT_FILENO, text) || errno == EPIPE) return 0;
  return Fail(ErrnoError("cannot write to stdout"));
}

CompareBy ComparedBy(const Measure& measure) {
  if (measure.value == kSampleCount.value) return CompareBy::kCount;
  return measure.value == &SampleValue::wall_ns ? CompareBy::kWall : CompareBy::kCpu;
}

}  // namespace

int RunReport(const std::vector<std::string>& files, const Settings& settings,
              const std::vector<RunFile>& outputs) {
  if (settings.measure.value != nullptr && !outputs.empty() && !settings.text) {
    LogError("--by is for the table: leave out -o, or add --text");
    return kUsageError;
  }
  std::optional<Progress> progress(std::in_place);
  const Result<FileRun> run = LoadAll(files, *progress);
  if (!run) return Fail(run.error());
  if (!Has(*run, settings.measure, files.front())) return kUsageError;
  for (const RunFile& file : outputs) {
    progress->Say(fmt::format("writing {}", file.path));
    const Result<void> written = WriteRunFile(file, run->loaded->profile, run->facts);
    if (!written) return Fail(written.error());
  }
  progress.reset();
  if (!outputs.empty() && !settings.text) return 0;
  return Print(
      FormatSummary(run->loaded->profile, run->facts,
                    {.prefix = "", .max_functions = kMostFunctions, .measure = settings.measure}));
}

int RunDiff(const std::vector<std::string>& files, const Settings& settings,
            const std::vector<RunFile>& outputs) {
  for (const RunFile& file : outputs) {
    if (file.format == FileFormat::kHtml) continue;
    LogError("a comparison can be written as a page only (-o FILE.html): {}", file.path);
    return kUsageError;
  }
  const Result<FileRun> before = Load(files[0]);
  if (!before) return Fail(before.error());
  const Result<FileRun> after = Load(files[1]);
  if (!after) return Fail(after.error());
  Measure measure = settings.measure;
  if (measure.value == nullptr) measure = MainMeasure(after->loaded->profile.Total());
  if (!Has(*before, measure, files[0]) || !Has(*after, measure, files[1])) return kUsageError;
  for (const RunFile& file : outputs) {
    const std::string page =
        EncodeDiffPage({before->loaded->profile, before->facts},
                       {after->loaded->profile, after->facts}, ComparedBy(measure));
    const Result<void> written = WriteProfileFile(file.path, page);
    if (!written) return Fail(written.error());
  }
  if (!outputs.empty() && !settings.text) return 0;
  return Print(FormatDiff(before->loaded->profile, after->loaded->profile, measure));
}

}  // namespace agent
