// SPDX-License-Identifier: Apache-2.0
#include "uploader/verification.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "agent/base/parse_number.h"
#include "uploader/push_request.h"
#include "uploader/upload_window.h"

namespace agent {
namespace {

using nlohmann::json;

constexpr Nanoseconds kRequestLimit = std::chrono::seconds(10);
constexpr Nanoseconds kReadLimit = std::chrono::seconds(15);
constexpr Nanoseconds kReadEvery = std::chrono::milliseconds(300);
constexpr std::int64_t kCpu = 1'000'000'000;
constexpr std::string_view kType = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
constexpr const char* kMark = "agent_verify";

// What the server shows of the profile.
struct Shown {
  std::int64_t total = 0;
  bool has_function = false;
  Labels labels;
};

std::int64_t AsNumber(const json& value) {
  // 64-bit numbers are texts in protobuf's JSON.
  if (value.is_number_integer()) return value.get<std::int64_t>();
  return value.is_string() ? ParseNumber<std::int64_t>(value.get<std::string>()).value_or(0) : 0;
}

class Verifier {
 public:
  Verifier(const Labels& labels, const VerificationTools& tools)
      : tools_(tools), id_(NewUuid().substr(0, 8)), labels_(labels) {
    labels_.emplace_back(kMark, id_);
    std::ranges::sort(labels_);
  }

  std::vector<VerificationLine> Run(const std::vector<UploadFormat>& formats) {
    const std::optional<UploadFormat> format = Send(formats);
    if (!format) return std::move(lines_);
    if (!ReadBack()) return std::move(lines_);
    CompareLabels();
    Say("query for the UI",
        fmt::format("{}{{service_name=\"{}\"}}", kType, ValueOf("service_name")));
    return std::move(lines_);
  }

 private:
  void Say(std::string what, std::string result, bool good = true) {
    lines_.push_back({.what = std::move(what), .result = std::move(result), .good = good});
  }

  [[nodiscard]] std::string ValueOf(std::string_view name) const {
    const auto found = std::ranges::find(labels_, name, &Labels::value_type::first);
    return found == labels_.end() ? "" : found->second;
  }

  [[nodiscard]] std::string FunctionName() const { return "agent_verify_" + id_; }

  UploadWindow MakeWindow() {
    FunctionTable functions;
    start_ = tools_.clock.WallNow() - std::chrono::seconds(1);
    Profile window(start_, Nanoseconds(0));
    window.set_period(std::chrono::milliseconds(10));
    window.set_duration(std::chrono::seconds(1));
    const Frame frame{.function = functions.Intern(FunctionName(), "", 0), .line = 0};
    window.Add(window.InternStack({&frame, 1}), window.InternThread({}), SampleKind::kCpu, start_,
               {.count = 100, .cpu_ns = kCpu});
    return PackWindow(window, EncodeWindow(window).at(0), std::make_shared<const Labels>(labels_));
  }

  // The format in which it was taken.
  std::optional<UploadFormat> Send(const std::vector<UploadFormat>& formats) {
    const UploadWindow window = MakeWindow();
    Reply reply;
    UploadFormat last = formats.front();
    std::string unknown;
    for (const UploadFormat format : formats) {
      const Result<HttpRequest> request = MakeUploadRequest(window, format);
      if (!request) break;
      last = format;
      reply = tools_.transport.Post(*request, kRequestLimit);
      const Verdict verdict = Judge(reply, format);
      if (verdict == Verdict::kSent) {
        Say("takes profiles", fmt::format("yes, as {}{}", NameOf(format),
                                          unknown.empty() ? "" : ", not as" + unknown));
        return format;
      }
      if (verdict != Verdict::kOtherFormat) break;
      unknown += fmt::format(" {} ({})", NameOf(format), Describe(reply, format));
    }
    std::string text = fmt::format("no: {}", Describe(reply, last));
    if (const std::string_view remedy = Remedy(reply, last); !remedy.empty()) {
      text.append(". ").append(remedy);
    }
    Say("takes profiles", std::move(text), false);
    return std::nullopt;
  }

