// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <utility>
#include <vector>

#include "spies/python/thread_names.h"
#include "tests/support/catch.h"
#include "tests/support/fake_memory.h"

using namespace agent;
using namespace agent::python;

namespace {

constexpr std::uint64_t kIdent = 0x7f0012345700;
constexpr std::uint64_t kFlags = 168;  // of a type

// Objects of a version, laid out as it does.
struct FakePython {
  explicit FakePython(Version version) : layout(*TableLayout(version)) {
    memory.Put(text_type + kFlags, std::uint64_t{1} << 28);
    memory.Put(thread_type + 32, std::uint64_t{16});
    memory.Put(thread_type + kFlags, std::uint64_t{1} << 4);
    memory.Put(thread_type + 288, std::int64_t{-1});
    memory.Put(state + layout.thread.interp, interpreter);
  }

  std::uint64_t Make(std::uint64_t size, std::uint64_t type = 0) {
    const std::uint64_t address = next + 64;
    next = address + (size + 63) / 64 * 64;
    for (std::uint64_t i = 0; i < size; i += 8) memory.Put(address + i, std::uint64_t{0});
    memory.Put(address + 8, type);
    return address;
  }
  std::uint64_t Text(std::string_view text) {
    const std::uint64_t object = Make(layout.unicode.ascii_data + text.size() + 8, text_type);
    memory.Put(object + layout.unicode.length, std::uint64_t{text.size()});
    memory.Put(object + layout.unicode.state, std::uint32_t{1 << 2 | 1 << 5 | 1 << 6});
    memory.PutText(object + layout.unicode.ascii_data, text);
    return object;
  }
  bool IsOld() const { return layout.names.objects == ObjectForm::kDictOnly; }
  // A key table of {hash, key, value}, or of {key, value}.
  std::uint64_t Keys(const std::vector<std::vector<std::uint64_t>>& entries, bool hashes) {
    const std::uint64_t table = Make(64 + 24 * (entries.size() + 1));
    std::uint64_t place = table + (IsOld() ? 40 : 32) + 32;
    if (IsOld()) {
      memory.Put(table + 8, std::uint64_t{32});
      memory.Put(table + 32, std::uint64_t{entries.size()});
    } else {
      memory.Put(table + 8, std::uint32_t{5 | 5 << 8 | (hashes ? 0u : 1u) << 16});
      memory.Put(table + 24, std::uint64_t{entries.size()});
    }
    for (const auto& entry : entries) {
      if (IsOld() && !hashes) place += 8;
      for (const std::uint64_t word : entry) {
        memory.Put(place, word);
        place += 8;
      }
    }
    return table;
  }
  std::uint64_t Dict(const std::vector<std::vector<std::uint64_t>>& entries, bool hashes = false) {
    const std::uint64_t dict = Make(48, dict_type);
    memory.Put(dict + 16, std::uint64_t{entries.size()});
    memory.Put(dict + 32, Keys(entries, hashes));
    return dict;
  }
  // With its attributes as the version keeps them that has made no dict of them.
  std::uint64_t Thread(const std::vector<std::vector<std::uint64_t>>& attributes) {
    const std::uint64_t object = Make(128, thread_type);
    if (IsOld()) {
      memory.Put(thread_type + 32, std::uint64_t{32});
      memory.Put(thread_type + 288, std::uint64_t{16});
      memory.Put(object + 16, Dict(attributes));
      return object;
    }
    memory.Put(thread_type + layout.names.cached_keys, Keys(attributes, false));
    std::uint64_t values = Make(64);
    if (layout.names.objects == ObjectForm::kInlineValues) {
      memory.Put(thread_type + kFlags, std::uint64_t{1} << 4 | 1 << 2);
      memory.Put(object + 16, std::uint32_t{1 << 24});
      values = object + 24;
    } else if (layout.names.objects == ObjectForm::kTaggedValues) {
      memory.Put(object - 24, values - 1);
    } else {
      memory.Put(object - 32, values);
    }
    if (layout.names.objects != ObjectForm::kTaggedValues) {
      memory.Put(object - 24, std::uint64_t{0});
    }
    name_slot = values + 8 * (attributes.size() - 1);
    for (const auto& attribute : attributes) {
      memory.Put(values, attribute[1]);
      values += 8;
    }
    return object;
  }

