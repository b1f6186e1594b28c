// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>

#include "spies/dotnet/metadata.h"
#include "tests/support/catch.h"
#include "tests/support/metadata_image.h"

using namespace agent;
using agent::dotnet::Metadata;
using agent::dotnet::StateMachine;

namespace {

constexpr std::uint32_t kPublic = 1;
constexpr std::uint32_t kNestedPrivate = 3;

struct NewType {
  std::uint32_t flags;
  std::string_view name_space;
  std::string_view name;
  std::uint32_t first_method;
};

void AddTypes(MetadataImage& image, std::initializer_list<NewType> types) {
  std::uint32_t row = 0;
  for (const NewType& type : types) {
    image.Set(0x02, ++row, 0, type.flags);
    image.Set(0x02, row, 1, image.Text(type.name));
    image.Set(0x02, row, 2, type.name_space.empty() ? 0 : image.Text(type.name_space));
    image.Set(0x02, row, 5, type.first_method);
  }
}

void AddMethods(MetadataImage& image, std::initializer_list<std::string_view> names) {
  std::uint32_t row = 0;
  for (const std::string_view name : names) image.Set(0x06, ++row, 3, image.Text(name));
}

void AddTypeRef(MetadataImage& image, std::uint32_t row, std::string_view name_space,
                std::string_view name) {
  image.Set(0x01, row, 1, image.Text(name));
  image.Set(0x01, row, 2, image.Text(name_space));
}

// A module with what is asked for below; with `all` each table has a row at least, but those that
// say where others are ("Ptr").
MetadataImage Sample(const std::string& wide = "", bool all = true) {
  MetadataImage image(wide);
  if (all) {
    for (unsigned table = 0; table < MetadataImage::kColumns.size(); ++table) {
      const std::set<unsigned> pointers = {0x03, 0x05, 0x07, 0x13, 0x16};
      if (!pointers.contains(table)) image.Rows(table, 1);
    }
  }
  image.Set(0x00, 1, 1, image.Text("Some.Module.dll"));
  image.Set(0x20, 1, 7, image.Text("Some.Assembly"));
  AddTypeRef(image, 1, "System", "IDisposable");
  AddTypeRef(image, 2, "System.Runtime.CompilerServices", "IAsyncStateMachine");
  AddTypeRef(image, 3, "System", "IAsyncDisposable");
  AddTypeRef(image, 4, "System.Collections", "IEnumerator");
  AddTypeRef(image, 5, "Mine", "IAsyncStateMachine");
  AddTypes(image, {{0, "", "<Module>", 1},
                   {kPublic, "Ns", "Outer", 1},
                   {kPublic, "Ns", "Empty", 3},
                   {kPublic, "", "NoNamespace", 3},
                   {kNestedPrivate, "", "<Foo>d__0", 4},
                   {kNestedPrivate, "", "<Bar>d__1", 5},
                   {kNestedPrivate, "", "Deep`1", 6},
                   {kNestedPrivate, "", "<Baz>d__2", 7}});
  AddMethods(image, {".ctor", "Foo", "Static", "MoveNext", "MoveNext2", "In", "Last", "VeryLast"});
  const std::pair<std::uint32_t, std::uint32_t> implemented[] = {{4, 5}, {5, 2}, {6, 1}, {6, 4},
                                                                 {7, 1}, {8, 3}, {8, 2}};
  std::uint32_t row = 0;
  for (const auto& [type, reference] : implemented) {
    image.Set(0x09, ++row, 0, type);
    image.Set(0x09, row, 1, reference << 2 | 1);
  }
  const std::pair<std::uint32_t, std::uint32_t> nested[] = {{5, 2}, {6, 2}, {7, 5}, {8, 7}};
  row = 0;
  for (const auto& [inner, outer] : nested) {
    image.Set(0x29, ++row, 0, inner);
    image.Set(0x29, row, 1, outer);
  }
  return image;
}

void CheckSample(const Metadata& metadata) {
  CHECK(metadata.assembly_name() == "Some.Assembly");
  REQUIRE(metadata.type_count() >= 8);
  REQUIRE(metadata.TypeAt(2));
  CHECK(metadata.TypeAt(2)->name_space == "Ns");
  CHECK(metadata.TypeAt(2)->name == "Outer");
  CHECK(metadata.TypeAt(2)->enclosing == 0);
  REQUIRE(metadata.TypeAt(4));
  CHECK(metadata.TypeAt(4)->name_space.empty());
  const std::uint32_t enclosing[] = {0, 0, 0, 0, 2, 2, 5, 7};
  for (std::uint32_t rid = 1; rid <= 8; ++rid) {
    INFO(rid);
    REQUIRE(metadata.TypeAt(rid));
    CHECK(metadata.TypeAt(rid)->enclosing == enclosing[rid - 1]);
  }
  CHECK(metadata.TypeAt(7)->name == "Deep`1");
  CHECK_FALSE(metadata.TypeAt(0));
  CHECK_FALSE(metadata.TypeAt(metadata.type_count() + 1));

  CHECK(metadata.MethodName(1) == ".ctor");
  CHECK(metadata.MethodName(8) == "VeryLast");
  CHECK_FALSE(metadata.MethodName(0));
  CHECK_FALSE(metadata.MethodName(metadata.method_count() + 1));

  CHECK(metadata.StateMachineOf(0) == StateMachine::kNone);
  CHECK(metadata.StateMachineOf(2) == StateMachine::kNone);
  CHECK(metadata.StateMachineOf(4) == StateMachine::kNone);  // of another namespace
  CHECK(metadata.StateMachineOf(5) == StateMachine::kAsync);
  CHECK(metadata.StateMachineOf(6) == StateMachine::kIterator);
  CHECK(metadata.StateMachineOf(7) == StateMachine::kNone);
  CHECK(metadata.StateMachineOf(8) == StateMachine::kAsyncIterator);
  CHECK(metadata.StateMachineOf(9) == StateMachine::kNone);
}

void CheckOwners(const Metadata& metadata) {
  const std::uint32_t owners[] = {0, 2, 2, 4, 5, 6, 7, 8, 8};
  for (std::uint32_t rid = 0; rid < std::size(owners); ++rid) {
    INFO(rid);
    CHECK(metadata.TypeOfMethod(rid) == owners[rid]);
  }
  CHECK(metadata.TypeOfMethod(metadata.method_count()) == 8);
  CHECK(metadata.TypeOfMethod(metadata.method_count() + 1) == 0);
}

void CheckImage(const MetadataImage& image) {
  const auto bytes = image.Bytes();
  const auto size = Metadata::SizeOf(bytes);
  REQUIRE(size);
  CHECK(*size == bytes.size() - 4);  // the blobs are not needed
  const auto metadata = Metadata::Parse(bytes);
  REQUIRE(metadata);
  CheckSample(*metadata);
  CheckOwners(*metadata);
}

Errc ErrorOf(const std::vector<std::byte>& bytes) {
  const auto metadata = Metadata::Parse(bytes);
  return metadata ? Errc::kSystem : metadata.error().code;
}

}  // namespace

