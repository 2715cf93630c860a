/* core.h: everything of a node but MCP and its outside: links, admission, membership, catalog,
 * services and calls joined into one machine. Payloads of calls are opaque to it.
 *
 * Life: core_new; RECOVER for each stored pair; RECOVERED; then either it resumes, or it joins, or
 * it founds a mesh:
 *   a grant is stored          resume; seeds are further addresses, the token is ignored
 *   none, but seeds            join, for ever
 *   none, no seeds             found a mesh: SECRET root key and join token come out
 *   bootstrap                  found one even though seeds are given
 * After LEAVE it says goodbye and emits STOPPED. After FATAL or STOPPED it does nothing more.
 *
 * Whatever must not be lost leaves as WRITE; what depends on it is held back inside until DURABLE
 * reports it. The keys it uses are listed in README.md beside this file. */
#ifndef CORE_H
#define CORE_H

#include <stdbool.h>
#include <stdint.h>

#include "consensus/decision.h"
#include "crypto/grant.h"
#include "crypto/identity.h"
#include "crypto/recovery.h"
#include "crypto/rng.h"
#include "mesh/admission.h"
#include "mesh/membership.h"
#include "mesh/peers.h"
#include "mesh/trustset.h"
#include "node/core/calls.h"
#include "node/core/catalog.h"
#include "node/core/policy.h"
#include "node/core/services.h"
#include "proto/base/buf.h"
#include "proto/base/id.h"
#include "proto/base/memory.h"
#include "proto/base/time.h"
#include "proto/base/trace.h"
#include "proto/call.h"

#define CORE_ADDRESSES_MAX RECORD_ADDRS_MAX
#define CORE_SEEDS_MAX MEMBERSHIP_SEEDS_MAX

/* Fields that are 0 take their default. */
struct core_timing {
    struct membership_timing membership; /* period 0: all defaults */
    mn_time coalesce;                    /* of catalog changes; 50 ms */
    mn_time pull_retry;                  /* 1 s */
};

/* Texts are borrowed for core_new() only. Values out of range are the caller's bug: it checks them
 * where they come from (grant_name_is_valid(), token_decode(), ...). */
struct core_config {
    uint8_t identity_seed[IDENTITY_SEED_SIZE];
    uint8_t seed[RNG_SEED_SIZE];       /* randomness */
    struct mn_span name, region, zone; /* region, zone: may be empty */
    struct mn_span version;            /* of the program, shown to others */
    grant_role role;
    uint32_t weight;                 /* wanted where it votes; 0: not said */
    const struct mn_span *addresses; /* HOST:PORT under which others reach this node */
    uint32_t addresses_count;        /* 0 .. CORE_ADDRESSES_MAX; 0: it is only ever the dialer */
    const struct mn_span *seeds;     /* HOST:PORT */
    uint32_t seeds_count;            /* 0 .. CORE_SEEDS_MAX */
    struct mn_span token;            /* mnt1-... or mnp1-..., or empty */
    bool bootstrap, dev;
    bool is_join_required;  /* FATAL 75 when it has not joined after 30 s */
    bool is_identity_old;   /* the key was there before this start: the mesh may know it */
    const uint8_t *root;    /* see struct admission_config; NULL: none */
    bool no_growth;         /* the founder stays the only issuer */
    uint64_t grant_ttl_ms;  /* of a mesh founded here; 0: 30 days */
    uint64_t *writes_count; /* number of the newest write of the node; each WRITE raises it; NULL:
                             * its own */
    size_t memory_max;      /* bytes for what grows; 0: 256 MiB */
    const struct mn_span *policies; /* how it votes by itself: rules that policy_parse() takes */
    uint32_t policies_count;        /* 0 .. POLICY_RULES_MAX */
    struct core_timing timing;
    struct mn_trace *trace; /* may be NULL */
};

