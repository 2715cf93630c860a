/* metadata.h: who should vote in the metadata group of a mesh, and with what weight. A pure
 * function of what the leader sees; what comes out is only a wish, which the group's log makes true
 * or refuses: membership is advice, the log is truth.
 *
 * One voter up to two eligible nodes, then 3, 5 or 7. Voters that live stay (every change costs);
 * new ones come from regions with the fewest voters, the heavier ones first. Where the weights
 * wanted would give one voter half of all, it gets as much as is allowed. Everybody begins as a
 * learner and is promoted when it has caught up. A voter that is dead for METADATA_DEAD_TIME is
 * replaced by a learner that is ready, one at a time, in one change; without a replacement it
 * stays, because taking it out would not let more nodes fail. */
#ifndef METADATA_H
#define METADATA_H

#include "consensus/quorum.h"
#include "proto/base/bytes.h"
#include "proto/base/time.h"

#define METADATA_VOTERS_MAX 7u
#define METADATA_MEMBERS_MAX 12u /* voters and learners: each has all of the data */
#define METADATA_DEAD_TIME (30 * MN_SEC)
#define METADATA_LAG_MAX 64u /* entries behind the leader and yet caught up */
#define METADATA_WEIGHT_MAX 1000u
#define METADATA_REGION_SIZE 33

enum metadata_role { METADATA_EDGE = 1, METADATA_LEARNER, METADATA_AUTO, METADATA_VOTER };

/* "edge", "learner", "auto", "voter". */
const char *metadata_role_name(enum metadata_role role);

struct metadata_node {
    mn_id id;
    enum metadata_role role; /* what it says, or what an operator said instead */
    uint32_t weight;         /* wanted, 1 .. METADATA_WEIGHT_MAX */
    bool is_advised; /* the weight is the advisor's: it says nothing about who should vote */
    char region[METADATA_REGION_SIZE];
    bool is_alive;
    mn_time since; /* mono: alive or not since */
    bool is_gone;  /* left on purpose */
};

struct metadata_input {
    mn_time now;
    const mn_id *self;                  /* leads */
    const struct quorum_config *config; /* in effect */
    const struct metadata_node *nodes;  /* ourselves among them */
    uint32_t nodes_count;
    const uint64_t *matches; /* [i]: of config->members[i] */
    uint64_t last_index;
};

/* True: *ret is the configuration to ask for now, which passed quorum_check() and quorum_guard().
 * Never for a joint one: a change is under way. */
bool metadata_plan(const struct metadata_input *input, struct quorum_config *ret);

#endif