TEST_CASE("metadata with every table, narrow columns") { CheckImage(Sample()); }

TEST_CASE("metadata with only the tables that are needed") { CheckImage(Sample("", false)); }

TEST_CASE("metadata with wide heaps, each alone and all") {
  for (const char* wide : {"s", "g", "b", "sgb"}) {
    INFO(wide);
    CheckImage(Sample(wide));
  }
}

TEST_CASE("metadata where a table of many rows widens the columns that point into it") {
  // Each with as many rows as just fit, and with one more.
  const auto check = [](unsigned table, std::uint32_t rows, const std::string& wide) {
    INFO(table << " " << rows << " " << wide);
    MetadataImage image = Sample(wide);
    image.Rows(table, rows);
    CheckImage(image);
  };
  // HasCustomAttribute ("A") has five bits of tag, so it is the first to widen.
  check(0x01, 0x07ff, "");
  check(0x01, 0x0800, "A");
  check(0x01, 0x1fff, "A");
  check(0x01, 0x2000, "Ap");
  check(0x01, 0x3fff, "Ap");
  check(0x01, 0x4000, "Apdr");
  check(0x04, 0x3fff, "A");
  check(0x04, 0x4000, "Ac");
  check(0x04, 0x8000, "Acfw");
  check(0x04, 0xffff, "Acfw");
  check(0x04, 0x10000, "AcfwF");
  check(0x06, 0x1fff, "A");
  check(0x06, 0x2000, "Apk");
  check(0x06, 0x4000, "ApkD");
  check(0x06, 0x8000, "ApkDmwO");
  check(0x06, 0xffff, "ApkDmwO");
  check(0x06, 0x10000, "ApkDmwOM");
  check(0x08, 0x4000, "Ac");
  check(0x08, 0x10000, "AcfP");
  check(0x0a, 0x2000, "Ak");
  check(0x0a, 0x8000, "Akm");
  check(0x14, 0x8000, "AS");
  check(0x14, 0x10000, "ASE");
  check(0x17, 0x8000, "AcS");
  check(0x17, 0x10000, "AcSR");
  check(0x1a, 0x4000, "Apr");
  check(0x1a, 0x10000, "Apru");
  check(0x1b, 0x4000, "Apd");
  check(0x20, 0x4000, "AD");
  check(0x23, 0x4000, "Air");
  check(0x23, 0x10000, "Airy");
  check(0x26, 0x4000, "Ai");
  check(0x27, 0x4000, "Ai");
  for (const unsigned table : {0x0eu, 0x11u, 0x28u, 0x2bu, 0x2cu}) check(table, 0x10000, "A");
  check(0x2a, 0x10000, "AG");

  MetadataImage image = Sample("ApdDOT");
  image.Rows(0x02, 0x10000);
  const auto metadata = Metadata::Parse(image.Bytes());
  REQUIRE(metadata);
  CheckSample(*metadata);
}

