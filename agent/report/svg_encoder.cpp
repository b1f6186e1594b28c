// SPDX-License-Identifier: Apache-2.0
#include "agent/report/svg_encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/utf8.h"
#include "agent/profile/measure.h"
#include "agent/report/printable.h"

namespace agent {
namespace {

constexpr double kWidth = 1200;
constexpr double kMargin = 10;
constexpr double kTop = 44;
constexpr double kRow = 18;
constexpr double kNarrowest = 0.33;
constexpr double kCharacter = 6.7;  // of the 11 px monospaced font
constexpr std::size_t kMostRows = 200;

struct Node {
  std::int64_t value = 0;
  std::map<std::string_view, Node> callees;  // by name
};

Node TreeOf(const Profile& profile, const Measure& measure) {
  Node root;
  for (const Profile::Entry& entry : profile.Entries()) {
    const std::int64_t value = entry.value.*measure.value;
    root.value += value;
    Node* node = &root;
    const std::span<const Frame> frames = profile.StackFrames(entry.key.stack);
    for (std::size_t row = 0; row < std::min(frames.size(), kMostRows); ++row) {
      node = &node->callees[frames[frames.size() - 1 - row].function->name];
      node->value += value;
    }
  }
  return root;
}

std::string Escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '&':
        escaped += "&amp;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

// The first characters that fit, "" where there is no room for three.
std::string Label(const std::string& name, double width) {
  const auto room = static_cast<std::size_t>(std::max(0.0, (width - 6) / kCharacter));
  std::size_t bytes = 0;
  for (std::size_t characters = 0; bytes < name.size(); ++bytes) {
    if (!IsContinuation(name[bytes]) && ++characters > room) break;
  }
  if (bytes == name.size()) return name;
  return room < 3 ? "" : name.substr(0, bytes);
}

class Picture {
 public:
  Picture(std::int64_t whole, const Measure& measure)
      : whole_(static_cast<double>(whole)), measure_(measure) {}

  void Draw(const Node& node, double left, std::size_t row) {
    double x = left;
    for (const auto& [name, callee] : node.callees) {
      const double width = (kWidth - 2 * kMargin) * static_cast<double>(callee.value) / whole_;
      if (width >= kNarrowest) {
        DrawFrame(Printable(name), callee.value, x, width, row);
        Draw(callee, x, row + 1);
      }
      x += width;
    }
  }

  std::string Take(std::string_view title) {
    const double height = kTop + kRow * static_cast<double>(rows_) + kMargin;
    return fmt::format(
               R"(<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" viewBox="0 0 {0} {1}" )"
               R"(font-family="ui-monospace,Menlo,Consolas,monospace" font-size="11">)"
               "\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>"
               "<text x=\"{2}\" y=\"26\" font-family=\"sans-serif\" font-size=\"14\" "
               "fill=\"#222\">{3}</text>\n",
               kWidth, height, kMargin, Escaped(title)) +
           body_ + "</svg>\n";
  }

 private:
  void DrawFrame(const std::string& name, std::int64_t value, double x, double width,
                 std::size_t row) {
    rows_ = std::max(rows_, row + 1);
    const double y = kTop + kRow * static_cast<double>(row);
    const auto hue = static_cast<unsigned>(std::hash<std::string>()(name) % 40);
    body_ += fmt::format(
        "<g><title>{}: {:.{}f}{}, {:.2f} %</title>"
        R"svg(<rect x="{:.2f}" y="{}" width="{:.2f}" height="{}" rx="1.5" fill="hsl({},75%,72%)" stroke="#fff" stroke-width=".6"/>)svg",
        Escaped(name), static_cast<double>(value) / measure_.unit, measure_.decimals,
        measure_.unit == 1 ? " samples" : " s", 100 * static_cast<double>(value) / whole_, x, y,
        width, kRow - 1, 18 + hue);
    if (const std::string label = Label(name, width); !label.empty()) {
      body_ += fmt::format(R"(<text x="{:.2f}" y="{}" fill="#222">{}</text>)", x + 3, y + 12.5,
                           Escaped(label));
    }
    body_ += "</g>\n";
  }

  const double whole_;
  const Measure& measure_;
  std::size_t rows_ = 0;
  std::string body_;
};

}  // namespace

std::string EncodeSvg(const Profile& profile) {
  const SampleValue total = profile.Total();
  const Measure measure = MainMeasure(total);
  const std::int64_t whole = total.*measure.value;
  Picture picture(std::max<std::int64_t>(whole, 1), measure);
  picture.Draw(TreeOf(profile, measure), kMargin, 0);
  if (measure.unit == 1) return picture.Take(fmt::format("{} samples", whole));
  return picture.Take(fmt::format("{:.2f} s of {} time, {} samples",
                                  static_cast<double>(whole) / measure.unit,
                                  measure.value == kCpuTime.value ? "CPU" : "wall", total.count));
}

}  // namespace agent
