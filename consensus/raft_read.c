/* Linearizable reads: a commit index that was current when the read came, confirmed by a quorum
 * that answered a message sent after that (ReadIndex), or by a lease. */
#include "consensus/raft_internal.h"

#include "proto/base/check.h"

#define LEASE_PERCENT 95 /* of E: clocks that run within 5% of each other */

static bool raft_read_is_own(const struct raft_read *read)
{
    return mn_id_is_zero(&read->from);
}

/* The lease runs from when the messages left that a quorum has answered, not from the answers: a
 * follower's promise begins when it hears us, which is later than the one and earlier than the
 * other. */
static bool raft_read_has_lease(const struct raft *raft)
{
    mn_time start = raft_replicate_quorum_ctx(raft);
    mn_time length = raft->config.election_timeout / 100 * LEASE_PERCENT;

    if (!raft->config.uses_lease || raft->is_lease_void || raft->role != RAFT_LEADER) return false;
    return raft->now.mono < mn_time_after(mn_time_min(start, raft->now.mono), length);
}

/* The newest one that waits to be confirmed says it for all: their ctx never falls. */
bool raft_read_wants_round(const struct raft *raft)
{
    for (uint32_t i = raft->reads_count; i > 0; i--)
        if (raft->reads[i - 1].state == RAFT_READ_CONFIRM)
            return raft->reads[i - 1].ctx > raft->round_ctx;
    return false;
}

static void raft_read_tell(struct raft *raft, uint64_t request, uint64_t index, mn_status status)
{
    struct raft_output *out = raft_emit(raft, RAFT_OUT_READ);

    out->read.request = request;
    out->read.index = index;
    out->read.status = status;
}

static void raft_read_send(struct raft *raft, const mn_id *to, uint64_t request, uint64_t index,
                           bool is_reject)
{
    struct raft_msg *msg = raft_send(raft, RAFT_MSG_READ, to, 0);

    msg->ctx = request;
    msg->index = index;
    msg->is_reject = is_reject;
}

static struct raft_read *raft_read_add(struct raft *raft)
{
    if (raft->reads_count == RAFT_READS_MAX) return NULL;
    if (raft->reads_count == raft->reads_capacity) {
        raft->reads_capacity = raft->reads_capacity == 0 ? 8 : 2 * raft->reads_capacity;
        raft->reads = mn_realloc(raft->reads, raft->reads_capacity * sizeof *raft->reads);
    }
    raft->reads[raft->reads_count] = (struct raft_read){0};
    return &raft->reads[raft->reads_count++];
}

/* Before the first commit of its term a leader does not know what is committed. */
static void raft_read_begin(struct raft *raft, struct raft_read *read)
{
    if (raft->commit < raft->term_start) {
        read->state = RAFT_READ_EARLY;
        return;
    }
    read->state = RAFT_READ_CONFIRM;
    read->index = raft->commit;
    read->ctx = raft->ctx_last + 1;
}

void raft_read_on_read(struct raft *raft, uint64_t request)
{
    struct raft_read *read;

    if (raft->role == RAFT_LEADER) {
        read = raft_read_add(raft);
        if (read == NULL) {
            raft_read_tell(raft, request, 0, MN_BUSY);
            return;
        }
        read->request = request;
        raft_read_begin(raft, read);
    } else if (mn_id_is_zero(&raft->leader)) {
        raft_read_tell(raft, request, 0, MN_STATE);
    } else {
        raft_send(raft, RAFT_MSG_READ_ASK, &raft->leader, 0)->ctx = request;
    }
}

void raft_read_on_ask(struct raft *raft, const struct raft_msg *msg)
{
    struct raft_read *read = raft->role == RAFT_LEADER ? raft_read_add(raft) : NULL;

    if (read == NULL) {
        raft_read_send(raft, &msg->from, msg->ctx, 0, true);
        return;
    }
    read->request = msg->ctx;
    read->from = msg->from;
    raft_read_begin(raft, read);
}

void raft_read_on_answer(struct raft *raft, const struct raft_msg *msg)
{
    struct raft_read *read = msg->is_reject ? NULL : raft_read_add(raft);

    if (read == NULL) {
        raft_read_tell(raft, msg->ctx, 0, msg->is_reject ? MN_STATE : MN_BUSY);
        return;
    }
    read->state = RAFT_READ_APPLY;
    read->request = msg->ctx;
    read->index = msg->index;
}

/* True when the read is over. */
static bool raft_read_try(struct raft *raft, struct raft_read *read, uint64_t quorum_ctx)
{
    if (read->state == RAFT_READ_EARLY) raft_read_begin(raft, read);
    if (read->state == RAFT_READ_CONFIRM &&
        (quorum_ctx >= read->ctx || raft_read_has_lease(raft))) {
        if (!raft_read_is_own(read)) {
            raft_read_send(raft, &read->from, read->request, read->index, false);
            return true;
        }
        read->state = RAFT_READ_APPLY;
    }
    if (read->state != RAFT_READ_APPLY || raft->applied < read->index) return false;
    raft_read_tell(raft, read->request, read->index, MN_OK);
    return true;
}

void raft_read_advance(struct raft *raft)
{
    uint64_t quorum_ctx;
    uint32_t kept = 0;

    if (raft->reads_count == 0) return;
    quorum_ctx = raft->role == RAFT_LEADER ? raft_replicate_quorum_ctx(raft) : 0;
    if (quorum_ctx == raft->reads_ctx && raft->applied == raft->reads_applied)
        kept = raft->reads_seen; /* only those that came since may be over */
    for (uint32_t i = kept; i < raft->reads_count; i++) {
        struct raft_read read = raft->reads[i];
        if (raft_read_try(raft, &read, quorum_ctx)) continue;
        raft->reads[kept++] = read;
    }
    raft->reads_count = raft->reads_seen = kept;
    raft->reads_ctx = quorum_ctx;
    raft->reads_applied = raft->applied;
    if (raft->role == RAFT_LEADER && raft_read_wants_round(raft)) {
        /* At once, with those that come before the next tick; but while a round is out, those who
         * come share the next one, which begins when it is answered. */
        bool is_out = raft->round_ctx > quorum_ctx;
        mn_time soon = mn_time_after(raft->now.mono, is_out ? raft->config.batch_delay : 0);
        raft->heartbeat_at = mn_time_min(raft->heartbeat_at, soon);
    }
}

/* What a leader has confirmed stays true when it leads no more; the rest has to ask again. */
void raft_read_fail_all(struct raft *raft)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < raft->reads_count; i++) {
        struct raft_read read = raft->reads[i];
        if (read.state == RAFT_READ_APPLY)
            raft->reads[kept++] = read;
        else if (raft_read_is_own(&read))
            raft_read_tell(raft, read.request, 0, MN_STATE);
        else
            raft_read_send(raft, &read.from, read.request, 0, true);
    }
    raft->reads_count = kept;
    raft->reads_seen = 0;
}