enum core_input_type {
    CORE_IN_TICK = 1,
    CORE_IN_NET_ACCEPTED,  /* net: conn, text = peer address "ip:port" */
    CORE_IN_NET_CONNECTED, /* net: conn, text = peer address */
    CORE_IN_NET_BYTES,     /* net: conn, bytes */
    CORE_IN_NET_SENT,      /* net: conn */
    CORE_IN_NET_CLOSED,    /* net: conn, status, text */
    CORE_IN_RECOVER,       /* recover: one stored pair, in key order */
    CORE_IN_RECOVERED,
    CORE_IN_DURABLE,    /* durable: every write up to this number is on stable storage */
    CORE_IN_CALL,       /* call: a message of the gateway */
    CORE_IN_COMMAND,    /* command: answered by one CORE_OUT_REPLY */
    CORE_IN_CARRY,      /* carry: a message for another member; lost when there is no link */
    CORE_IN_OWNERS,     /* owners: whose each name is, all there are; copied */
    CORE_IN_KEY_WANTED, /* key_id: of a sealed string that came, and that is not in the keyring */
    CORE_IN_LEAVE
};

/* What members say to each other through the core, which does not look inside. */
enum core_carried {
    CORE_CARRIED_GROUPS = 1,
    CORE_CARRIED_STATE,
    CORE_CARRIED_RECORDS,
    CORE_CARRIED_FINDINGS
};

enum core_command_type {
    CORE_TOKEN_CREATE = 1,
    CORE_TOKEN_LIST,
    CORE_TOKEN_WITHDRAW,
    CORE_PENDING_LIST,
    CORE_PENDING_APPROVE,
    CORE_PENDING_DENY,
    CORE_NODE_REVOKE,      /* node, reason: answered without items */
    CORE_NODE_REMOVE,      /* node: one that is dead or left, and stays so; answered likewise */
    CORE_DECISION_PROPOSE, /* decision: answered with its id */
    CORE_DECISION_VOTE     /* node: the decision's id; decision.choice: this node's vote */
};

struct core_command {
    enum core_command_type type;
    uint64_t request; /* the caller's; comes back in the reply */
    uint32_t uses;    /* TOKEN_CREATE; 0: unlimited */
    uint64_t ttl_ms;
    grant_role role;
    struct mn_span id; /* TOKEN_WITHDRAW: first hex digits of the id (all of them with [nodes]);
                          PENDING_*: the whole node id or all its words */
    bool has_role;     /* PENDING_APPROVE: [role], not the one that was asked for */
    bool nodes;        /* TOKEN_WITHDRAW: revoke also who came by it */
    mn_id node;
    struct mn_span reason;
    struct {
        struct mn_span topic, value;
        uint32_t quorum_num, quorum_den;
        mn_time timeout;
        enum decision_basis basis;
        bool is_byzantine;
        enum decision_choice choice;
    } decision;
};

struct core_input {
    enum core_input_type type;
    union {
        struct {
            uint64_t conn;
            mn_status status;
            struct mn_span bytes, text;
        } net;
        struct {
            struct mn_span key, value;
        } recover;
        uint64_t durable;
        uint32_t key_id;
        struct {
            const struct services_owner *items;
            uint32_t count;
        } owners;
        const struct call_message *call;
        const struct core_command *command;
        struct {
            mn_id to;
            enum core_carried what;
            struct mn_buf *buf; /* its ref moves on */
        } carry;
    };
};

enum core_output_type {
    CORE_OUT_NET_DIAL = 1, /* net: conn (even), text = HOST:PORT */
    CORE_OUT_NET_SEND,     /* net: conn, buf: all of it; then SENT */
    CORE_OUT_NET_PAUSE,    /* net: conn, flag */
    CORE_OUT_NET_CLOSE,    /* net: conn */
    CORE_OUT_WRITE,        /* write */
    CORE_OUT_SECRET,       /* secret: a file of mode 0600; no bytes: remove it */
    CORE_OUT_REPLY,        /* reply */
    CORE_OUT_CARRIED,      /* carried: what a member sent by CORE_IN_CARRY */
    CORE_OUT_DOWN,         /* down: the link to a member was lost */
    CORE_OUT_KEYS,         /* trustset_keyring() of core_trustset() changed */
    CORE_OUT_STOPPED,
    CORE_OUT_FATAL /* fatal: exit with this code */
};

