// SPDX-License-Identifier: Apache-2.0
#include "spies/unwind/address_space.h"

#include <algorithm>

#include "agent/base/log.h"

namespace agent::unwind {
namespace {

// Reading and comparing the mappings may cost this share of a CPU at most, whatever a program
// does (a JIT compiler maps new code all the time).
constexpr int kCostFactor = 50;
constexpr std::chrono::milliseconds kShortestPause{1};

bool IsSameFile(const Mapping& a, const Mapping& b) {
  return a.inode == b.inode && a.device == b.device && a.path == b.path;
}

bool IsSame(const Mapping& a, const Mapping& b) {
  return a.start == b.start && a.end == b.end && a.offset == b.offset && IsSameFile(a, b);
}

// The mappings of the file that `index` belongs to, from the one of its header on.
std::span<const Mapping> ImageOf(const std::vector<Mapping>& mappings, std::size_t index) {
  std::size_t first = index;
  while (first > 0 && mappings[first].offset != FileOffset{} &&
         IsSameFile(mappings[first - 1], mappings[index])) {
    --first;
  }
  std::size_t last = index + 1;
  while (last < mappings.size() && IsSameFile(mappings[last], mappings[index])) ++last;
  return std::span(mappings).subspan(first, last - first);
}

}  // namespace

const CodeRegion* AddressSpace::Find(std::uint64_t address) const {
  const auto after = std::ranges::upper_bound(regions_, address, {}, &CodeRegion::start);
  if (after == regions_.begin()) return nullptr;
  const CodeRegion& region = *std::prev(after);
  return address < region.end ? &region : nullptr;
}

bool AddressSpace::Refresh(MonotonicTime now) {
  if (generation_ > 0 && now - last_read_ < pause_) return false;
  const Nanoseconds begin = OwnCpuTime();
  Result<std::vector<Mapping>> all = process_.ReadMappings();
  if (!all) return false;
  std::vector<Mapping> executable;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < all->size(); ++i) {
    if (!(*all)[i].executable || (*all)[i].path == "[vsyscall]") continue;
    executable.push_back((*all)[i]);
    places.push_back(i);
  }
  last_read_ = now;
  bool changed = false;
  if (generation_ == 0 || !std::ranges::equal(executable, mappings_, IsSame)) {
    std::vector<CodeRegion> regions;
    regions.reserve(executable.size());
    for (std::size_t i = 0; i < executable.size(); ++i) {
      const auto old =
          std::ranges::lower_bound(mappings_, executable[i].start, {}, &Mapping::start);
      if (old != mappings_.end() && IsSame(*old, executable[i])) {
        regions.push_back(regions_[static_cast<std::size_t>(old - mappings_.begin())]);
        continue;
      }
      CodeRegion region = RegionOf(*all, places[i]);
      region.came_later = generation_ > 0 && region.file != nullptr;
      regions.push_back(region);
    }
    regions_ = std::move(regions);
    mappings_ = std::move(executable);
    ++generation_;
    changed = true;
  }
  pause_ = std::max<Nanoseconds>(kShortestPause, (OwnCpuTime() - begin) * kCostFactor);
  return changed;
}

CodeRegion AddressSpace::RegionOf(const std::vector<Mapping>& mappings, std::size_t index) {
  const Mapping& mapping = mappings[index];
  CodeRegion region{.start = mapping.start.value(), .end = mapping.end.value()};
  Result<CodeFile*> file = Fail(Errc::kUnreadable, "code without a file");
  if (mapping.inode != 0) file = files_.OfMapping(process_, mapping);
  if (!file && (mapping.inode != 0 || mapping.path == "[vdso]")) {
    file = files_.OfMemory(process_, ImageOf(mappings, index));
    if (!file) LogDebug("no code of {}: {}", mapping.path, file.error().Message());
  }
  if (file) {
    // The vdso is one segment, and has no offset.
    if (const auto address = (*file)->CodeAddressOf(mapping.offset)) {
      region.file = *file;
      region.module = &(*file)->module();
      region.bias = region.start - static_cast<std::uint64_t>(*address);
      return region;
    }
  }
  if (anonymous_ == nullptr) anonymous_ = files_.AnonymousModule(process_);
  region.module = anonymous_;
  return region;
}

bool AddressSpace::IsStillThere(const CodeRegion& region) const {
  const auto index = static_cast<std::size_t>(&region - regions_.data());
  return process_.IsStillMapped(mappings_[index]);
}

}  // namespace agent::unwind