TEST_CASE("metadata of the uncompressed form, and tables that do not say that they are sorted") {
  MetadataImage image = Sample();
  image.stream_name = "#-";
  CheckImage(image);
  image.sorted = 0;
  CheckImage(image);
  // Not in order, which only a table that says so must be.
  for (const auto& [row, inner, outer] : {std::array<std::uint32_t, 3>{1, 8, 7}, {4, 5, 2}}) {
    image.Set(0x29, row, 0, inner);
    image.Set(0x29, row, 1, outer);
  }
  for (const auto& [row, type, interface] : {std::array<std::uint32_t, 3>{1, 8, 3}, {6, 4, 5}}) {
    image.Set(0x09, row, 0, type);
    image.Set(0x09, row, 1, interface << 2 | 1);
  }
  CheckImage(image);
}

TEST_CASE("metadata with extra data behind the row counts, and with tables of debug information") {
  MetadataImage image = Sample();
  image.more_heap_flags = 0x40;
  CheckImage(image);
  auto stream = image.TableStream();
  stream[8 + 6] = static_cast<char>(stream[8 + 6] | 1);  // table 0x30 is there
  // Its count comes last.
  const std::size_t extra = 24 + 4 * 40;
  stream.insert(extra, std::string("\5\0\0\0", 4));
  const auto metadata = Metadata::Parse(
      MetadataImage::Assemble({{"#~", stream + std::string(100, '\1')}, {"#Strings", ""}}));
  REQUIRE(metadata);
  CHECK(metadata->TypeOfMethod(8) == 8);
  CHECK(metadata->TypeAt(8) == std::nullopt);
}

