/* shrink.h: shortens a failing story to what it takes to fail in the same way: delta debugging
 * (Zeller & Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002). Left out are
 * faults first, then what lasts, then what clients do, then hosts; then it happens sooner. */
#ifndef SHRINK_H
#define SHRINK_H

#include "sim/common/campaign.h"

#define SHRINK_ATTEMPTS_MAX 5000u
#define SHRINK_SECONDS_MAX 900u
#define SHRINK_ATTEMPT_SECONDS 60u /* of processor time; one that takes longer counts as held */

/* Each attempt is a process of its own, for failed assertions end it. */
enum shrink_result { SHRINK_HELD, SHRINK_SHORTENED, SHRINK_OTHER };

/* Runs [seed], and if it fails, shortens what it decided and leaves that in *ret, which is empty.
 * OTHER: told again, it does not fail in the same way; *ret is the whole story. */
enum shrink_result shrink_seed(struct campaign *campaign, const struct campaign_run *run,
                               struct story *ret, char failure[256]);

#endif
