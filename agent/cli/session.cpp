// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/session.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "agent/base/counted.h"
#include "agent/base/log.h"
#include "agent/base/write_all.h"
#include "agent/cli/container_bounds.h"
#include "agent/cli/progress_line.h"
#include "agent/cli/service_labels.h"
#include "agent/cli/session_facts.h"
#include "agent/cli/spy_set.h"
#include "agent/process/cgroup_cpu.h"
#include "agent/process/cgroup_memory.h"
#include "agent/process/cgroup_quota.h"
#include "agent/process/thread_start.h"
#include "agent/profile/frame.h"
#include "agent/report/loss_report.h"
#include "agent/report/run_recorder.h"
#include "agent/report/summary.h"
#include "agent/report/unnamed_report.h"
#include "agent/sampling/sampler.h"
#include "agent/sampling/window_writer.h"
#include "uploader/labels.h"
#include "uploader/metrics.h"
#include "uploader/pull_server.h"
#include "uploader/uploader.h"

namespace agent {
namespace {

// After the program's end the agent adds at most a second; this leaves some of it for the file and
// the summary.
constexpr std::chrono::milliseconds kUploadTimeAtEnd{700};
constexpr double kRateOfAll = 19;
// Of modules with unnamed code; each process has a module of its own for code without a file.
constexpr std::size_t kMostUnnamedLines = 50;

// Tells the keeper how many samples would survive the sampler's death: those in the files, or at
// the server that has the fewest, or in its spool. What was lost on the way has been said.
class SurvivalCounter final : public ProfileSink {
 public:
  /// `uploader`: may be null. All outlive it.
  SurvivalCounter(SharedPage& page, const RunRecorder& recorder, const Uploader* uploader)
      : page_(page), recorder_(recorder), uploader_(uploader), inherited_(Settled()) {}

  /// After the others have written `window`.
  void Write(const Profile&) override {
    std::uint64_t survive = recorder_.saved_samples();
    const std::vector<std::uint64_t> settled = Settled();
    std::uint64_t fewest = std::numeric_limits<std::uint64_t>::max();
    for (std::size_t i = 0; i < settled.size(); ++i) {
      fewest = std::min(fewest, settled[i] - inherited_[i]);
    }
    if (!settled.empty()) survive = std::max(survive, fewest);
    page_.samples_delivered.store(survive, std::memory_order_relaxed);
  }

 private:
  // By server.
  [[nodiscard]] std::vector<std::uint64_t> Settled() const {
    std::vector<std::uint64_t> samples;
    if (uploader_ == nullptr) return samples;
    for (const ServerCounters& server : uploader_->Counters()) {
      const UploadCounters& counters = server.counters;
      samples.push_back(counters.sent.samples + counters.AllLost().samples +
                        counters.unknown.samples + counters.spooled.samples);
    }
    return samples;
  }