TEST_CASE("metadata with a table between types and their methods") {
  MetadataImage image = Sample();
  // The methods in the order of the types, and the types in that of these.
  const std::uint32_t order[] = {3, 8, 5, 1, 7, 2, 4, 6};
  std::uint32_t row = 0;
  for (const std::uint32_t method : order) image.Set(0x05, ++row, 0, method);
  const auto metadata = Metadata::Parse(image.Bytes());
  REQUIRE(metadata);
  CheckSample(*metadata);
  // Rows 1, 2 of the table are of type 2, row 3 of 4, 4 of 5, 5 of 6, 6 of 7, 7 and 8 of 8.
  const std::uint32_t owners[] = {0, 5, 7, 2, 8, 4, 8, 6, 2};
  for (std::uint32_t rid = 0; rid < std::size(owners); ++rid) {
    INFO(rid);
    CHECK(metadata->TypeOfMethod(rid) == owners[rid]);
  }
  image.Set(0x05, 2, 0, 0xfff0);  // points nowhere
  image.Set(0x05, 1, 0, 9);
  const auto broken = Metadata::Parse(image.Bytes());
  REQUIRE(broken);
  CHECK(broken->TypeOfMethod(8) == 0);
  CHECK(broken->TypeOfMethod(3) == 0);
}

TEST_CASE("a module without an assembly has its file's name") {
  MetadataImage image = Sample("", false);
  image.Rows(0x20, 0);
  const auto metadata = Metadata::Parse(image.Bytes());
  REQUIRE(metadata);
  CHECK(metadata->assembly_name() == "Some.Module");
}

TEST_CASE("interfaces that the module itself defines") {
  MetadataImage image = Sample();
  AddTypes(image, {{0, "", "<Module>", 1}, {kPublic, "System.Collections", "IEnumerator", 1}});
  image.Set(0x09, 2, 1, 2 << 2 | 0);
  const auto metadata = Metadata::Parse(image.Bytes());
  REQUIRE(metadata);
  CHECK(metadata->StateMachineOf(5) == StateMachine::kIterator);
}

TEST_CASE("a nested type that nothing says to be in another") {
  for (const std::uint64_t sorted : {~std::uint64_t{0}, std::uint64_t{0}}) {
    MetadataImage image = Sample();
    image.sorted = sorted;
    image.Set(0x29, 2, 0, 7);
    const auto metadata = Metadata::Parse(image.Bytes());
    REQUIRE(metadata);
    CHECK(metadata->TypeAt(5)->enclosing == 2);
    CHECK(metadata->TypeAt(6)->enclosing == 0);
  }
}

TEST_CASE("a type is not inside one that comes behind it") {
  for (const std::uint32_t outer : {5u, 6u, 8u, 100u}) {
    MetadataImage image = Sample();
    image.Set(0x29, 1, 1, outer);
    const auto metadata = Metadata::Parse(image.Bytes());
    REQUIRE(metadata);
    CHECK(metadata->TypeAt(5)->enclosing == 0);
  }
}

TEST_CASE("names that are not in the heap") {
  MetadataImage image = Sample();
  image.Set(0x06, 1, 3, 0xffff);
  image.Set(0x02, 2, 1, 0xffff);
  image.Set(0x20, 1, 7, 0xffff);
  const std::uint32_t endless = image.Text(std::string(5000, 'x'));
  image.Set(0x06, 2, 3, endless);
  const auto metadata = Metadata::Parse(image.Bytes());
  REQUIRE(metadata);
  CHECK_FALSE(metadata->MethodName(1));
  CHECK_FALSE(metadata->MethodName(2));
  CHECK_FALSE(metadata->TypeAt(2));
  CHECK(metadata->assembly_name() == "Some.Module");
  const auto without_end =
      MetadataImage::Assemble({{"#~", image.TableStream()}, {"#Strings", std::string(2000, 'x')}});
  REQUIRE(Metadata::Parse(without_end));
  CHECK_FALSE(Metadata::Parse(without_end)->MethodName(3));
  const auto none = Metadata::Parse(MetadataImage::Assemble({{"#~", image.TableStream()}}));
  REQUIRE(none);
  CHECK_FALSE(none->MethodName(3));
}

