/* decision.h: one-shot decisions by signed, weighted votes. Anybody proposes a value under a topic;
 * each voter votes once; votes that suffice make a certificate, which anybody can check later with
 * nothing but the certificate. Quorum is of the weight of all voters, not of those who answer.
 *
 * What it promises: two certificates for different values under one topic, within one window, need
 * voters with (2q - 1) of the weight, or more, that vote twice; q is the quorum, above a half. It
 * does not promise that everybody learns the outcome, or that "timeout" is agreed on: another node
 * may hold a certificate.
 *
 * Where all must agree on that too, a proposal is marked byzantine: its voters, now at most 64, say
 * their votes to each other, and then agree by consensus/simplex.h on what they amount to. What may
 * be agreed on is votes that decide, or else the signed word of more than a third of the weight,
 * so of an honest voter, that it knew no outcome at the deadline. As long as liars have less than
 * a third of the weight, all honest voters end with one outcome, timeout and no-quorum included,
 * and a certificate that proves it to anybody.
 *
 * Two words of one node that no honest node says both are evidence against it: kept, told to all
 * members, and good to check offline. Who is convicted gets no vote in proposals of this node.
 *
 * The vote is the owner's: the core asks (DECISION_OUT_ASKED) and says by itself only what the
 * rules demand: "no" to weights that are not what this node knows, "abstain" where it has said yes
 * to another value of the topic. Nobody's vote is made up: no answer is no vote. What nodes know of
 * each other differs for moments, so that no is said only once it has differed for [patience];
 * before, the voter says yes to nothing, and tells the proposer why.
 *
 * Pure: no clock, socket, disk, thread or global. A vote leaves, and counts, once it is durable. */
#ifndef DECISION_H
#define DECISION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/rng.h"
#include "crypto/sign.h"
#include "proto/base/buf.h"
#include "proto/base/id.h"
#include "proto/base/memory.h"
#include "proto/base/status.h"
#include "proto/base/time.h"

#define DECISION_VOTERS_MIN 4u
#define DECISION_VOTERS_MAX 128u
#define DECISION_TOPIC_MAX 128u            /* bytes, printable ASCII */
#define DECISION_VALUE_MAX ((size_t)65536) /* bytes */
#define DECISION_VALIDATORS_MAX 64u        /* voters of a byzantine one */
#define DECISION_MESSAGE_MAX ((size_t)262144)
#define DECISION_EVIDENCE_MAX 256u /* nodes that are remembered as liars */
#define DECISION_TIMEOUT_MIN (10 * MN_MS)
#define DECISION_TIMEOUT_MAX MN_HOUR
/* bytes of what a voter said of itself, as it stands in a proposal: less than metrics.h allows, so
 * that one with all voters and the largest value has its place in a message */
#define DECISION_METRICS_MAX ((size_t)200)
#define DECISION_WINDOW                                                       \
    (5 * MN_SEC) /* after the deadline, before another value may have our yes \
                  */
#define DECISION_TOTAL_MAX 0x7fffffffu
#define DECISION_HASH_SIZE 32

struct decision; /* opaque: the decisions a node knows */

/* LATE is no vote: a validator knew no outcome at the deadline. */
enum decision_choice {
    DECISION_NONE = 0,
    DECISION_YES,
    DECISION_NO,
    DECISION_ABSTAIN,
    DECISION_LATE
};

/* Why a vote is what it is. */
enum decision_cause {
    DECISION_BY_POLICY = 1, /* a rule in the node's configuration */
    DECISION_BY_HAND,       /* an administrator or an agent */
    DECISION_BAD_WEIGHTS,   /* no: a voter is no member that this one knows, or a weight is not what
                             * it knows, by more than a factor of 2, though the record it was made
                             * from is rightly signed */
    DECISION_BAD_VOTERS,    /* no: members with more than a quarter of the weight are left out */
    DECISION_TOPIC_TAKEN    /* abstain: said yes to another value */
};

enum decision_basis { DECISION_EQUAL = 1, DECISION_METRIC };

/* What a node is convicted of. */
enum decision_lie {
    DECISION_TWO_BALLOTS = 1, /* voted twice, differently, on one decision */
    DECISION_TWO_PROPOSALS,   /* under one id */
    DECISION_TWO_STATEMENTS,  /* to other validators, while agreeing */
    DECISION_LIES
};

