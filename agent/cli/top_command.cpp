// SPDX-License-Identifier: Apache-2.0
#include "agent/cli/top_command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdlib>
#include <optional>
#include <thread>
#include <utility>

#include "agent/base/log.h"
#include "agent/cli/exit_status.h"
#include "agent/cli/session_facts.h"
#include "agent/cli/shared_terminal.h"
#include "agent/cli/spy_set.h"
#include "agent/cli/top_screen.h"
#include "agent/process/supervision.h"
#include "agent/report/printable.h"
#include "agent/report/top_view.h"
#include "agent/sampling/sampler.h"
#include "agent/sampling/window_writer.h"

namespace agent {
namespace {

constexpr std::chrono::seconds kWindow{1};
constexpr double kRate = 100;
constexpr std::size_t kMostCommand = 80;  // characters

// The sampler's life. Returns its exit status.
int SampleAndShow(const Settings& settings, const std::vector<std::string>& program,
                  SharedTerminal* terminal, const SamplerStart& start) {
  SpySet spies(settings, {.marks_gil = true});
  const SessionFacts facts(start, "", program);
  TopScreen screen(
      start.output, terminal,
      TopView(fmt::format("{}", static_cast<pid_t>(start.target)),
              Fitted(fmt::format("{}", fmt::join(facts.at_start().command, " ")), kMostCommand),
              spies.functions().Marker("[other stacks]")));
  WindowWriter writer(spies.symbolizer(), {&screen});
  const double rate = settings.sample_rate.value_or(kRate);
  Sampler sampler({.period = Nanoseconds(static_cast<std::int64_t>(1e9 / rate)),
                   .upload_interval = kWindow,
                   .duration = settings.duration,
                   .follow_children = settings.detect_subprocesses},
                  start, spies.factories(), spies.functions(), writer);
  if (start.launcher == Pid{}) {
    if (const Result<void> attached = sampler.AttachFirst(); !attached) {
      LogError("cannot look into process {}: {}", static_cast<pid_t>(start.target),
               attached.error().Message());
      return kFailed;
    }
  }
  screen.Start();
  const SystemClock clock;
  const MonotonicTime begin = clock.Now();
  std::thread([&] { static_cast<void>(sampler.Run()); }).join();
  writer.Finish();
  screen.Finish();
  // A program that was launched for this is not needed any more.
  const bool time_is_over = settings.duration && clock.Now() - begin >= *settings.duration;
  if (start.launcher != Pid{} && time_is_over) {
    screen.AskForTheEnd();
    LogWarn("the time is over: the program has been asked to end, waiting for it");
  }
  return 0;
}

}  // namespace

void RunTop(const Settings& settings, const std::vector<std::string>& program) {
  const Result<SharedTerminal*> terminal = SharedTerminal::Open();
  if (!terminal) {
    LogError("{}", terminal.error().Message());
    std::exit(kFailed);
  }
  const TakenOutput output = *terminal != nullptr ? (*terminal)->Hooks() : TakenOutput{};
  const auto sampler = [&](const SamplerStart& start) {
    return SampleAndShow(settings, program, *terminal, start);
  };
  if (program.empty()) RunConnected(settings.pid, output, sampler);
  RunLaunched(program, {.taken_output = output}, sampler);
}

}  // namespace agent