struct core_reply {
    uint64_t request;
    mn_status status;
    struct mn_span text;                 /* CREATE: the token, a secret; on errors: for people */
    const struct admission_token *items; /* TOKEN_CREATE, TOKEN_WITHDRAW: one; TOKEN_LIST: all */
    const struct admission_pending_row *pending; /* PENDING_LIST: all; the others: one */
    uint32_t count;
    mn_id id; /* DECISION_*: of the decision */
};

struct core_output {
    enum core_output_type type;
    union {
        struct {
            uint64_t conn;
            bool flag;
            struct mn_span text;
            struct mn_buf *buf; /* the receiver of the output owns this ref */
        } net;
        struct {
            uint64_t number;
            struct mn_span key, value; /* value.data NULL: delete */
        } write;
        struct {
            enum admission_secret what;
            struct mn_span bytes;
        } secret;
        struct core_reply reply;
        struct {
            mn_id from;
            enum core_carried what;
            struct mn_span bytes;
        } carried;
        mn_id down;
        struct {
            int code;
            struct mn_span text;
        } fatal;
    };
};

/* Appended to by a step; owned by the caller, who resets the arena between turns. */
struct core_outbox {
    struct core_output *items;
    uint32_t count, capacity;
    struct mn_arena *arena;
    struct call_outbox *calls; /* messages for the gateway go here */
};

struct core;

struct core *core_new(const struct core_config *config); /* never NULL */
void core_free(struct core *core);
void core_step(struct core *core, struct mn_now now, const struct core_input *input,
               struct core_outbox *outbox);
mn_time core_deadline(const struct core *core);
void core_check(const struct core *core);

/* ---- looking; all borrowed until the next step ---- */

enum core_state {
    CORE_RECOVERING = 1,
    CORE_JOINING, /* asks seeds; local servers work */
    CORE_MEMBER,
    CORE_LEAVING,
    CORE_STOPPED
};

struct core_self {
    enum core_state state;
    mn_id node_id, mesh_id, boot_id; /* mesh_id: zero before it is known */
    const uint8_t *sign_pk;          /* SIGN_PK_SIZE bytes */
    struct mn_span name, region, zone, version;
    grant_role role;
    uint64_t incarnation; /* 0 before it is announced */
    bool is_issuer, is_dev;
    bool is_ready;               /* a member, known to others, and their catalogs are here */
    admission_code last_refusal; /* while joining */
    mn_time started;             /* mono, of the first step */
};

/* The block that holds the node's keys, for the driver to lock into memory. */
struct mn_span core_keys(const struct core *core);

struct core_self core_self(const struct core *core);

/* "recovering", "joining", "member", "leaving", "stopped". */
const char *core_state_name(enum core_state state);

const struct admission *core_admission(const struct core *core);
const struct trustset *core_trustset(const struct core *core);
const struct peers *core_peers(const struct core *core);
const struct membership *core_membership(const struct core *core); /* NULL before it is a member */
const struct catalog *core_catalog(const struct core *core);
const struct services *core_services(const struct core *core);
const struct calls *core_calls(const struct core *core);
/* Signs an order to begin the metadata group anew; only of an issuer. The caller owns the ref. */
struct mn_buf *core_recovery_sign(const struct core *core, struct recovery *recovery);

/* Is it one of an issuer of this mesh? As recovery_check(); MN_STATE: this is no member. */
MN_MUST_USE mn_status core_recovery_check(const struct core *core, struct mn_span order);

const struct decision *core_decision(const struct core *core); /* NULL before it is a member */

/* What the node measures about itself, by now; its rules for voting. */
void core_measure(const struct core *core, struct metrics *ret);
const struct policy_rule *core_rules(const struct core *core, uint32_t *ret_count);

#endif