enum decision_outcome {
    DECISION_OPEN = 0,
    DECISION_ACHIEVED,  /* certificate: yes has the quorum */
    DECISION_REFUSED,   /* certificate: no leaves less than the quorum */
    DECISION_TIMEOUT,   /* a quorum answered by the deadline, but not so that it decides */
    DECISION_NO_QUORUM, /* less weight than the quorum answered by the deadline. Both are local, but
                         * agreed on where the proposal is byzantine */
    DECISION_OUTCOMES
};

const char *decision_outcome_name(enum decision_outcome outcome);
const char *decision_choice_name(enum decision_choice choice);
const char *decision_cause_name(enum decision_cause cause);
const char *decision_lie_name(enum decision_lie lie);

/* ---- weights ---- */

/* Cuts every weight to a quarter of the sum, again until nothing changes. False, and some weights
 * are 0, when fewer than four are above 0: then nobody can be kept below a third. */
bool decision_cap(uint32_t *weights, uint32_t count);

/* ---- the step ---- */

struct decision_config {
    mn_id mesh_id;
    const struct sign_key *key; /* ours; must outlive the core */
    uint32_t decisions_max;     /* known at a time, 4 .. 4,096; 256. Each takes at most 128 KiB */
    uint32_t agreements_max;    /* byzantine ones open at a time, 1 .. 64; 16. Each takes up to
                                 * about 5 MiB, if liars make it long */
    mn_time resend;             /* 10 ms .. 10 s; 250 ms */
    mn_time delay;              /* D0 of consensus/simplex.h, at least: twice the longest round
                                 * trip that is known of a member; 1 ms .. 30 s; 200 ms */
    mn_time patience; /* 0 .. 5 min; 10 s: how long what this node knows of the members may
                       * differ from what a proposal says, until it says no */
    bool abstains;    /* never votes: its disk may be older than its words */
    uint8_t seed[RNG_SEED_SIZE]; /* same seed, same inputs: same outputs */
};

/* A member as this node knows it: from signed records, never from a proposal. */
struct decision_member {
    uint8_t pk[SIGN_PK_SIZE];
    uint32_t weight;       /* metrics_weight() of [record], before any cap; 0: unknown */
    struct mn_buf *record; /* what it said of itself (metrics.h), not older than METRICS_SKEW, at
                            * most DECISION_METRICS_MAX bytes; the core takes its own ref. NULL:
                            * no vote where metrics weigh */
};

enum decision_input_type {
    DECISION_IN_TICK = 1,
    DECISION_IN_MEMBERS, /* replaces what is known; self is one of them */
    DECISION_IN_PROPOSE,
    DECISION_IN_ANSWER, /* the vote of this node */
    DECISION_IN_MESSAGE,
    DECISION_IN_DURABLE /* all records up to this number are on disk */
};

struct decision_input {
    enum decision_input_type type;
    union {
        struct {
            const struct decision_member *items; /* copied */
            uint32_t count;                      /* at most 65,536 */
            mn_time rtt; /* the longest round trip to one of them; 0: not known */
        } members;
        struct {
            uint64_t request;
            struct mn_span topic, value;
            uint32_t quorum_num, quorum_den; /* 1/2 < num/den <= 1; den <= 1,000,000 */
            mn_time timeout;
            enum decision_basis basis;
            bool is_byzantine;
        } propose;
        struct {
            uint64_t request;
            mn_id id;
            enum decision_choice choice; /* not NONE */
            enum decision_cause cause;   /* BY_POLICY or BY_HAND */
        } answer;
        struct {
            mn_id from; /* as the link says */
            struct mn_span bytes;
        } message;
        uint64_t durable;
    };
};

enum decision_output_type {
    DECISION_OUT_SEND = 1,
    DECISION_OUT_PERSIST,  /* replaces the record of that kind, id and part; NULL: forget it */
    DECISION_OUT_ASKED,    /* how does this node vote? Repeated until the deadline or an answer */
    DECISION_OUT_OUTCOME,  /* a local one may still become a certified one */
    DECISION_OUT_EVIDENCE, /* somebody is convicted; once for each */
    DECISION_OUT_REPLY     /* to PROPOSE (with the new id) or ANSWER */
};

/* What a record is of; it says so itself, but its key must tell them apart. */
enum decision_record {
    DECISION_RECORD_KNOWN = 1, /* id: of the decision */
    DECISION_RECORD_AGREEMENT, /* id: of the decision; part: 1, 2, ... in this order */
    DECISION_RECORD_EVIDENCE   /* id: of the node */
};