  // The answer to a call of the query API; a discarded value for none.
  json Query(const std::string& method, json question) {
    const std::int64_t start = start_.time_since_epoch() / std::chrono::milliseconds(1);
    question["start"] = start - 60'000;
    question["end"] = start + 60'000;
    reply_ = tools_.transport.Post({.path = "/querier.v1.QuerierService/" + method,
                                    .content_type = "application/json",
                                    .content_encoding = "",
                                    .body = question.dump()},
                                   kRequestLimit);
    if (reply_.status != 200) return json::value_t::discarded;
    return json::parse(reply_.body, nullptr, false);
  }

  [[nodiscard]] std::string Selector() const { return fmt::format("{{{}=\"{}\"}}", kMark, id_); }

  std::optional<Shown> Ask() {
    const json answer =
        Query("SelectMergeStacktraces", {{"profileTypeID", kType}, {"labelSelector", Selector()}});
    if (!answer.is_object()) return std::nullopt;
    Shown shown;
    const json graph = answer.value("flamegraph", json::object());
    shown.total = AsNumber(graph.value("total", json(0)));
    for (const json& name : graph.value("names", json::array())) {
      shown.has_function |= name == FunctionName();
    }
    return shown;
  }

  // True when it is there.
  bool ReadBack() {
    const MonotonicTime begin = tools_.clock.Now();
    std::optional<Shown> shown;
    while (true) {
      shown = Ask();
      if (!shown || shown->total > 0 || tools_.clock.Now() - begin > kReadLimit) break;
      tools_.sleep(kReadEvery);
    }
    if (!shown) {
      const bool is_absent = reply_.status == 404 || reply_.status == 405;
      Say("gives them back",
          is_absent ? "cannot be asked: it is a receiver without querier.v1, as Alloy's"
                    : "no: " + Describe(reply_, UploadFormat::kPush),
          is_absent);
      return false;
    }
    const double seconds = std::chrono::duration<double>(tools_.clock.Now() - begin).count();
    if (shown->total == 0) {
      Say("gives them back",
          fmt::format("no, not within {:.0f} s: look at the server's log, and at "
                      "its tenants (--tenant-id)",
                      seconds),
          false);
      return false;
    }
    Say("gives them back", fmt::format("yes, after {:.1f} s", seconds));
    const bool is_same = shown->total == kCpu && shown->has_function;
    Say("as they were sent",
        is_same ? "yes"
                : fmt::format("no: 1 s of CPU in one function was sent, {:.3f} s came back{}",
                              static_cast<double>(shown->total) / 1e9,
                              shown->has_function ? "" : ", the function under another name"),
        is_same);
    return true;
  }

  void CompareLabels() {
    const json answer = Query("Series", {{"matchers", json::array({Selector()})}});
    if (!answer.is_object()) return;
    Labels found;
    for (const json& set : answer.value("labelsSet", json::array())) {
      for (const json& label : set.value("labels", json::array())) {
        found.emplace_back(label.value("name", ""), label.value("value", ""));
      }
    }
    std::string changes;
    for (const auto& [name, value] : labels_) {
      const auto same = std::ranges::find(found, name, &Labels::value_type::first);
      if (same == found.end()) {
        changes += fmt::format("{}{} is not there", changes.empty() ? "" : "; ", name);
      } else if (same->second != value) {
        changes += fmt::format("{}{} is \"{}\", was \"{}\"", changes.empty() ? "" : "; ", name,
                               same->second, value);
      }
    }
    Say("labels as they were sent", changes.empty() ? "yes" : "no: " + changes, changes.empty());
  }

  const VerificationTools& tools_;
  const std::string id_;
  Labels labels_;
  WallTime start_;
  Reply reply_;  // of the last query
  std::vector<VerificationLine> lines_;
};

}  // namespace

std::vector<VerificationLine> VerifyServer(const std::vector<UploadFormat>& formats,
                                           const Labels& labels, const VerificationTools& tools) {
  return Verifier(labels, tools).Run(formats);
}

}  // namespace agent
