/* core_internal.h: what the parts of core.h share: core.c is the machine, core_store.c what must
 * survive, core_trust.c admission, core_pending.c who waits for it, core_links.c connections,
 * core_members.c everything that follows from who is a member.
 *
 * An inner core is stepped by core_run() only, with inputs that wait in one queue; what it puts out
 * becomes further inputs or outputs of the node before anything else is stepped, because it may
 * point into that core. */
#ifndef CORE_INTERNAL_H
#define CORE_INTERNAL_H

#include "node/core/core.h"
#include "proto/base/list.h"
#include "proto/base/map.h"

#define CORE_TEXT_SIZE 64

/* Bytes of calls, answers and catalogs that go as normal, and as low, envelopes; longer calls and
 * answers in background. What has a lane in common waits for one another. */
#define CORE_SMALL_MAX ((size_t)16 << 10)
#define CORE_MEDIUM_MAX ((size_t)1 << 20)

/* What the payload of an envelope is. */
enum core_schema {
    CORE_SCHEMA_MEMBER = 1,
    CORE_SCHEMA_CATALOG,
    CORE_SCHEMA_CALL,
    CORE_SCHEMA_TRUST,
    CORE_SCHEMA_DECISION,
    CORE_SCHEMA_GROUPS,
    CORE_SCHEMA_STATE,
    CORE_SCHEMA_RECORDS,
    CORE_SCHEMA_FINDINGS,
    CORE_SCHEMA_METRICS = 20
};

enum core_work_type {
    CORE_WORK_ADMISSION = 1,
    CORE_WORK_PEERS,
    CORE_WORK_MEMBERSHIP,
    CORE_WORK_CATALOG,
    CORE_WORK_CALLS,
    CORE_WORK_TRUSTSET,
    CORE_WORK_DECISION
};

/* An input that waits. What it points to is in the arena, or in [buf], whose ref it owns. */
struct core_work {
    enum core_work_type type;
    struct mn_buf *buf;
    union {
        struct admission_input admission;
        struct peers_input peers;
        struct membership_input membership;
        struct catalog_input catalog;
        struct calls_input calls;
        struct trustset_input trustset;
        struct decision_input decision;
    };
};

/* Something that waits for a write to be durable. */
struct core_parked {
    struct mn_list in_parked;
    uint64_t write;
    enum { CORE_PARKED_ADMISSION, CORE_PARKED_INCARNATION, CORE_PARKED_REVOKED } what;
    uint64_t request; /* REVOKED: to be answered */
    mn_status status;
    uint64_t incarnation;
    bool is_reborn;
    struct admission_output output;
    struct mn_arena arena; /* what the output points to */
};

/* A copy of the newest authority document, which links and membership look at. */
struct core_authority {
    struct authority document;
    struct core_authority *next;
};

/* Another member, and how to reach it. */
struct core_known {
    struct mn_map_entry in_map;
    mn_id node;
    struct mn_buf *addrs; /* one per line, as stored */
};

struct core {
    struct core_config config; /* spans point into [texts] */
    struct mn_arena texts;
    struct identity identity;
    struct rng rng;
    mn_id boot_id;
    enum core_state state;
    char name[CORE_TEXT_SIZE], region[CORE_TEXT_SIZE], version[CORE_TEXT_SIZE];
    char zone[ADMISSION_ZONE_SIZE];

    struct trustset *trustset;
    struct admission *admission;
    struct peers *peers;
    struct membership *membership; /* NULL before the node is a member */
    struct catalog *catalog;
    struct services *services;
    struct calls *calls;
    struct decision *decision; /* NULL before the node is a member */
    struct mn_list decision_writes, decision_records;
    uint32_t decision_records_count;
    mn_id decision_asked_id;
    struct mn_map metrics;            /* struct core_metrics by node id */
    mn_time metrics_at;               /* when members are told ours */
    struct core_metrics *own_metrics; /* as they were told; NULL: not yet */
    struct policy_rule *rules;
    uint32_t rules_count;
    uint64_t conns_next;

    /* store */
    uint64_t writes_own; /* if the owner does not count */
    uint64_t write_last, durable;
    struct mn_list parked; /* by write */

    /* what we are, as others were told last */
    enum admission_hello hello;
    struct core_authority *authority, *authority_old; /* the old ones go with the turn */
    uint64_t incarnation, epoch;                      /* epoch 0: nothing announced yet */
    uint64_t catalog_version;
    uint8_t catalog_root[CATALOG_ROOT_SIZE];
    uint32_t load_told;
    bool is_ready;
    bool has_sent;          /* since the links were last flushed */
    uint32_t own_addresses; /* seeds that turned out to be this node */
    mn_time started, join_until, ready_until;

    struct mn_map known; /* struct core_known by node id */

    /* Valid during a step. */
    struct mn_now now;
    struct core_outbox *outbox;
    struct mn_arena *arena;
    struct core_work *queue;
    uint32_t queue_read, queue_count, queue_capacity;
    struct peers_outbox peers_outbox;
};

/* ---- core.c ---- */

/* Appends a zeroed input for an inner core. The pointer is valid until the next one is appended. */
struct core_work *core_push(struct core *core, enum core_work_type type);
struct peers_input *core_push_peers(struct core *core, enum peers_input_type type);
struct admission_input *core_push_admission(struct core *core, enum admission_input_type type);
struct membership_input *core_push_membership(struct core *core, enum membership_input_type type);
struct catalog_input *core_push_catalog(struct core *core, enum catalog_input_type type,
                                        const mn_id *node);
struct calls_input *core_push_calls(struct core *core, enum calls_input_type type,
                                    const mn_id *node);

