// Krum (Blanchard et al. 2017, section 4): the one contribution that is nearest to its K - f - 2
// nearest others, by the sum of squared distances. Of equal ones the first site. With K >= 2f + 3
// it stays among the honest ones, whatever f others send.
//
//   Mean::Create(SelectByKrum(cohort, products, 2));      the selected vector, bit for bit
//
// Pure.
#ifndef WEFT_COORDINATOR_CORE_KRUM_H_
#define WEFT_COORDINATOR_CORE_KRUM_H_

#include <cstdint>

#include "coordinator/core/aggregator.h"

namespace weft {

// Weight 1 for the selected one. Requires K >= 2 faulty_max + 3.
Cohort SelectByKrum(const Cohort& cohort, const ChangeProducts& products, uint32_t faulty_max);

}  // namespace weft

#endif  // WEFT_COORDINATOR_CORE_KRUM_H_
