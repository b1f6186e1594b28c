// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <string>

#include "symbolizer/demangle.h"
#include "tests/support/catch.h"

using namespace agent;

namespace {

struct Case {
  const char* mangled;
  const char* full;
  const char* simplified;
};

constexpr std::array kCases = {
    Case{"_ZNSt6vectorIiSaIiEE9push_backERKi",
         "std::vector<int, std::allocator<int> >::push_back(int const&)", "std::vector::push_back"},
    Case{"_ZN12_GLOBAL__N_13barEi", "(anonymous namespace)::bar(int)",
         "(anonymous namespace)::bar"},
    Case{"_ZZ3fooiENKUliE_clEi", "foo(int)::{lambda(int)#1}::operator()(int) const",
         "foo::{lambda(int)#1}::operator()"},
    Case{"_ZlsIiERSoS0_RKT_", "std::ostream& operator<< <int>(std::ostream&, int const&)",
         "operator<<"},
    Case{"_ZN1AltIiEEbRKS_T_", "bool A::operator< <int>(A const&, int)", "A::operator<"},
    Case{"_ZN1AptEv", "A::operator->()", "A::operator->"},
    Case{"_ZNK1AclEi", "A::operator()(int) const", "A::operator()"},
    Case{"_ZN1AcvSt6vectorIiSaIiEEEv", "A::operator std::vector<int, std::allocator<int> >()",
         "A::operator std::vector"},
    Case{"_ZNKSt8functionIFiiEEclEi", "std::function<int (int)>::operator()(int) const",
         "std::function::operator()"},
    Case{"_ZN1A3fooEi.isra.0", "A::foo(int) [clone .isra.0]", "A::foo"},
    Case{"_ZN1A3fooEi.llvm.12345", "A::foo(int)", "A::foo"},
    Case{"_ZNK1A3barEv", "A::bar() const", "A::bar"},
    Case{"_Z3fooB5cxx11v", "foo[abi:cxx11]()", "foo"},
    Case{"_Z3foov@plt", "foo()@plt", "foo@plt"},
    Case{"_ZN1AD2Ev", "A::~A()", "A::~A"},
    // Rust, legacy and v0: the hash is left out.
    Case{"_ZN4core3ptr13drop_in_place17h0123456789abcdefE", "core::ptr::drop_in_place",
         "core::ptr::drop_in_place"},
    Case{"_ZN66_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$core..ops..drop..Drop$GT$"
         "4drop17h0123456789abcdefE",
         "<alloc::vec::Vec<T> as core::ops::drop::Drop>::drop",
         "<alloc::vec::Vec as core::ops::drop::Drop>::drop"},
    Case{"_RNvC6_123foo3bar", "123foo::bar", "123foo::bar"},
    Case{"_RINvNtC3std3mem8align_ofjE", "std::mem::align_of::<usize>", "std::mem::align_of"},
    // Not mangled.
    Case{"memcpy", "memcpy", "memcpy"},
    Case{"memcpy@plt", "memcpy@plt", "memcpy@plt"},
    Case{"step.constprop.0", "step.constprop.0", "step"},
    Case{"main.(*Server).Serve", "main.(*Server).Serve", "main.(*Server).Serve"},
    Case{"_Zbroken", "_Zbroken", "_Zbroken"},
    Case{"", "", ""},
};

}  // namespace

TEST_CASE("Demangle: C++, Rust and what is neither") {
  for (const Case& test : kCases) {
    CAPTURE(test.mangled);
    CHECK(DemangleName(test.mangled, Demangle::kFull) == test.full);
    CHECK(DemangleName(test.mangled, Demangle::kSimplified) == test.simplified);
    CHECK(DemangleName(test.mangled, Demangle::kNone) == test.mangled);
  }
}

TEST_CASE("Demangle: a name that unfolds exponentially stays as it is") {
  // Each substitution is a pair of the one before: 2^60 names.
  std::string name = "_Z1f1AIiiE";
  std::string digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  name += "S_IS0_S0_E";
  for (std::size_t i = 1; i < 30; ++i) {
    const std::string previous = std::string("S") + digits[i] + "_";
    name.append("S_I").append(previous).append(previous).append("E");
  }
  CHECK(DemangleName(name, Demangle::kFull) == name);
}

TEST_CASE("Demangle: nesting without end stays as it is") {
  const std::string nested = "_Z1f" + std::string(100'000, 'P') + "i";
  CHECK(DemangleName(nested, Demangle::kFull) == nested);
  const std::string shorter = "_Z1f" + std::string(10'000, 'P') + "i";
  CHECK(!DemangleName(shorter, Demangle::kFull).empty());
}

TEST_CASE("Simplify: a readable name loses what stands behind its parameters") {
  CHECK(SimplifyCpp("A::bar(int) const") == "A::bar");
  CHECK(SimplifyCpp("A::bar(int) const volatile &&") == "A::bar");
  CHECK(SimplifyCpp("A<int>::bar(void (*)(int)) &") == "A::bar");
}

TEST_CASE("Simplify: brackets that do not match stay as they are") {
  CHECK(SimplifyCpp("f<int") == "f<int");
  CHECK(SimplifyCpp("f(int") == "f(int");
  CHECK(SimplifyCpp("a>b") == "a>b");
  CHECK(SimplifyCpp("f<(1>2)>::g") == "f::g");
  CHECK(SimplifyCpp("Middle<long int>") == "Middle");
  CHECK(SimplifyRust("<fn(A) -> B as c::D>::e") == "<fn(A) -> B as c::D>::e");
  CHECK(SimplifyRust("a::b::<C<D>>::{closure#0}") == "a::b::{closure#0}");
}
