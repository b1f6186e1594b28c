// SPDX-License-Identifier: Apache-2.0
// Six functions that elfutils 0.192 (Debian 13) uses in libelf.a and libdw.a but leaves out of them
// (sourceware bug 32293, mended in 0.193). As in its lib/eu-search.c, built without the
// experimental locks, as Debian's libraries are. A library of its own, after libelf on the link
// line: where libelf has the functions, none of these is linked.
#include <search.h>

namespace {

// lib/eu-search.h: search_tree. Its lock follows, and is an unused int here.
struct SearchTree {
  void* root;
};

using Compare = int (*)(const void*, const void*);
using FreeNode = void (*)(void*);

}  // namespace

extern "C" {

void eu_search_tree_init(SearchTree* tree) { tree->root = nullptr; }

void eu_tdestroy(SearchTree* tree, FreeNode free_node) {
  ::tdestroy(tree->root, free_node);
  tree->root = nullptr;
}

void eu_search_tree_fini(SearchTree* tree, FreeNode free_node) { eu_tdestroy(tree, free_node); }

void* eu_tsearch(const void* key, SearchTree* tree, Compare compare) {
  return ::tsearch(key, &tree->root, compare);
}

void* eu_tfind(const void* key, SearchTree* tree, Compare compare) {
  return ::tfind(key, &tree->root, compare);
}

void* eu_tdelete(const void* key, SearchTree* tree, Compare compare) {
  return ::tdelete(key, &tree->root, compare);
}

}  // extern "C"
