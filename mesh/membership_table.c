#include "mesh/membership_internal.h"

#include "proto/pb.h"

/* Left free by other members' rows, so that our own record always has room. */
#define MEMBERSHIP_TABLE_RESERVE 8192

/* Boot ids that alternate this often within the window are two processes with one key. */
#define MEMBERSHIP_TABLE_FLIPS 3
#define MEMBERSHIP_TABLE_FLIPS_WINDOW (10 * MN_MINUTE)

#define MEMBERSHIP_TABLE_SWEEP MN_MINUTE

/* ---- looking up ---- */

/* Index of the first row whose id is not below [node]. */
static uint32_t membership_table_place(const struct membership *core, const mn_id *node)
{
    uint32_t low = 0, high = core->rows_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (mn_id_compare(&core->rows[middle]->view.node_id, node) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct membership_row *membership_table_find(const struct membership *core, const mn_id *node)
{
    uint32_t place = membership_table_place(core, node);

    if (place == core->rows_count) return NULL;
    return mn_id_equal(&core->rows[place]->view.node_id, node) ? core->rows[place] : NULL;
}

uint32_t membership_table_after(const struct membership *core, const mn_id *after)
{
    uint32_t place;

    if (after == NULL) return 0;
    place = membership_table_place(core, after);
    if (place < core->rows_count && mn_id_equal(&core->rows[place]->view.node_id, after)) place++;
    return place;
}

/* ---- adding and removing ---- */

static void membership_table_insert(struct membership *core, struct membership_row *row)
{
    uint32_t place = membership_table_place(core, &row->view.node_id);

    if (core->rows_count == core->rows_capacity) {
        core->rows_capacity = core->rows_capacity == 0 ? 16 : core->rows_capacity * 2;
        core->rows = mn_realloc(core->rows, core->rows_capacity * sizeof(struct membership_row *));
    }
    memmove(&core->rows[place + 1], &core->rows[place],
            (core->rows_count - place) * sizeof(struct membership_row *));
    core->rows[place] = row;
    core->rows_count++;
}

static bool membership_table_is_full(const struct membership *core, bool is_self)
{
    if (is_self) return false;
    return core->rows_count >= core->members_max ||
           core->pool.limit - core->pool.used < MEMBERSHIP_TABLE_RESERVE;
}

/* A row without status or place in any queue, or NULL when the table is full. */
static struct membership_row *membership_table_add(struct membership *core,
                                                   const struct record *record, bool is_self)
{
    struct membership_row *row = NULL;
    struct record *kept = NULL;

    if (!membership_table_is_full(core, is_self)) {
        row = mn_pool_alloc(&core->pool, sizeof *row);
        kept = record_keep(record, &core->pool);
    }
    if (row == NULL || kept == NULL) {
        core->stats.table_full++;
        mn_pool_free(&core->pool, row);
        mn_pool_free(&core->pool, kept);
        return NULL;
    }
    row->kept = kept;
    row->view = (struct member){.node_id = record->node_id,
                                .incarnation = record->incarnation,
                                .record = kept,
                                .is_self = is_self};
    row->view.is_linked = membership_link_find(core, &record->node_id) != NULL;
    row->suspicion.type = MEMBERSHIP_TIMER_SUSPICION;
    mn_list_init(&row->news);
    mn_list_init(&row->removed);
    membership_table_insert(core, row);
    return row;
}

static void membership_table_free_row(struct membership *core, struct membership_row *row)
{
    mn_pool_free(&core->pool, row->confirmations);
    mn_pool_free(&core->pool, row->kept);
    mn_pool_free(&core->pool, row);
}

/* Those who wait for echoes may wait for fewer now. */
static void membership_table_one_less(struct membership *core)
{
    membership_self_check_joined(core);
    membership_self_check_left(core);
}

static void membership_table_remove(struct membership *core, struct membership_row *row)
{
    uint32_t place = membership_table_place(core, &row->view.node_id);

    MN_ASSERT(core->rows[place] == row && row != core->self);
    memmove(&core->rows[place], &core->rows[place + 1],
            (core->rows_count - place - 1) * sizeof(struct membership_row *));
    core->rows_count--;
    core->status_counts[row->view.status]--;
    membership_arm(core, &row->suspicion, MN_TIME_NEVER);
    membership_probe_forget(core, row);
    membership_gossip_drop(row);
    mn_list_push_back(&core->removed, &row->removed);
    membership_emit(core, MEMBERSHIP_OUT_REMOVED)->node = row->view.node_id;
    membership_table_one_less(core);
}

void membership_table_free_removed(struct membership *core)
{
    for (struct mn_list *entry; (entry = mn_list_take(&core->removed)) != NULL;)
        membership_table_free_row(core, MN_CONTAINER(entry, struct membership_row, removed));
}

void membership_table_done(struct membership *core)
{
    membership_table_free_removed(core);
    for (uint32_t i = 0; i < core->rows_count; i++)
        membership_table_free_row(core, core->rows[i]);
    mn_free(core->rows);
}

/* ---- status ---- */

static void membership_table_report(struct membership *core, const struct membership_row *row)
{
    static const enum membership_output_type outputs[] = {
        [MEMBER_ALIVE] = MEMBERSHIP_OUT_ALIVE,
        [MEMBER_SUSPECT] = MEMBERSHIP_OUT_SUSPECT,
        [MEMBER_DEAD] = MEMBERSHIP_OUT_DEAD,
        [MEMBER_LEFT] = MEMBERSHIP_OUT_LEFT,
    };
    static const enum mn_event events[] = {
        [MEMBER_ALIVE] = MN_EV_MEMBER_ALIVE,
        [MEMBER_SUSPECT] = MN_EV_MEMBER_SUSPECT,
        [MEMBER_DEAD] = MN_EV_MEMBER_DEAD,
        [MEMBER_LEFT] = MN_EV_MEMBER_LEFT,
    };

    membership_emit_member(core, outputs[row->view.status], row);
    mn_trace(core->trace, core->now.mono, events[row->view.status], &row->view.node_id,
             row->view.incarnation, row->confirmers_count, row->view.record->grant.name);
}

static void membership_table_drop_confirmers(struct membership *core, struct membership_row *row)
{
    mn_pool_free(&core->pool, row->confirmations);
    row->confirmations = NULL;
    row->confirmations_count = row->confirmers_count = 0;
}

/* From any status to another one, or from none. */
static void membership_table_set_status(struct membership *core, struct membership_row *row,
                                        enum member_status status)
{
    if (row->view.status != 0) core->status_counts[row->view.status]--;
    core->status_counts[status]++;
    row->view.status = status;
    row->view.since = core->now.mono;
    if (status != MEMBER_SUSPECT) {
        membership_arm(core, &row->suspicion, MN_TIME_NEVER);
        membership_table_drop_confirmers(core, row);
    }
    if (status == MEMBER_ALIVE || status == MEMBER_LEFT) row->accusation.size = 0;
    if (row->view.is_self) return;
    if (membership_row_is_live(row)) {
        membership_probe_track(core, row);
    } else {
        membership_probe_forget(core, row);
        membership_table_one_less(core);
    }
}

/* ---- records ---- */

static void membership_table_refuse(struct membership *core, const mn_id *from, mn_status status)
{
    core->stats.records_refused++;
    mn_trace(core->trace, core->now.mono, MN_EV_RECORD_REFUSED, from, (uint64_t)-status, 0,
             mn_status_name(status));
    if (status == MN_NOT_FOUND) {
        membership_emit(core, MEMBERSHIP_OUT_TRUST_NEEDED)->node = *from;
        return;
    }
    /* Clocks, revocations and new issuers reach members at different times; these do not. */
    if (status == MN_MALFORMED || status == MN_TOO_BIG || status == MN_BAD_SIGNATURE ||
        status == MN_DENIED || status == MN_WRONG_MESH) {
        struct membership_output *output = membership_emit(core, MEMBERSHIP_OUT_FAULT);
        output->fault.node = *from;
        output->fault.status = status;
    }
}

static void membership_table_quarantine(struct membership *core, struct membership_row *row)
{
    if (row->view.is_conflicted) return;
    row->view.is_conflicted = true;
    core->stats.conflicts++;
    mn_trace(core->trace, core->now.mono, MN_EV_KEY_CONFLICT, &row->view.node_id,
             row->view.incarnation, 0, row->view.record->grant.name);
    membership_emit_member(core, MEMBERSHIP_OUT_KEY_CONFLICT, row);
}

/* Two processes with one key keep refuting each other, so their boot ids take turns. A process that
 * only restarts never shows an old one again. */
static void membership_table_note_boot(struct membership *core, struct membership_row *row,
                                       const struct record *record)
{
    mn_time now = core->now.mono;

    if (now - row->boot_flips_since > MEMBERSHIP_TABLE_FLIPS_WINDOW) {
        row->boot_flips_since = now;
        row->boot_flips_count = 0;
        row->view.is_conflicted = false;
    }
    if (!mn_id_equal(&record->boot_id, &row->kept->boot_id)) {
        if (mn_id_equal(&record->boot_id, &row->boot_before)) row->boot_flips_count++;
        row->boot_before = row->kept->boot_id;
    }
    if (record->incarnation > row->kept->incarnation && row->boot_flips_count == 0)
        row->view.is_conflicted = false; /* it got itself a number of its own */
}

static void membership_table_swap_record(struct membership *core, struct membership_row *row,
                                         struct record *kept)
{
    mn_pool_free(&core->pool, row->kept);
    row->kept = kept;
    row->view.record = kept;
    MN_ASSERT(kept->incarnation >= row->view.incarnation);
    row->view.incarnation = kept->incarnation;
}

/* A newer record of a member we have. */
static void membership_table_update(struct membership *core, struct membership_row *row,
                                    const struct record *record)
{
    struct record *kept = record_keep(record, &core->pool);
    enum member_status status = row->view.status;

    if (kept == NULL) {
        core->stats.table_full++;
        return;
    }
    if (record->has_left)
        status = MEMBER_LEFT;
    else if (record->incarnation > row->view.incarnation)
        status = MEMBER_ALIVE;
    if (record->incarnation > row->view.incarnation) row->contested_until = row->told_at = 0;
    membership_table_note_boot(core, row, record);
    membership_table_swap_record(core, row, kept);
    if (status != row->view.status) {
        membership_table_set_status(core, row, status);
        membership_table_report(core, row);
    } else {
        membership_emit_member(core, MEMBERSHIP_OUT_RECORD_CHANGED, row);
    }
    if (row->boot_flips_count >= MEMBERSHIP_TABLE_FLIPS) membership_table_quarantine(core, row);
    membership_gossip_news(core, row);
}

/* The process behind the link gets to see both, so that it takes a number of its own. */
static void membership_table_show_conflict(struct membership *core,
                                           const struct membership_row *row,
                                           const struct record *record)
{
    struct membership_draft draft;

    if (!row->view.is_linked) return;
    membership_draft_init(&draft, MESHNODE__MEMBER__PACKET__TYPE__GOSSIP,
                          MEMBERSHIP_GOSSIP_PACKET_MAX + RECORD_SIZE_MAX);
    membership_draft_add_record(&draft, row->kept->signed_bytes);
    membership_draft_add_record(&draft, record->signed_bytes);
    membership_draft_send(core, &draft, &row->view.node_id);
}

/* Two records with one number: the key has two holders. All keep the same one of them. */
static void membership_table_conflict(struct membership *core, struct membership_row *row,
                                      const struct record *record)
{
    struct record *kept;

    MN_PROBE("membership: two records with one number");
    membership_table_show_conflict(core, row, record);
    if (mn_span_compare(record->signed_bytes, row->kept->signed_bytes) < 0) {
        kept = record_keep(record, &core->pool);
        if (kept != NULL) {
            membership_table_swap_record(core, row, kept);
            membership_gossip_news(core, row);
        }
    }
    membership_table_quarantine(core, row);
}

static void membership_table_welcome(struct membership *core, const struct record *record)
{
    struct membership_row *row = membership_table_add(core, record, false);

    if (row == NULL) return;
    membership_table_set_status(core, row, record->has_left ? MEMBER_LEFT : MEMBER_ALIVE);
    if (!record->has_left) membership_table_report(core, row);
    membership_gossip_news(core, row);
    membership_self_check_joined(core);
}

void membership_table_on_record(struct membership *core, const mn_id *from, struct mn_span bytes)
{
    struct record record;
    struct membership_row *row;
    mn_status status = record_decode(bytes, membership_arena(core), &record);
    int order;

    if (status != MN_OK) {
        membership_table_refuse(core, from, status);
        return;
    }
    if (mn_id_equal(&record.node_id, &core->identity->node_id)) {
        membership_self_on_record(core, from, &record);
        return;
    }
    row = membership_table_find(core, &record.node_id);
    order = row == NULL ? 1 : record_compare(&record, row->kept);
    if (order < 0 || (order == 0 && mn_span_equal(bytes, row->kept->signed_bytes))) {
        core->stats.records_stale++; /* not worth a signature check */
        MN_PROBE("membership: an old record came");
        return;
    }
    status = record_verify(&record, core->authority, core->revoked, mn_wall_ms(core->now));
    if (status != MN_OK)
        membership_table_refuse(core, from, status);
    else if (row == NULL)
        membership_table_welcome(core, &record);
    else if (order == 0)
        membership_table_conflict(core, row, &record);
    else
        membership_table_update(core, row, &record);
}

struct membership_row *membership_table_set_self(struct membership *core, struct mn_span bytes)
{
    struct record record;
    mn_status status = record_decode(bytes, membership_arena(core), &record);

    MN_ASSERT(status == MN_OK); /* it was tried when its fields were set */
    if (core->self == NULL) {
        core->self = membership_table_add(core, &record, true);
        MN_ASSERT(core->self != NULL);
    } else {
        struct record *kept = record_keep(&record, &core->pool);
        MN_ASSERT(kept != NULL);
        membership_table_swap_record(core, core->self, kept);
    }
    if (core->self->view.status == 0) membership_table_set_status(core, core->self, MEMBER_ALIVE);
    if (record.has_left) membership_table_set_status(core, core->self, MEMBER_LEFT);
    return core->self;
}

/* ---- accusations ---- */

static void membership_table_keep_accusation(struct membership_accusation *kept,
                                             const struct accusation *accusation)
{
    struct mn_span bytes = accusation->signed_bytes;

    MN_ASSERT(bytes.size > 0 && bytes.size <= sizeof kept->bytes);
    memcpy(kept->bytes, bytes.data, bytes.size);
    kept->size = (uint32_t)bytes.size;
}

/* A confirmation counts even if there is no memory to pass it on: its author does that, too. */
static void membership_table_keep_confirmation(struct membership *core, struct membership_row *row,
                                               const struct accusation *accusation)
{
    size_t size = (MEMBERSHIP_CONFIRMERS_MAX - 1) * sizeof *row->confirmations;

    if (row->confirmations == NULL) row->confirmations = mn_pool_alloc(&core->pool, size);
    if (row->confirmations == NULL) return;
    membership_table_keep_accusation(&row->confirmations[row->confirmations_count++], accusation);
}

static bool membership_table_has_confirmed(const struct membership_row *row, const mn_id *accuser)
{
    for (uint32_t i = 0; i < row->confirmers_count; i++)
        if (mn_id_equal(&row->confirmers[i], accuser)) return true;
    return false;
}

/* One more accuser of a suspect: the wait gets shorter, and others get to know this one too. */
static void membership_table_confirm(struct membership *core, struct membership_row *row,
                                     const struct accusation *accusation)
{
    mn_time wait;

    MN_ASSERT(row->view.status == MEMBER_SUSPECT);
    MN_ASSERT(row->confirmers_count < MEMBERSHIP_CONFIRMERS_MAX);
    if (row->confirmers_count == 0)
        membership_table_keep_accusation(&row->accusation, accusation);
    else
        membership_table_keep_confirmation(core, row, accusation);
    row->confirmers[row->confirmers_count++] = accusation->accuser;
    wait = membership_suspicion_us(core, row->confirmers_count - 1);
    membership_arm(core, &row->suspicion, mn_time_after(row->suspected_at, wait));
    membership_gossip_news(core, row);
}

static void membership_table_believe_suspect(struct membership *core, struct membership_row *row,
                                             const struct accusation *accusation)
{
    if (row->view.status == MEMBER_ALIVE) {
        row->suspected_at = core->now.mono;
        membership_table_set_status(core, row, MEMBER_SUSPECT);
        membership_table_confirm(core, row, accusation);
        membership_table_report(core, row);
        membership_gossip_tell(core, row); /* if it lives, it refutes at once */
    } else if (row->confirmers_count < MEMBERSHIP_CONFIRMERS_MAX) {
        membership_table_confirm(core, row, accusation);
    }
}

static void membership_table_believe_dead(struct membership *core, struct membership_row *row,
                                          const struct accusation *accusation)
{
    membership_table_set_status(core, row, MEMBER_DEAD);
    membership_table_keep_accusation(&row->accusation, accusation);
    membership_table_report(core, row);
    membership_gossip_news(core, row);
}

/* A member that we hear ourselves is not dead because somebody says so: it is told, and has two
 * periods to refute. This keeps the two sides of a healed partition from burying each other's
 * members, and one lying accuser from burying anybody. */
static bool membership_table_doubts(struct membership *core, struct membership_row *row,
                                    const struct accusation *accusation)
{
    mn_time doubt = 2 * core->timing.period;
    struct membership_draft draft;

    if (!row->view.is_linked || row->view.last_seen == 0) return false;
    if (core->now.mono > mn_time_after(row->view.last_seen, doubt)) return false;
    if (row->contested_until != 0) return core->now.mono < row->contested_until;
    MN_PROBE("membership: hearsay of the death of a member that is heard");
    row->contested_until = mn_time_after(core->now.mono, doubt);
    membership_draft_init(&draft, MESHNODE__MEMBER__PACKET__TYPE__GOSSIP,
                          MEMBERSHIP_GOSSIP_PACKET_MAX);
    if (membership_draft_add_accusation(&draft, accusation->signed_bytes))
        membership_draft_send(core, &draft, &row->view.node_id);
    return true;
}

/* Would the accusation change anything here? Asked before its signature is checked. */
static bool membership_table_matters(const struct membership_row *row,
                                     const struct accusation *accusation)
{
    if (!membership_row_is_live(row)) return false;
    if (accusation->kind == ACCUSATION_DEAD || row->view.status == MEMBER_ALIVE) return true;
    return row->confirmers_count < MEMBERSHIP_CONFIRMERS_MAX &&
           !membership_table_has_confirmed(row, &accusation->accuser);
}

static bool membership_table_check_accuser(struct membership *core, const mn_id *from,
                                           const struct accusation *accusation)
{
    const struct membership_row *accuser = membership_table_find(core, &accusation->accuser);
    mn_status status = MN_NOT_FOUND;

    if (accuser != NULL)
        status = accusation_verify(accusation, accuser->kept->sign_pk, &core->mesh_id);
    if (status == MN_OK) return true;
    core->stats.accusations_refused++;
    if (status == MN_BAD_SIGNATURE) {
        struct membership_output *output = membership_emit(core, MEMBERSHIP_OUT_FAULT);
        output->fault.node = *from;
        output->fault.status = status;
    }
    return false;
}

void membership_table_on_accusation(struct membership *core, const mn_id *from,
                                    struct mn_span bytes)
{
    struct accusation accusation;
    struct membership_row *row;
    mn_status status = accusation_decode(bytes, membership_arena(core), &accusation);

    if (status != MN_OK) {
        core->stats.accusations_refused++;
        return;
    }
    if (mn_id_equal(&accusation.accuser, &core->identity->node_id)) return;
    if (mn_id_equal(&accusation.subject, &core->identity->node_id)) {
        if (membership_table_check_accuser(core, from, &accusation))
            membership_self_on_accusation(core, from, &accusation);
        return;
    }
    row = membership_table_find(core, &accusation.subject);
    if (row == NULL || accusation.subject_incarnation > row->view.incarnation) {
        /* An accuser cannot raise the subject's number: only its own record can. */
        membership_gossip_want(core, &accusation.subject);
        return;
    }
    if (accusation.subject_incarnation < row->view.incarnation) return;
    if (!membership_table_matters(row, &accusation)) return;
    if (!membership_table_check_accuser(core, from, &accusation)) return;
    if (accusation.kind == ACCUSATION_SUSPECT)
        membership_table_believe_suspect(core, row, &accusation);
    else if (!membership_table_doubts(core, row, &accusation))
        membership_table_believe_dead(core, row, &accusation);
}

static struct accusation membership_table_accuse(struct membership *core,
                                                 const struct membership_row *row,
                                                 enum accusation_kind kind)
{
    struct accusation accusation = {.subject = row->view.node_id,
                                    .subject_incarnation = row->view.incarnation,
                                    .kind = kind,
                                    .accuser = core->identity->node_id,
                                    .accuser_incarnation = core->incarnation};

    accusation_sign(&accusation, &core->identity->key, &core->mesh_id, membership_arena(core));
    return accusation;
}

void membership_table_suspect(struct membership *core, struct membership_row *row)
{
    struct accusation accusation;

    MN_ASSERT(membership_row_is_live(row) && !row->view.is_self);
    if (membership_table_has_confirmed(row, &core->identity->node_id)) return;
    accusation = membership_table_accuse(core, row, ACCUSATION_SUSPECT);
    membership_table_believe_suspect(core, row, &accusation);
}

void membership_table_bury(struct membership *core, struct membership_row *row)
{
    struct accusation accusation = membership_table_accuse(core, row, ACCUSATION_DEAD);

    MN_ASSERT(row->view.status == MEMBER_SUSPECT && !row->view.is_self);
    membership_table_believe_dead(core, row, &accusation);
}

/* ---- grants that end ---- */

static bool membership_table_has_expired(const struct membership *core,
                                         const struct membership_row *row)
{
    uint64_t not_after_ms = row->kept->grant.not_after_ms, wall_ms = mn_wall_ms(core->now);

    return wall_ms > GRANT_TOLERANCE_MS && wall_ms - GRANT_TOLERANCE_MS > not_after_ms;
}

void membership_table_sweep(struct membership *core)
{
    for (uint32_t i = core->rows_count; i > 0; i--) {
        struct membership_row *row = core->rows[i - 1];
        if (!row->view.is_self && membership_table_has_expired(core, row))
            membership_table_remove(core, row);
    }
    membership_arm(core, &core->sweep, mn_time_after(core->now.mono, MEMBERSHIP_TABLE_SWEEP));
}

/* Is the grant still good under the authority that holds now? Its end is the sweep's business. */
static bool membership_table_is_granted(struct membership *core, const struct membership_row *row)
{
    struct record record;
    mn_status status = record_decode(row->kept->signed_bytes, membership_arena(core), &record);

    MN_ASSERT(status == MN_OK); /* it was decoded before it was kept */
    status =
        grant_check_any_age(&record.grant, core->authority, core->revoked, mn_wall_ms(core->now));
    return status == MN_OK || status == MN_NOT_FOUND || status == MN_NOT_YET;
}

/* What we believe on the word of somebody who is out is ours to say from now on. Nobody else takes
 * such a word any more, its subject neither: it would never hear that it has to refute, and stay
 * buried here for ever. */
static void membership_table_inherit(struct membership *core, const mn_id *accuser)
{
    for (uint32_t i = 0; i < core->rows_count; i++) {
        struct membership_row *row = core->rows[i];
        struct accusation accusation;
        mn_status status;

        if (row->accusation.size == 0 || row->view.is_self) continue;
        if (row->view.status != MEMBER_SUSPECT && row->view.status != MEMBER_DEAD) continue;
        status = accusation_decode(membership_accusation_span(&row->accusation),
                                   membership_arena(core), &accusation);
        MN_ASSERT(status == MN_OK); /* it was decoded before it was kept */
        if (!mn_id_equal(&accusation.accuser, accuser)) continue;
        MN_PROBE("membership: an accuser is out, and its word becomes ours");
        accusation = membership_table_accuse(core, row, accusation.kind);
        membership_table_keep_accusation(&row->accusation, &accusation);
        membership_gossip_news(core, row);
    }
}

/* Some rows per step, so that 10,000 of them do not stall the loop. */
void membership_table_recheck(struct membership *core)
{
    uint32_t place = membership_table_after(core, &core->recheck_after);

    for (uint32_t i = 0; i < MEMBERSHIP_ITEMS_MAX && place < core->rows_count; i++) {
        struct membership_row *row = core->rows[place];
        core->recheck_after = row->view.node_id;
        if (row->view.is_self || membership_table_is_granted(core, row)) {
            place++;
            continue;
        }
        membership_table_remove(core, row);
        membership_table_inherit(core, &core->recheck_after);
    }
    if (place < core->rows_count) membership_arm(core, &core->recheck, core->now.mono);
}