  void Import(std::uint64_t thread) {
    active = Dict({{5, Text("x"), Text("y")}, {kIdent, Text("x"), thread}}, true);
    const std::uint64_t module = Make(64);
    memory.Put(module + 16, Dict({{Text("_limbo"), Make(16)}, {Text("_active"), active}}));
    memory.Put(interpreter + layout.names.interpreter_modules, Dict({{Text("sys"), Make(16)},
                                                                     {0, 0},
                                                                     {Text("builtins9"), Make(16)},
                                                                     {Text("threading"), module}}));
  }
  std::uint64_t Named(std::string_view name) {
    return Thread({{Text("_target"), Text("t")}, {Text("_name"), Text(name)}});
  }
  std::optional<std::string> Name(std::uint64_t ident = kIdent) {
    ThreadState of;
    of.address = RemoteAddress(state);
    of.pthread = RemoteAddress(ident);
    return names.Of(of, now);
  }

  FakeMemory memory;
  Layout layout;
  ThreadNames names{memory, layout};
  MonotonicTime now{std::chrono::seconds(100)};
  std::uint64_t next = 0x100000;
  const std::uint64_t text_type = Make(1024);
  const std::uint64_t dict_type = Make(1024);
  const std::uint64_t thread_type = Make(1024);
  const std::uint64_t interpreter = Make(2048);
  const std::uint64_t state = Make(256);
  std::uint64_t active = 0;
  std::uint64_t name_slot = 0;
};

constexpr Version k312{0x030c01f0};

}  // namespace

TEST_CASE("Python names of threads: in each form of an instance") {
  for (const Version version :
       {Version{0x030a0df0}, Version{0x030b07f0}, k312, Version{0x030d00f0}}) {
    FakePython python(version.minor() == 13 ? k312 : version);
    if (version.minor() == 13) python.layout.names.objects = ObjectForm::kInlineValues;
    python.Import(python.Named("east"));
    INFO(version.minor());
    CHECK(python.Name() == "east");
    CHECK(python.Name(kIdent + 1) == std::nullopt);
  }
}

TEST_CASE("Python names of threads: of an instance that has a dict") {
  FakePython python(k312);
  const std::uint64_t thread = python.Named("values");
  python.memory.Put(thread - 24, python.Dict({{python.Text("_name"), python.Text("dict")}}));
  python.Import(thread);
  CHECK(python.Name() == "dict");
}

TEST_CASE("Python names of threads: what is no str, or too long") {
  FakePython python(k312);
  const std::uint64_t name = python.Text(std::string(300, 'x'));
  python.Import(python.Thread({{python.Text("_name"), name}}));
  CHECK(python.Name() == std::string(200, 'x') + "…");
  python.memory.Put(name + 8, python.dict_type);
  CHECK(python.Name() == std::nullopt);
}

TEST_CASE("Python names of threads: threading comes later") {
  FakePython python(k312);
  const std::uint64_t modules = python.Dict({{python.Text("sys"), python.Make(16)}});
  python.memory.Put(python.interpreter + python.layout.names.interpreter_modules, modules);
  CHECK(python.Name() == std::nullopt);
  const int reads = python.memory.reads;
  python.now += std::chrono::milliseconds(900);
  CHECK(python.Name() == std::nullopt);
  CHECK(python.memory.reads - reads <= 3);  // no new module: not searched
  python.Import(python.Named("east"));
  python.now += std::chrono::seconds(1);
  CHECK(python.Name() == "east");
}

TEST_CASE("Python names of threads: one that changes under the reading is not taken") {
  for (int step = 0; step < 60; ++step) {
    FakePython python(k312);
    python.Import(python.Named("east"));
    const std::uint64_t west = python.Text("west");
    int count = 0;
    python.memory.between = [&](int) {
      if (count++ != step) return;
      std::uint64_t old = 0;
      REQUIRE(python.memory.Read(RemoteAddress(python.name_slot), BytesOf(old)));
      python.memory.Put(python.name_slot, west);
      python.memory.PutText(old + python.layout.unicode.ascii_data, "XXXX");
    };
    const std::optional<std::string> name = python.Name();
    INFO(step << " " << name.value_or("-"));
    CHECK((!name || *name == "east" || *name == "west"));
  }
}

TEST_CASE("Python names of threads: so many at once, so many a second") {
  FakePython python(k312);
  python.Import(python.Named("east"));
  for (int i = 0; i < ThreadNames::kMostNames; ++i) REQUIRE(python.Name());
  CHECK_FALSE(python.Name());
  python.now += std::chrono::seconds(1);
  for (int i = 0; i < ThreadNames::kMostNamesEachSecond; ++i) REQUIRE(python.Name());
  CHECK_FALSE(python.Name());
}

TEST_CASE("Python names of threads: a table that cannot be") {
  FakePython python(k312);
  python.Import(python.Named("east"));
  std::uint64_t keys = 0;
  REQUIRE(python.memory.Read(RemoteAddress(python.active + 32), BytesOf(keys)));
  for (const std::uint64_t count : {std::uint64_t{1} << 17, std::uint64_t{1} << 60}) {
    python.memory.Put(keys + 24, count);
    CHECK(python.Name() == std::nullopt);
  }
}