TEST_CASE("metadata that is cut off anywhere is refused") {
  const auto bytes = Sample().Bytes();
  const std::size_t size = *Metadata::SizeOf(bytes);
  for (std::size_t length = 0; length < size; ++length) {
    INFO(length);
    REQUIRE(ErrorOf({bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length)}) ==
            Errc::kMalformed);
  }
  CHECK(Metadata::Parse({bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)}));
}

TEST_CASE("a table stream without its last byte is refused, with one more it is not") {
  std::string stream = Sample().TableStream();
  CHECK(Metadata::Parse(MetadataImage::Assemble({{"#~", stream + "x"}})));
  CHECK(Metadata::Parse(MetadataImage::Assemble({{"#~", stream}})));
  stream.pop_back();
  CHECK(ErrorOf(MetadataImage::Assemble({{"#~", stream}, {"#x", "more"}})) == Errc::kMalformed);
}

TEST_CASE("what is not metadata is refused") {
  auto bytes = Sample().Bytes();
  CHECK(ErrorOf(MetadataImage::Assemble({{"#Strings", "x"}})) == Errc::kMalformed);
  CHECK(ErrorOf(MetadataImage::Assemble({{"#~", Sample().TableStream()}, {"#JTD", ""}})) ==
        Errc::kUnsupported);
  CHECK(ErrorOf(MetadataImage::Assemble({{"#~", ""}})) == Errc::kMalformed);
  // The first stream's size: 4 GiB.
  auto huge = bytes;
  for (std::size_t i = 36; i < 40; ++i) huge[i] = std::byte{0xff};
  CHECK(ErrorOf(huge) == Errc::kLimit);
  CHECK(Metadata::SizeOf(huge).error().code == Errc::kLimit);
  bytes[0] = std::byte{'b'};
  CHECK(ErrorOf(bytes) == Errc::kMalformed);
  CHECK(Metadata::SizeOf(bytes).error().code == Errc::kMalformed);
}

TEST_CASE("a table of more rows than there are bytes is refused") {
  std::string stream = Sample("", false).TableStream();
  for (std::size_t i = 24; i < 28; ++i) stream[i] = '\xff';  // Module
  CHECK(ErrorOf(MetadataImage::Assemble({{"#~", stream}})) == Errc::kMalformed);
}

TEST_CASE("damaged metadata is safe to ask") {
  const auto bytes = Sample().Bytes();
  const std::size_t size = *Metadata::SizeOf(bytes);
  for (std::size_t at = 0; at < size; ++at) {
    for (const unsigned value : {0x00u, 0x01u, 0x7fu, 0xffu}) {
      auto damaged = bytes;
      damaged[at] = static_cast<std::byte>(value);
      const auto metadata = Metadata::Parse(std::move(damaged));
      if (!metadata) continue;
      for (std::uint32_t rid = 0; rid < 20; ++rid) {
        const auto type = metadata->TypeAt(rid);
        REQUIRE((!type || type->enclosing == 0 || type->enclosing < rid));
        static_cast<void>(metadata->MethodName(rid));
        REQUIRE(metadata->TypeOfMethod(rid) <= metadata->type_count());
        static_cast<void>(metadata->StateMachineOf(rid));
      }
    }
  }
}

namespace {

namespace fs = std::filesystem;

// The CoreLib of an installed runtime.
fs::path FindCoreLib() {
  std::vector<fs::path> roots = {"/usr/share/dotnet", "/usr/lib/dotnet", "/usr/lib64/dotnet"};
  if (const char* root = std::getenv("DOTNET_ROOT")) roots.insert(roots.begin(), root);
  std::error_code error;
  for (const char* program : {"/usr/bin/dotnet", "/usr/local/bin/dotnet"}) {
    const fs::path real = fs::canonical(program, error);
    if (!error) roots.push_back(real.parent_path());
  }
  for (const fs::path& root : roots) {
    for (const auto& version :
         fs::directory_iterator(root / "shared/Microsoft.NETCore.App", error)) {
      const fs::path file = version.path() / "System.Private.CoreLib.dll";
      if (fs::exists(file, error)) return file;
    }
  }
  return {};
}

std::optional<Metadata> ReadMetadata(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  for (std::size_t at = text.find("BSJB"); at != std::string::npos;
       at = text.find("BSJB", at + 1)) {
    const auto rest = std::as_bytes(std::span(text)).subspan(at);
    const auto size = Metadata::SizeOf(rest.first(std::min(rest.size(), Metadata::kHeadBytes)));
    if (!size || *size > rest.size()) continue;
    const auto bytes = rest.first(*size);
    auto metadata = Metadata::Parse({bytes.begin(), bytes.end()});
    if (metadata) return *std::move(metadata);
  }
  return std::nullopt;
}

}  // namespace

