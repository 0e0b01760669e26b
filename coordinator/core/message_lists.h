// Small operations on repeated fields, which the round machine keeps in a fixed order so that equal
// states have equal bytes.
#ifndef WEFT_COORDINATOR_CORE_MESSAGE_LISTS_H_
#define WEFT_COORDINATOR_CORE_MESSAGE_LISTS_H_

#include <algorithm>

#include "absl/strings/string_view.h"

namespace weft {

template <typename Field>
bool Contains(const Field& names, absl::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Keeps a repeated field of messages in the order of `key`.
template <typename Field, typename Key>
void SortBy(Field* field, Key key) {
  std::sort(field->begin(), field->end(),
            [key](const auto& a, const auto& b) { return key(a) < key(b); });
}

template <typename Field, typename Predicate>
void EraseIf(Field* field, Predicate predicate) {
  field->erase(std::remove_if(field->begin(), field->end(), predicate), field->end());
}

}  // namespace weft

#endif  // WEFT_COORDINATOR_CORE_MESSAGE_LISTS_H_