struct decision_output {
    enum decision_output_type type;
    union {
        struct {
            mn_id to;
            struct mn_buf *buf;
        } send;
        struct {
            uint64_t write; /* 1, 2, ... since decision_new() */
            enum decision_record what;
            mn_id id;
            uint32_t part;
            struct mn_buf *record;
        } persist;
        struct {
            mn_id id;
        } asked;
        struct {
            mn_id id;
            enum decision_outcome outcome;
        } outcome;
        struct {
            mn_id node;
            enum decision_lie lie;
        } evidence;
        struct {
            uint64_t request;
            mn_id id;
            mn_status status; /* CONFIG: out of range. DENIED: fewer than four voters. BUSY: table
                               * full, or too many byzantine ones open. NOT_FOUND. EXISTS: has
                               * voted. EXPIRED: past the deadline. NOT_YET: what is known of the
                               * members differs, and may not for long: no yes now */
        } reply;
    };
};

/* Items and their buffers stay valid until decision_outbox_reset(). */
struct decision_outbox {
    struct decision_output *items;
    uint32_t count, capacity;
    struct mn_arena *arena;
};

void decision_outbox_reset(struct decision_outbox *outbox);

/* [records]: all that is durable, those of an agreement in the order of their parts, else in any;
 * what does not verify is left out and counted.
 * MN_CONFIG: a field is outside its stated range. */
MN_MUST_USE mn_status decision_new(const struct decision_config *config,
                                   const struct mn_span *records, uint32_t records_count,
                                   struct mn_now now, struct decision **ret);
void decision_free(struct decision *decision);
void decision_step(struct decision *decision, struct mn_now now, const struct decision_input *input,
                   struct decision_outbox *outbox);
mn_time decision_deadline(const struct decision *decision);

/* Asserts the invariants; for tests and the simulator. */
void decision_check(const struct decision *decision);

/* ---- looking ---- */

struct decision_ballot {
    uint8_t pk[SIGN_PK_SIZE];
    mn_id node_id;
    uint32_t weight;
    struct mn_buf *record;       /* of a proposal that is being made: where its weight comes from */
    enum decision_choice choice; /* NONE: no vote is known here */
    enum decision_cause cause; /* of no vote: 0, or why that voter does not say yes now, as it told
                                * the proposer: BAD_WEIGHTS, BAD_VOTERS; proven by nothing */
};

struct decision_view {
    mn_id id, proposer;
    struct mn_span topic, value; /* borrowed */
    uint32_t quorum_num, quorum_den;
    uint64_t created_ms, deadline_ms;
    enum decision_basis basis;
    enum decision_outcome outcome;
    enum decision_choice own; /* on disk or on its way there */
    bool is_voter;            /* this node is */
    bool is_byzantine;
    bool is_certified; /* the outcome can be proven; a local one cannot */
    uint64_t total, yes, no, abstain;
    const struct decision_ballot *ballots; /* borrowed */
    uint32_t ballots_count;
};

/* MN_NOT_FOUND. Valid until the next step. */
MN_MUST_USE mn_status decision_find(const struct decision *decision, const mn_id *id,
                                    struct decision_view *ret);

/* [index] 0 is the newest one; false beyond the last. */
bool decision_at(const struct decision *decision, uint32_t index, struct decision_view *ret);

uint64_t decision_dropped(const struct decision *decision);
uint32_t decision_members(const struct decision *decision); /* how many are known */

/* Proposal and all votes known, or what was agreed; a certificate if the outcome is certified. The
 * caller owns the ref; NULL: not found. */
struct mn_buf *decision_certificate(const struct decision *decision, const mn_id *id);

/* Reads such bytes with nothing else: every signature is checked, sums are made anew, and weights
 * by metrics from the signed records that stand beside them. The view
 * lives in [arena]; its outcome is OPEN if that is not proven; own and is_voter say nothing.
 * MN_MALFORMED, MN_BAD_SIGNATURE. */
MN_MUST_USE mn_status decision_verify(const mn_id *mesh_id, struct mn_span certificate,
                                      struct mn_arena *arena, struct decision_view *ret);

struct decision_conviction {
    mn_id node;
    uint8_t pk[SIGN_PK_SIZE];
    enum decision_lie lie;
    mn_id about; /* the decision */
    uint64_t seen_ms;
    struct mn_span proof; /* borrowed */
};

/* [index] 0 is the oldest one; false beyond the last. */
bool decision_conviction_at(const struct decision *decision, uint32_t index,
                            struct decision_conviction *ret);

/* Reads a proof with nothing else. MN_MALFORMED, MN_BAD_SIGNATURE. */
MN_MUST_USE mn_status decision_verify_evidence(const mn_id *mesh_id, struct mn_span proof,
                                               struct decision_conviction *ret);

#endif
