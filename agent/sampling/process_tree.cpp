// SPDX-License-Identifier: Apache-2.0
#include "agent/sampling/process_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "agent/base/parse_number.h"
#include "agent/process/task_stat.h"

namespace agent {
namespace {

constexpr int kMaxExamined = 256;  // newborn tasks a call: 5 ms at most
constexpr int kTriesForMissing = 5;
// Between two looks at the newest id: at high rates each would cost as much as half a sample.
constexpr std::chrono::milliseconds kShortestLook{4};
// Catches what the look at newborn tasks could miss: a child whose parent was not known yet.
constexpr std::chrono::seconds kFullLook{2};
// At all processes: 10 us for each.
constexpr std::chrono::milliseconds kChoiceLook{800};

Result<TaskPlace> ReadTaskPlace(pid_t id) {
  AGENT_TRY(const std::string status, ReadProcFile(fmt::format("/proc/{}/status", id)));
  return ParseTaskPlace(status);
}

}  // namespace

ProcessTree::ProcessTree(Pid root, Pid adopter, bool follow_children, const ProcessChoice* choice)
    : root_(root), adopter_(adopter), follow_children_(follow_children), choice_(choice) {}

std::optional<pid_t> ProcessTree::ReadNewestId() {
  std::array<char, 128> buffer;  // NOLINT: Read fills it
  const Result<std::string_view> text = loadavg_.Read(buffer);
  if (!text) return std::nullopt;
  std::string_view line = *text;
  if (line.ends_with('\n')) line.remove_suffix(1);
  return ParseNumber<pid_t>(line.substr(line.find_last_of(' ') + 1));
}

std::vector<ProcessTree::Task> ProcessTree::Threads(Pid process) {
  std::vector<Task> found;
  for (const pid_t tid : NumbersIn(fmt::format("/proc/{}/task", static_cast<pid_t>(process)))) {
    const Result<TaskPlace> place = ReadTaskPlace(tid);
    if (place && place->process == process) found.push_back({process, Tid{tid}, place->inner_tid});
  }
  return found;
}

void ProcessTree::AddMember(Pid process, std::vector<Task>& found) {
  if (members_.contains(process)) return;
  if (choice_ != nullptr && ProcessChoice::IsAgent(process)) return;
  members_.insert(process);
  const std::vector<Task> threads = Threads(process);
  found.insert(found.end(), threads.begin(), threads.end());
}

// False when the task cannot be seen (yet, or any more).
bool ProcessTree::Examine(pid_t id, std::vector<Task>& found) {
  const Result<TaskPlace> place = ReadTaskPlace(id);
  if (!place) return false;
  if (members_.contains(place->process)) {
    found.push_back({place->process, Tid{id}, place->inner_tid});
  } else if (follow_children_ && static_cast<pid_t>(place->process) == id &&
             (members_.contains(place->parent) ||
              (adopter_ != Pid{} && place->parent == adopter_))) {
    AddMember(place->process, found);
  }
  return true;
}

void ProcessTree::LookAtAllChildren(std::vector<Task>& found) {
  if (!follow_children_) return;
  std::vector<Pid> parents(members_.begin(), members_.end());
  if (adopter_ != Pid{}) parents.push_back(adopter_);
  std::unordered_set<Pid> unreaped;
  for (std::size_t i = 0; i < parents.size(); ++i) {
    // Only of the main thread: a child of another thread is found when it is born.
    const auto id = static_cast<pid_t>(parents[i]);
    const Result<std::string> text = ReadProcFile(fmt::format("/proc/{}/task/{}/children", id, id));
    if (!text) continue;
    std::string_view rest = *text;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find(' '), rest.size());
      const auto child = ParseNumber<pid_t>(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
      if (!child || members_.contains(Pid{*child})) continue;
      if (ended_.contains(Pid{*child}) && !IsAlive(Pid{*child})) {
        unreaped.insert(Pid{*child});
        continue;
      }
      AddMember(Pid{*child}, found);
      parents.push_back(Pid{*child});
    }
  }
  ended_ = std::move(unreaped);
}

void ProcessTree::LookAtAllProcesses(std::vector<Task>& found) {
  for (const pid_t id : NumbersIn("/proc")) {
    const Pid process{id};
    if (members_.contains(process) || !choice_->Wants(process) || !IsAlive(process)) continue;
    AddMember(process, found);
  }
}

void ProcessTree::Forget(Pid process) {
  members_.erase(process);
  ended_.insert(process);
}

std::vector<ProcessTree::Task> ProcessTree::Update(MonotonicTime now) {
  std::vector<Task> found;
  if (started_ && now - last_look_ < kShortestLook) return found;
  last_look_ = now;
  const std::optional<pid_t> newest = ReadNewestId();
  if (!started_) {
    started_ = true;
    newest_ = newest.value_or(0);
    if (root_ != Pid{}) AddMember(root_, found);
    if (choice_ != nullptr) LookAtAllProcesses(found);
    LookAtAllChildren(found);
    last_full_look_ = now;
    last_choice_ = now;
    return found;
  }
  if (choice_ != nullptr && now - last_choice_ >= kChoiceLook) {
    last_choice_ = now;
    LookAtAllProcesses(found);
  }
  const bool newborn = newest && *newest != newest_;
  if (!newborn && missing_.empty() && !born_since_full_look_) return found;
  std::erase_if(missing_, [&](Missing& missing) {
    return Examine(missing.id, found) || --missing.tries_left <= 0;
  });
  if (newborn) {
    born_since_full_look_ = true;
    if (*newest < newest_) newest_ = 0;  // the ids have started again from the bottom
    const pid_t last = std::min(*newest, newest_ + kMaxExamined);
    for (pid_t id = newest_ + 1; id <= last; ++id) {
      if (!Examine(id, found) && id > *newest - kTriesForMissing) {
        missing_.push_back({id, kTriesForMissing});
      }
    }
    newest_ = last;
  }
  if (born_since_full_look_ && now - last_full_look_ >= kFullLook) {
    last_full_look_ = now;
    born_since_full_look_ = false;
    LookAtAllChildren(found);
  }
  return found;
}

}  // namespace agent