  SharedPage& page_;
  const RunRecorder& recorder_;
  const Uploader* uploader_;
  const std::vector<std::uint64_t> inherited_;  // what earlier runs left in the spool
};

SamplerOptions OptionsOf(const Settings& settings, const MemoryBounds& bounds) {
  const auto default_rate = [&] { return RateWithin(ReadCpuQuota(FindCpuStat(Pid{::getpid()}))); };
  const bool all = settings.choice && settings.choice->IsAll();
  const double rate = settings.sample_rate.value_or(all ? kRateOfAll : default_rate());
  return {.period = Nanoseconds(static_cast<std::int64_t>(1e9 / rate)),
          .upload_interval = settings.upload_interval,
          .duration = settings.duration,
          .follow_children = settings.detect_subprocesses,
          .choice = settings.choice ? &*settings.choice : nullptr,
          .always_stop = settings.blocking,
          .wall = settings.wall,
          .kernel = settings.kernel,
          .window_bytes = bounds.window};
}

// A run that was begun by an earlier sampler, which died, has its files already.
std::vector<RunFile> FilesOf(const SessionPlan& plan, const SamplerStart& start) {
  std::vector<RunFile> files = plan.outputs;
  if (!start.restarted) return files;
  for (RunFile& file : files) {
    file.path.insert(file.path.find_last_of('/') + 1, fmt::format("restarted-{}-", ::getpid()));
  }
  return files;
}

// Where the profile went, and the next command worth knowing.
std::string WrittenLine(const RunFile& file) {
  std::string text = fmt::format("agent: profile written to {}", file.path);
  if (file.format == FileFormat::kHtml) {
    text += "; open it in a browser";
  } else if (file.format == FileFormat::kPprof) {
    std::string page = file.path;
    for (const std::string_view ending : {".pb.gz", ".pprof"}) {
      if (page.ends_with(ending)) page.resize(page.size() - ending.size());
    }
    text += fmt::format("; to look at it: agent report {} -o {}.html", file.path, page);
  }
  return text + "\n";
}

void SayUpload(const ServerCounters& server, bool is_only) {
  const UploadCounters& counters = server.counters;
  const std::string to = is_only ? "the server" : server.server;
  const Tally lost = counters.AllLost();
  const std::string unknown =
      fmt::format("{} with {}", Counted(counters.unknown.windows, "profile"),
                  Counted(counters.unknown.samples, "sample"));
  if (lost.windows > 0) {
    LogWarn("{} with {} did not reach {}, {} did: {} ({}{})", Counted(lost.windows, "profile"),
            Counted(lost.samples, "sample"), to, counters.sent.windows, counters.last_error,
            LossCauses(counters),
            counters.unknown.windows > 0 ? "; " + unknown + " went there without an answer" : "");
  } else if (counters.unknown.windows > 0) {
    LogWarn("{} went to {}, which did not answer, {} did reach it: {}", unknown, to,
            counters.sent.windows, counters.last_error);
  }
  if (counters.kept.windows > 0) {
    LogWarn("{} with {} for {} stay in the spool: {}", Counted(counters.kept.windows, "profile"),
            Counted(counters.kept.samples, "sample"), to, counters.last_error);
  }
  LogInfo("{}: {} with {} sent, {} tried again, {} merged into others", to,
          Counted(counters.sent.windows, "profile"), Counted(counters.sent.samples, "sample"),
          counters.retried, counters.merged);
}

void SayUnnamed(std::span<const UnnamedCode> unnamed) {
  for (const UnnamedCode& code : unnamed.first(std::min(unnamed.size(), kMostUnnamedLines))) {
    LogDebug("{}", DescribeUnnamed(code));
  }
  if (unnamed.size() > kMostUnnamedLines) {
    LogDebug("and {} more modules with code without a name", unnamed.size() - kMostUnnamedLines);
  }
}

// Without these nothing can be done.
Result<void> CheckSurroundings() {
  // Of another PID namespace it has no entry for us.
  if (::access("/proc/self/stat", R_OK) != 0) {
    return Fail(Errc::kUnreadable, "there is no /proc that shows this process; mount one");
  }
  return EnsureThreadsStart();
}

// With --all each service is a series of its own, unless the user has named them all.
std::shared_ptr<ServiceLabels> ServicesOf(const Settings& settings) {
  if (!settings.choice || !settings.choice->IsAll() || !settings.application_name.empty()) {
    return nullptr;
  }
  Labels node;
  for (const auto& label : FindPlace([](const char* name) { return std::getenv(name); })) {
    if (label.first == "node" || label.first == "hostname") node.push_back(label);
  }
  node.insert(node.end(), settings.tags.begin(), settings.tags.end());
  return std::make_shared<ServiceLabels>(node);
}

Labels LabelsOf(const SessionPlan& plan) {
  Labels place = FindPlace([](const char* name) { return std::getenv(name); });
  if (plan.settings.tag_pid) place.emplace_back("pid", "");  // room for each process's own
  return MakeLabels(plan.application_name, plan.settings.tags, place);
}

// Null: all processes are in the run's own series, `labels`.
std::function<std::shared_ptr<const Labels>(Pid)> LabelsByProcess(const Settings& settings,
                                                                  const Labels& labels) {
  const std::shared_ptr<ServiceLabels> services = ServicesOf(settings);
  if (!services && !settings.tag_pid) return nullptr;
  return [services, labels, tag_pid = settings.tag_pid](Pid process) {
    auto of_service = services ? services->Of(process) : nullptr;
    if (!tag_pid) return of_service;
    return WithPid(of_service ? *of_service : labels, process);
  };
}

std::unique_ptr<Uploader> StartUploader(const Settings& settings, const Labels& labels,
                                        const MemoryBounds& bounds) {
  UploadOptions options;
  options.servers = settings.servers;
  options.labels = labels;
  // What belongs to no process that was seen.
  if (settings.tag_pid)
    std::erase_if(options.labels, [](auto& label) { return label.first == "pid"; });
  options.formats = settings.upload_formats;
  options.http = settings.http;
  options.threads = settings.threads;
  options.spool = settings.spool;
  options.queue_bytes = bounds.queue;
  return Uploader::Start(options);
}

// Null when it was not asked for, or the address cannot be had.
std::unique_ptr<PullServer> StartPullServer(const Settings& settings, const SamplerOptions& options,
                                            const SharedPage& page, const Uploader* uploader) {
  if (!settings.listen) return nullptr;
  PullServer::Hooks hooks;
  hooks.cut_window = [flag = options.cut_window] { flag->store(true); };
  hooks.metrics = [&page, uploader] {
    return FormatMetrics(
        page.samples_taken.load(std::memory_order_relaxed),
        uploader != nullptr ? uploader->Counters() : std::vector<ServerCounters>());
  };
  hooks.threads = settings.threads;
  Result<std::unique_ptr<PullServer>> server =
      PullServer::Start(*settings.listen, std::move(hooks));
  if (!server) {
    LogWarn("{} (--listen); the program is profiled all the same", server.error().Message());
    return nullptr;
  }
  LogInfo("profiles and metrics are served at http://{}", (*server)->Place());
  return *std::move(server);
}

// Of `connect`: the program that `exec` runs has the terminal. Null: none.
std::unique_ptr<ProgressLine> ShowProgress(const SessionPlan& plan, const SamplerStart& start) {
  if (start.launcher != Pid{} || plan.settings.quiet || plan.settings.no_logging) return nullptr;
  const MonotonicTime begin = SystemClock().Now();
  return std::make_unique<ProgressLine>([begin, page = start.page, limit = plan.settings.duration] {
    const auto seconds = [](Nanoseconds time) {
      return std::chrono::duration_cast<std::chrono::seconds>(time).count();
    };
    return fmt::format("{} s{}, {} samples; Ctrl-C ends it", seconds(SystemClock().Now() - begin),
                       limit ? fmt::format(" of {}", seconds(*limit)) : "",
                       page->samples_taken.load(std::memory_order_relaxed));
  });
}

void WriteToStderr(std::string_view text) { static_cast<void>(WriteAll(STDERR_FILENO, text)); }

}  // namespace

int RunSession(const SessionPlan& plan, const SamplerStart& start) {
  if (const Result<void> possible = CheckSurroundings(); !possible) {
    LogError("nothing is profiled: {}", possible.error().Message());
    return 1;
  }
  const SystemClock clock;
  SpySet spies(plan.settings);
  const std::vector<RunFile> files_of_run = FilesOf(plan, start);
  const SessionFacts facts(start, plan.application_name, plan.command);
  const MemoryBounds bounds = BoundsWithin(ReadMemoryLimit());
  RunRecorder recorder(files_of_run, facts.at_start(), clock,
                       spies.functions().Marker("[other stacks]"), bounds.run);
  std::unique_ptr<Uploader> uploader;
  std::vector<ProfileSink*> sinks = {&recorder};
  SamplerOptions options = OptionsOf(plan.settings, bounds);
  if (!plan.settings.servers.empty()) {
    const Labels labels = LabelsOf(plan);
    uploader = StartUploader(plan.settings, labels, bounds);
    sinks.insert(sinks.begin(), uploader.get());
    options.labels_of = LabelsByProcess(plan.settings, labels);
  }
  const std::unique_ptr<PullServer> pull =
      StartPullServer(plan.settings, options, *start.page, uploader.get());
  if (pull) sinks.push_back(pull.get());
  SurvivalCounter survival(*start.page, recorder, uploader.get());
  sinks.push_back(&survival);
  WindowWriter writer(spies.symbolizer(), sinks);
  Sampler sampler(options, start, spies.factories(), spies.functions(), writer);
  if (start.launcher == Pid{}) {
    if (const Result<void> attached = sampler.AttachFirst(); !attached) {
      LogError("cannot profile {}: {}",
               plan.settings.choice ? plan.settings.choice->Shown()
                                    : fmt::format("process {}", static_cast<pid_t>(start.target)),
               attached.error().Message());
      return 1;
    }
  }
  std::unique_ptr<ProgressLine> progress = ShowProgress(plan, start);
  SamplerReport report;
  // A thread of its own: as it ends the kernel lets go all that is still attached to it, however
  // long the writing takes.
  std::thread([&] { report = sampler.Run(); }).join();
  progress.reset();
  writer.Finish();
  const RunFacts all_facts = facts.AtEnd(report, spies.symbolizer().unnamed());
  if (uploader) uploader->BeginEnd(report.finish_ordered + kUploadTimeAtEnd);
  const std::vector<Result<void>> written = recorder.Finish(all_facts);
  for (const Result<void>& result : written) {
    if (!result) LogError("the profile was not written: {}", result.error().Message());
  }
  // Who waits for a profile gets what there is.
  if (pull) pull->Finish(report.finish_ordered + kUploadTimeAtEnd);
  std::vector<ServerCounters> counters;
  if (uploader) counters = uploader->Finish(report.finish_ordered + kUploadTimeAtEnd);
  if (const Profile* run = recorder.run()) {
    if (plan.summary) {
      WriteToStderr(FormatSummary(*run, all_facts, {.prefix = "agent: "}));
      for (std::size_t i = 0; i < written.size(); ++i) {
        if (written[i]) WriteToStderr(WrittenLine(files_of_run[i]));
      }
    }
    for (const std::string& line : LossLines(run->losses(), run->Total().count)) {
      LogWarn("{}", line);
    }
  }
  SayUnnamed(all_facts.unnamed);
  for (const ServerCounters& server : counters) SayUpload(server, counters.size() == 1);
  if (report.first_sample) {
    LogInfo("the first sample was taken {} us after the start",
            report.first_sample->count() / 1000);
  }
  if (report.pauses.count() > 0) {
    LogInfo("{} threads were stopped for a moment: median {} us, 99 % {} us, longest {} us",
            report.pauses.count(), report.pauses.Quantile(0.5).count() / 1000,
            report.pauses.Quantile(0.99).count() / 1000, report.pauses.max().count() / 1000);
  }
  return 0;
}

}  // namespace agent