struct trustset_input *core_push_trustset(struct core *core, enum trustset_input_type type,
                                          const mn_id *node);

/* ---- core_decision.c ---- */
void core_decision_init(struct core *core);
void core_decision_done(struct core *core);
void core_decision_begin(struct core *core);
bool core_decision_recover(struct core *core, struct mn_span key, struct mn_span value);
void core_decision_durable(struct core *core, uint64_t write);
struct decision_input *core_push_decision(struct core *core, enum decision_input_type type);
void core_on_decision(struct core *core, const struct decision_output *output);
void core_on_decision_command(struct core *core, const struct core_command *command);

/* ---- core_metrics.c ---- */
void core_metrics_init(struct core *core, const struct core_config *config);
void core_metrics_done(struct core *core);
void core_metrics_soon(struct core *core);
void core_tick_metrics(struct core *core);
void core_on_metrics(struct core *core, const mn_id *from, struct mn_span bytes);
void core_metrics_forget(struct core *core, const mn_id *node);
/* What it said of itself, borrowed, and what that weighs; NULL and 0: nothing, or long ago. */
struct mn_buf *core_metrics_record(const struct core *core, const mn_id *node,
                                   uint32_t *ret_weight);
mn_time core_longest_rtt(const struct core *core); /* to a member; 0: not known */
void core_vote_by_rule(struct core *core, const struct decision_view *view);
bool core_is_by_rule(uint64_t request);

/* ---- core.c ---- */

/* Steps inner cores until nothing waits. Not to be called from within a step of one. */
void core_run(struct core *core);

struct core_output *core_emit(struct core *core, enum core_output_type type);
void core_fatal(struct core *core, int code, const char *text);
void core_trace(struct core *core, enum mn_event event, const mn_id *node, uint64_t a, uint64_t b,
                struct mn_span text);

/* ---- core_store.c ---- */

/* Keys and tokens do not stay behind in memory that was given back. */
void core_wipe(struct mn_span secret);

void core_write(struct core *core, const char *key, struct mn_span value);

/* Carries the output out at once, or as soon as everything written so far is durable. */
void core_park_admission(struct core *core, const struct admission_output *output);
void core_park_revoked(struct core *core, uint64_t request, mn_status status);
void core_park_incarnation(struct core *core, uint64_t incarnation, bool is_reborn);
void core_on_durable(struct core *core, uint64_t write);
void core_parked_done(struct core *core);
void core_on_recover(struct core *core, struct mn_span key, struct mn_span value);
void core_on_recovered(struct core *core);

struct core_known *core_known_find(const struct core *core, const mn_id *node);

/* Remembers (and stores) how to reach a member. True: that is news. */
bool core_known_set(struct core *core, const mn_id *node, const struct mn_span *addrs,
                    uint32_t count);
void core_known_forget(struct core *core, const mn_id *node);
void core_known_done(struct core *core);

/* Its addresses, at most [max]; they point into [known]. */
uint32_t core_known_addrs(const struct core_known *known, struct mn_span *ret, uint32_t max);

/* ---- core_trust.c ---- */

void core_on_admission(struct core *core, const struct admission_output *output);
void core_do_admission(struct core *core, const struct admission_output *output);
void core_on_command(struct core *core, const struct core_command *command);
const char *core_token_advice(mn_status status);

/* core_pending.c: who waits for people. */
void core_do_pending(struct core *core, const struct admission_output *output);
void core_do_waits(struct core *core, const struct admission_output *output);
void core_on_pending_command(struct core *core, const struct core_command *command);

/* After a step of admission: others may have to be told what we are now. */
void core_check_hello(struct core *core);
void core_tell_self(struct core *core);

void core_authority_bury(struct core *core);
void core_authority_done(struct core *core);
const struct authority *core_head(const struct core *core); /* NULL: no mesh yet */

/* State was recovered, or there was none. */
void core_begin(struct core *core);
void core_dial_seeds(struct core *core, bool is_kept);

/* ---- core_trustset.c ---- */

void core_on_trustset(struct core *core, const struct trustset_output *output);
void core_tick_trustset(struct core *core);
void core_withdraw_token(struct core *core, uint64_t request, struct mn_span hex, bool is_revoked);
void core_on_revoke_token(struct core *core, const struct core_command *command);
void core_on_revoke(struct core *core, const struct core_command *command);
void core_on_remove(struct core *core, const struct core_command *command);
void core_reply_status(struct core *core, uint64_t request, mn_status status, struct mn_span text);

/* ---- core_links.c ---- */

/* Takes over the ref of [buf]. */
void core_carry(struct core *core, const mn_id *to, enum core_carried what, struct mn_buf *buf);

void core_on_peers(struct core *core, const struct peers_output *output);

/* Sends a payload to a linked member; takes over the ref of [buf], which may be NULL. */
struct core_sending {
    mn_id to;
    enum envelope_type type;
    enum envelope_priority priority;
    enum core_schema schema;
    uint64_t tag;
    mn_time timeout;
    struct mn_span head; /* of the payload; borrowed until the core's step ends */
};
void core_send(struct core *core, const struct core_sending *what, struct mn_buf *buf);

/* ---- core_members.c ---- */

/* We have a grant: from now on we are one of them. */
void core_become_member(struct core *core, bool is_joining);
void core_on_membership(struct core *core, const struct membership_output *output);
void core_on_catalog(struct core *core, const struct catalog_output *output);

/* Our record changed: grant, catalog. */
void core_tell_record(struct core *core);
void core_tell_trust(struct core *core);
void core_list_self(struct core *core);
void core_on_persisted(struct core *core, uint64_t incarnation, bool is_reborn);
void core_check_ready(struct core *core);

#endif