TEST_CASE("the metadata of an installed System.Private.CoreLib") {
  const fs::path path = FindCoreLib();
  if (path.empty()) {
    WARN("skipped: no .NET runtime in /usr/share/dotnet, /usr/lib/dotnet or DOTNET_ROOT");
    return;
  }
  const auto metadata = ReadMetadata(path);
  REQUIRE(metadata);
  CHECK(metadata->assembly_name() == "System.Private.CoreLib");
  CHECK(metadata->type_count() > 1000);
  CHECK(metadata->method_count() > 10000);

  std::map<std::string, std::uint32_t> types;
  for (std::uint32_t rid = 1; rid <= metadata->type_count(); ++rid) {
    const auto type = metadata->TypeAt(rid);
    REQUIRE(type);
    std::string name;
    if (type->enclosing != 0) {
      const auto outer = metadata->TypeAt(type->enclosing);
      REQUIRE(outer);
      name.append(outer->name_space).append(".").append(outer->name).append("+");
    } else if (!type->name_space.empty()) {
      name.append(type->name_space).append(".");
    }
    name += type->name;
    types.emplace(name, rid);
  }
  REQUIRE(types.contains("System.String"));
  REQUIRE(types.contains("System.Object"));
  REQUIRE(types.contains("System.Collections.Generic.List`1"));
  REQUIRE(types.contains("System.Collections.Generic.List`1+Enumerator"));
  CHECK(metadata->StateMachineOf(types["System.Collections.Generic.List`1+Enumerator"]) ==
        StateMachine::kIterator);
  CHECK(metadata->StateMachineOf(types["System.String"]) == StateMachine::kNone);

  std::map<std::uint32_t, std::set<std::string_view>> methods;
  std::map<StateMachine, int> state_machines;
  std::uint32_t last = 0;
  for (std::uint32_t rid = 1; rid <= metadata->method_count(); ++rid) {
    const std::uint32_t type = metadata->TypeOfMethod(rid);
    REQUIRE(type >= last);  // a type's methods are all together, in the types' order
    REQUIRE(type <= metadata->type_count());
    last = type;
    const auto name = metadata->MethodName(rid);
    REQUIRE(name);
    REQUIRE_FALSE(name->empty());
    methods[type].insert(*name);
    if (*name == "MoveNext") ++state_machines[metadata->StateMachineOf(type)];
  }
  CHECK(methods[types["System.Object"]].contains("Finalize"));
  CHECK(methods[types["System.Object"]].contains("ReferenceEquals"));
  CHECK(methods[types["System.Object"]].size() < 12);
  CHECK(methods[types["System.String"]].contains("Concat"));
  CHECK(methods[types["System.String"]].contains("IsNullOrEmpty"));
  CHECK_FALSE(methods[types["System.String"]].contains("ReferenceEquals"));
  const std::set<std::string_view> enumerator = {".ctor", "Dispose", "MoveNext", "get_Current"};
  for (const std::string_view name : enumerator) {
    CHECK(methods[types["System.Collections.Generic.List`1+Enumerator"]].contains(name));
  }
  CHECK(state_machines[StateMachine::kAsync] > 10);
  CHECK(state_machines[StateMachine::kIterator] > 10);
}
